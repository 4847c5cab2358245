"""The nouns, as frozen values. No I/O, no JSON, no decisions beyond "is this value one of its kind"."""

from dataclasses import dataclass, field
from typing import Final, Literal, NewType, TypeAlias

from relayfile.errors import UsageError

Digest = NewType("Digest", bytes)
"""SHA-256 of content: 32 raw bytes. On JSON it is 64 lowercase hex digits, in frames and tables raw."""

Mode: TypeAlias = Literal["644", "755", "120000"]
"""A file, an executable file, a symbolic link whose content is its target (R18)."""

REGULAR: Final[Mode] = "644"
EXECUTABLE: Final[Mode] = "755"
SYMLINK: Final[Mode] = "120000"

MAX_SEGMENT_BYTES: Final = 255
MAX_PATH_BYTES: Final = 4096


class TreePath(str):
    """A path inside a workspace: relative, `/` between segments, valid UTF-8 kept byte for byte (R25).

    Made only by `parse`, at the edge; whoever holds one need not check again. On the wire it has a leading `/`.
    Compared by bytes: Python's order of `str` equals the order of UTF-8 bytes.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "TreePath":
        """The path that `text` (with or without leading `/`) names.

        Raises:
            UsageError: code `invalid_path`; says which rule `text` breaks.
        """
        path = text.removeprefix("/")
        if fault := _fault(path):
            shown = text if len(text) <= 120 else text[:117] + "..."
            raise UsageError(
                f"not a workspace path: {shown!r}: {fault}",
                code="invalid_path",
                hint="name it from the top, as /notes/today.md",
            )
        return cls(path)

    @property
    def wire(self) -> str:
        """As it is written on the wire: with its leading `/`."""
        return "/" + self


def _fault(path: str) -> str | None:
    if not path:
        return "it is empty"
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if len(raw) > MAX_PATH_BYTES:
        return f"it has {len(raw)} bytes; the limit is {MAX_PATH_BYTES}"
    if "\0" in path:
        return "it has a NUL byte"
    if "\\" in path:
        return "it has a backslash; use / between folders"
    for segment in path.split("/"):
        if segment in {"", ".", ".."}:
            return f"it has a segment {segment!r}"
        if len(segment) > 63 and len(segment.encode()) > MAX_SEGMENT_BYTES:
            return f"a segment has {len(segment.encode())} bytes; the limit is {MAX_SEGMENT_BYTES}"
    return None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to `position` in the log named `epoch` has been observed. `Cursor("", 0)` has seen nothing."""

    epoch: str
    position: int


@dataclass(frozen=True, slots=True)
class Version:
    """The content of one path at one revision. `revision` is the position that last changed it; 0: unpublished."""

    revision: int
    digest: Digest
    size: int
    mode: Mode

    def same_content(self, other: "Version | None") -> bool:
        """Equal bytes and equal mode, whatever the revision."""
        return other is not None and self.digest == other.digest and self.mode == other.mode


@dataclass(frozen=True, slots=True)
class Put:
    """At `position` the path got this content. `body` is there when it came inline."""

    path: TreePath
    position: int
    digest: Digest
    size: int
    mode: Mode
    body: bytes | None = None

    @property
    def version(self) -> Version:
        """The version this change made."""
        return Version(self.position, self.digest, self.size, self.mode)


@dataclass(frozen=True, slots=True)
class Delete:
    """At `position` the path went away."""

    path: TreePath
    position: int


Change: TypeAlias = Put | Delete


@dataclass(frozen=True, slots=True)
class Stat:
    """What tells one state of a local file from another without reading it (5-sync A.8)."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: Mode


class Secret:
    """A string that does not show itself. `reveal()` is called only where the bytes leave the process."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself. Never put the answer into a log, an error, or an argument list."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sign-in gave: the two tokens and until when each is good. Times are unix seconds; None is unknown.

    No renewal prolongs it beyond `absolute_expires_at`.
    """

    api_url: str
    access_token: Secret
    access_expires_at: float | None
    refresh_token: Secret | None
    refresh_expires_at: float | None
    issued_at: float | None = None
    family: str | None = None
    generation: int | None = None
    account: str | None = None
    absolute_expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from, as its bearer token proves.

    `workspace` is set for tokens of one workspace (R4 a); otherwise membership decides. `family` is None for
    machine tokens, whose id is then `token`. `scopes` are the token's own words (3-protocol B.2); membership may
    narrow them further.
    """

    account: str
    subject: str
    scopes: frozenset[str]
    expires_at: float
    workspace: str | None = None
    family: str | None = None
    labels: dict[str, str] = field(default_factory=dict, hash=False, compare=False)
    token: str | None = None
