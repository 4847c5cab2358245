"""What a workspace became, as batches from a cursor: the delta feed, then the live socket; resumes by itself.

It holds no state of its own beyond the cursor it was given and has moved: whoever reads it may stop after any batch
and begin again from that batch's cursor. It never applies anything and never decides what a change means.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from relayfile.client.transport_async import AsyncClient
from relayfile.errors import RelayfileError
from relayfile.model import Change, Cursor

Connection: TypeAlias = Literal["connecting", "catching-up", "live", "offline"]
OnConnection: TypeAlias = Callable[[Connection, RelayfileError | None], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive changes, in order of position, and the cursor that holds once they are observed.

    `start` is set in every batch of a generation begun at 0 (R17) and None afterwards; the reader stores it with
    the cursor and gives it back when it resumes. `end`: the delta feed has nothing more for now; what was not seen
    in the generation is gone. `tree_digest` is there only where the server said the digest of exactly
    `cursor.position`. `refused` are (wire path, reason) of items whose path cannot exist in any mirror.
    """

    changes: list[Change]
    cursor: Cursor
    head: int
    start: int | None = None
    end: bool = False
    tree_digest: bytes | None = None
    refused: list[tuple[str, str]] = field(default_factory=list)
    live: bool = False
    received_bytes: int = 0


async def batches(
    client: AsyncClient, workspace: str, cursor: Cursor, start: int | None = None, *, on_connection: OnConnection
) -> AsyncIterator[Batch]:
    """Every change after `cursor`, for ever, in batches whose cursors rise.

    Transient trouble is waited out inside, and told through `on_connection`.

    Raises:
        CursorExpired: the log cannot be read from there any more; begin a new generation at `Cursor("", 0)`.
        NotFound: the workspace is gone (`workspace_deleted`, `workspace_not_found`).
        Forbidden: this sign-in may not read it.
    """
    raise NotImplementedError
    yield
