"""One server for the tests that leave it as they found it, and people with sign-ins of their own."""

import itertools

import pytest

from people import Person, add_account
from servers import Server


@pytest.fixture(scope="package")
def shared(tmp_path_factory):
    """A server with the default lifetimes; it outlives single tests."""
    server = Server(tmp_path_factory.mktemp("identity"))
    server.start()
    yield server
    server.stop()
    assert not server.warnings()


@pytest.fixture
def person(shared):
    """Somebody with a fresh connection to the shared server."""
    somebody = Person(shared)
    yield somebody
    somebody.http.close()


@pytest.fixture
def owner(person):
    """The owner, signed in at the shared server."""
    person.sign_in()
    return person


_names = itertools.count()


@pytest.fixture
def stranger(shared):
    """Another account of the shared server, signed in, a member of nothing."""
    name = f"stranger{next(_names)}"
    add_account(shared.data, name, "their own secret")
    somebody = Person(shared)
    somebody.sign_in(name, "their own secret")
    yield somebody
    somebody.http.close()
