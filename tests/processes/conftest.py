"""What tests of many processes share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lossy_proxy import LossyProxy
from servers import Server


@pytest.fixture
def proxies(start_server) -> Iterator[Callable[..., LossyProxy]]:
    """Makes proxies before servers; they end before the servers do."""
    with ExitStack() as open_ones:

        def before(server: Server, *choices, **named) -> LossyProxy:
            return open_ones.enter_context(LossyProxy(server.url, *choices, **named))

        yield before
