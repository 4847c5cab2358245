"""Edits to the server, many a request; bodies from the server by digest.

Every push carries a precondition and an idempotency key, so that repeating one after a lost answer is harmless.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from relayfile.client.transport_async import AsyncClient
from relayfile.model import Digest, Mode, TreePath


@dataclass(frozen=True, slots=True)
class Push:
    """One edit. `over` is the revision it replaces, 0: only if the path is absent. `body` None deletes.

    A symbolic link has mode `120000` and its target as body (R18).
    """

    path: TreePath
    key: str
    over: int
    body: bytes | None
    mode: Mode = "644"


@dataclass(frozen=True, slots=True)
class Stored:
    """The server has it; `revision` is what the path has now (0: the server did not say)."""

    path: TreePath
    revision: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """The path is not at `over` any more; nothing was written. `current` is its revision, 0 absent, None untold."""

    path: TreePath
    current: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The server will not take this edit, however often it is sent."""

    path: TreePath
    code: str
    message: str


Outcome: TypeAlias = Stored | Conflict | Refused


async def push(client: AsyncClient, workspace: str, pushes: Sequence[Push]) -> list[Outcome]:
    """What became of each push, in the order given.

    Raises:
        Unavailable: transient trouble. Some may have been stored; sending the same list again is harmless.
        NotFound: the workspace is gone.
        Forbidden: this sign-in may not write at all.
    Once: by the key of each push.
    """
    raise NotImplementedError


async def blobs(
    client: AsyncClient, workspace: str, digests: Sequence[Digest]
) -> AsyncIterator[tuple[Digest, bytes | None]]:
    """Each distinct digest once, in any order, with its body; None where the server has none for this reader (R23).

    Every body has been checked against its digest.

    Raises:
        Unavailable: transient trouble; what came before it counts.
        NotFound: the workspace is gone.
    """
    raise NotImplementedError
    yield
