"""What the engine is given, and the words in which it speaks with it (R37).

The engine has no disk, no clock, no network and no threads of its own: it gets them through these protocols, so
that the same engine runs in the daemon and, by the million, in a simulation. Each value here is frozen; each
protocol says what is true when a call returns.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from relayfile.client.feed import Batch, OnConnection
from relayfile.client.push import Outcome, Push
from relayfile.core.trash import Kept, Old
from relayfile.model import Cursor, Digest, Mode, Stat, TreePath, Version

T = TypeVar("T")

# ---------------------------------------------------------------------------------------------------- contents

LARGE_BYTES: Final = 1_048_576
"""A content with more bytes than this is never whole in memory."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The content lies whole, and checked against its digest, in the mirror's `Parts`. It can be placed once."""


@dataclass(frozen=True, slots=True)
class Twin:
    """The content lies at another path of the mirror in this state, or lay there and lies in its trash."""

    path: TreePath
    stat: Stat


Body: TypeAlias = bytes | Fetched | Twin
"""Where a content is that is to be placed: in memory, or on the disk."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A content that cannot be had now, for a `reason` a person can read."""

    code: str
    reason: str


# ---------------------------------------------------------------------------------------------- steps on the disk


@dataclass(frozen=True, slots=True)
class Place:
    """Make the path hold `body`, whose digest and mode are those of `version`.

    `expected` is what lies there now as far as the mirror knows; None: nothing does. `old` is what is known of it,
    for the trash.
    """

    path: TreePath
    version: Version
    body: Body
    expected: Stat | None
    old: Old | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Make the path absent; what lay there goes to the trash. Folders left empty by it go too."""

    path: TreePath
    expected: Stat
    old: Old | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """Rename what lies at the path to `copy`, a conflict copy beside it (R31)."""

    path: TreePath
    expected: Stat
    copy: TreePath


Step: TypeAlias = Place | Remove | SetAside


@dataclass(frozen=True, slots=True)
class Done:
    """The step holds on the disk, durably.

    `stat` is that of the placed file, or of the copy that was set aside; None after a `Remove`, and None after a
    `Place` or `SetAside` whose file was touched again before it could be told apart (R27): the path is then
    scanned before it is trusted.
    """

    path: TreePath
    stat: Stat | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Nothing was done: something else than `expected` lies at the path. It is scanned and planned again."""

    path: TreePath


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done, for a `reason` a person can read.

    `lasting`: this version can never lie on this disk under this name (too long, a case twin), so the path is left
    out and listed. Otherwise (disk full, no permission, in the way) it is tried again later. What a folder refuses
    that is closed to the mirror lasts until a sweep finds it open (`code` is `CLOSED`).
    """

    path: TreePath
    reason: str
    lasting: bool = False
    code: str = "refused"


CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True)
class Unfit:
    """Nothing was done: the content is not, or is no longer, where the step said. It is to be fetched."""

    path: TreePath


Result: TypeAlias = Done | Changed | Refused | Unfit

# ------------------------------------------------------------------------------------- what a scan says of a path


@dataclass(frozen=True, slots=True)
class Found:
    """A file or symbolic link lies there with this state and content."""

    path: TreePath
    stat: Stat
    digest: Digest


@dataclass(frozen=True, slots=True)
class Missing:
    """No file and no symbolic link lies there."""

    path: TreePath


@dataclass(frozen=True, slots=True)
class Unstable:
    """The file changed while it was read; it is looked at again soon."""

    path: TreePath


@dataclass(frozen=True, slots=True)
class Left:
    """Something lies there that is never pushed: a name that is not UTF-8, a device, a fifo. `name` is for people."""

    name: str
    reason: str


Sight: TypeAlias = Found | Missing | Unstable | Left


@dataclass(frozen=True, slots=True)
class Hint:
    """Paths worth looking at again; with `overflow`, everything is. A hint is never truth."""

    paths: frozenset[TreePath]
    overflow: bool = False


# ------------------------------------------------------------------------------------------------------ the ports


class Clock(Protocol):
    """Time, so that a simulation can own it."""

    def now(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Returns `seconds` later."""


class Disk(Protocol):
    """The only writer below the mirror root. Every method blocks and is called in `run_blocking`, one at a time."""

    def execute(self, steps: Sequence[Step]) -> list[Result]:
        """One result a step, in the order of the steps, which are done in that order.

        A path that is refused never stops the others. On a full disk every remaining step is refused.

        Durable: what is `Done` survives power loss on return; nothing is ever half written.
        """

    def read(self, path: TreePath, expected: Stat) -> bytes | None:
        """The content (of a symbolic link: its target), or None when it is not, or was not throughout, `expected`."""

    def pieces(self, path: TreePath, expected: Stat, digest: Digest) -> Iterator[bytes | None]:
        """The content of a file, piece by piece; None in place of the last one when it is not that of `digest`, or
        the file is not, or was not throughout, `expected`.
        """

    def recover(self, placing: Mapping[TreePath, Version]) -> list[TreePath]:
        """The stage is settled after an unclean end: displaced user data became the conflict copies returned (R27).

        `placing` is what the open `place` intents were about to put where.

        Once: harmless to repeat.
        """

    def local_name(self, path: TreePath) -> str:
        """What the path is called here: itself, except where the file system cannot hold that."""

    def path_of(self, local: str) -> TreePath | None:
        """The path of what is called `local` here; None: nobody can tell."""

    def kept(self) -> Sequence[Kept]:
        """What the steps took and can be had back, oldest first."""

    def kept_content(self, one: Kept) -> tuple[Version, Body] | Refused | None:
        """What that holds (of a symbolic link: its target), at hand to be placed; None: it is gone."""


class Parts(Protocol):
    """Large contents on their way here, each whole or its beginning, on the mirror's own file system.

    They survive the process. Every method blocks and is called in `run_blocking`, one at a time.
    """

    def begin(self, digest: Digest, size: int) -> int | Lost:
        """How many bytes of it lie there; or why the disk does not take the rest, and then none is kept."""

    def append(self, digest: Digest, at: int, piece: bytes) -> Lost | None:
        """The piece lies there too, behind `at` bytes; or why not, and then none of the content is kept."""

    def verify(self, digest: Digest) -> Iterator[int | bool]:
        """Whether what lies there is that content, last; before, how much was read, again and again. What is not is
        gone.
        """

    def keep_only(self, wanted: Container[Digest]) -> None:
        """What lies there of other contents is gone."""


class Known(Protocol):
    """What the mirror last knew of local files."""

    def get(self, path: TreePath, /) -> tuple[Stat, Digest] | None:
        """State and content as last seen; None when the path was absent or its content is not known."""

    def mode(self, path: TreePath, /) -> Mode | None:
        """The mode that both sides agreed on last, else the one last seen; None: of a regular file there is none."""

    def below(self, folder: TreePath, /) -> Iterable[TreePath]:
        """Every path known to be present below `folder`; the root is the empty one."""

    def named(self, files: Collection[tuple[int, int]], /) -> Iterable[TreePath]:
        """Every path at which one of these files (dev, ino) was last seen."""


class Scanner(Protocol):
    """Disk -> what lies there. Blocks; called in `run_blocking`."""

    @property
    def elsewhere(self) -> Mapping[str, str]:
        """What was met under another last name than that of its path: path -> that name."""

    def sweep(self, known: Known) -> Iterator[Found | Unstable | Left]:
        """Everything below the root, each path once; digests are reused where the state is equal and not racy."""

    def rescan(self, paths: Iterable[TreePath], known: Known) -> list[Sight]:
        """What lies at these paths, and below those that are or were folders; known ones that are gone: `Missing`."""

    def reread(self, path: TreePath, known: Known) -> Iterator[int | Sight]:
        """What lies at the path by its bytes, whatever its state says: how many were read, again and again, and last
        what was seen (a file that cannot be read: `Left`, by this path).
        """


class Watcher(Protocol):
    """Notifications of the operating system."""

    def hints(self) -> AsyncIterator[Hint]:
        """Hints for ever, each settled (R32), none of `.relay` or of names that are left out (R44)."""

    def opened(self, folder: str) -> None:
        """What lies below this folder, which was closed or unreadable before, is watched and hinted again."""


Head: TypeAlias = tuple[Cursor, Digest]
"""The head of a log, and the tree digest of exactly there."""


class Api(Protocol):
    """One workspace on the server. Parks, without raising, while a sign-in is needed."""

    def batches(self, cursor: Cursor, start: int | None, on_connection: OnConnection) -> AsyncIterator[Batch]:
        """As `client.feed.batches`."""

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        """As `client.push.push`."""

    def blobs(self, digests: Sequence[Digest]) -> AsyncIterator[tuple[Digest, bytes | None]]:
        """As `client.push.blobs`."""

    def blob(self, digest: Digest, start: int) -> AsyncIterator[tuple[int, bytes]]:
        """As `AsyncClient.pieces` of `client.api.blob`."""

    async def digest(self) -> Head:
        """The head of the log now, and the tree digest of exactly there."""


class RunBlocking(Protocol):
    """How work that blocks is kept off the event loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """The result of `work`, run elsewhere (a simulation runs it in place)."""


TroubleState: TypeAlias = Literal["auth-failed", "config-error"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps the login from working: the state word it makes, one code, one sentence with the mending command."""

    state: TroubleState
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything the engine is given.

    `login` answers None while the login works. `host` names this machine in conflict copies. `chance` draws uniformly
    from [0, 1); `new_key` makes an idempotency key that was never made before.
    """

    clock: Clock
    disk: Disk
    parts: Parts
    scanner: Scanner
    watcher: Watcher
    api: Api
    run_blocking: RunBlocking
    login: Callable[[], Trouble | None]
    host: str
    chance: Callable[[], float]
    new_key: Callable[[], str]
