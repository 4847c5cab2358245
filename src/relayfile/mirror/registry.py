"""The mirrors of this machine: one `mirror.json` a mirror, in HOME/mirrors/<id>/. It says what is mirrored where.

The state of a mirror (trees, cursor, outbox) is not here: `mirror/state` owns it, in the same folder.
"""

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from relayfile.core.trash import KEEP_S, MOST_BYTES
from relayfile.credentials.home import Home
from relayfile.errors import Misconfigured, NotFound

RECORD = "mirror.json"
RETIRED = "mirror.json.retired"
SOCKET = "control.sock"
PRIVATE = ".relay"
ID = "id"
"""In the root: the folder of our own, and the mark in it that says which mirror this is the root of."""


@dataclass(frozen=True)
class Record:
    """What `mount` decided, once. `root_dev` and `root_ino` tell the root from a copy of it (R33).

    `first_dev` and `first_ino` are those at the first mount, which the mirror's state is bound to; a root that was
    moved (`mount --moved`) keeps them. `shared_login`: its daemon renews through the shared sign-in, in place of a
    credential of its own (R10). `token_file`: it lives on the machine token in that file, and on no sign-in.
    `paused`: by `pause`, nothing is placed or sent until `resume`. `read_only`: nothing is ever sent.
    `keep_trash_s` and `trash_bytes` are for how long, and how much of, what is taken off the disk is kept.
    `up_rate` and `down_rate` are the most bytes of contents a second; 0: no limit.
    """

    id: str
    workspace: str
    workspace_name: str
    directory: str
    api_url: str
    profile: str = "default"
    shared_login: bool = False
    root_dev: int = 0
    root_ino: int = 0
    first_dev: int = 0
    first_ino: int = 0
    token_file: str | None = None
    paused: bool = False
    read_only: bool = False
    keep_trash_s: float = KEEP_S
    trash_bytes: int = MOST_BYTES
    up_rate: int = 0
    down_rate: int = 0


def load(home: Home, mirror: str) -> Record:
    """The record of the mirror with this id.

    Raises:
        NotFound: no such mirror on this machine.
        Misconfigured: its record cannot be read.
    """
    return _read(home.mirrors / mirror / RECORD, mirror)


def known(home: Home, mirror: str) -> Record | None:
    """The record of the mirror with this id, also of one that is listed no more; None: there is none to be read."""
    for name in (RECORD, RETIRED):
        try:
            return _read(home.mirrors / mirror / name, mirror)
        except (NotFound, Misconfigured):
            continue
    return None


def _read(path: Path, mirror: str) -> Record:
    try:
        found = json.loads(path.read_text("utf-8"))
        names = {field.name for field in fields(Record)}
        return Record(**{name: value for name, value in found.items() if name in names})
    except FileNotFoundError:
        raise NotFound(f"no mirror {mirror!r} on this machine", code="mirror_not_found") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Misconfigured(
            f"the record {path} cannot be read: {error}", hint="mount the directory again: nothing in it is touched"
        ) from error


def all(home: Home) -> list[Record]:  # noqa: A001 - `registry.all(home)` is how it reads where it is used
    """Every mirror of this machine whose record can be read, by directory."""
    found = []
    try:
        names = [folder.name for folder in home.mirrors.iterdir()]
    except FileNotFoundError:
        return []
    for name in names:
        try:
            found.append(load(home, name))
        except (NotFound, Misconfigured):
            continue
    return sorted(found, key=lambda record: record.directory)


def save(home: Home, record: Record) -> None:
    """The record is what `load` answers from now on.

    Durable: on return, and never half written.
    """
    folder = home.prepare("mirrors", record.id)
    part = folder / f"{RECORD}.part"
    text = json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(folder / RECORD)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def retire(home: Home, mirror: str) -> None:
    """The mirror is no longer listed; its state stays on disk."""
    folder = home.mirrors / mirror
    (folder / RECORD).replace(folder / RETIRED)


def find(home: Home, directory: str | Path) -> Record | None:
    """The mirror whose root is `directory`, or holds it; None when there is none.

    A root that was moved is known by its mark and its inode; the record then names the place where it is now.
    """
    wanted = os.path.realpath(directory)
    records = {os.path.realpath(record.directory): record for record in all(home)}
    while True:
        named = records.get(wanted)
        if named is not None and in_place(named):
            return named
        if found := _moved_to(home, wanted) or named:
            return found
        parent = os.path.dirname(wanted)  # noqa: PTH120 - a string in, strings compared
        if parent == wanted:
            return None
        wanted = parent


def in_place(record: Record) -> bool:
    """The directory that was mounted lies where it was."""
    try:
        return Path(record.directory).stat().st_ino == record.root_ino
    except OSError:
        return False


def marked(private: int) -> str | None:
    """The id of the mirror whose root this `.relay` says that it lies in; None: of none, or in no form of ours."""
    try:
        descriptor = os.open(ID, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=private)
    except OSError:
        return None
    try:
        found = json.loads(os.read(descriptor, 4096))["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        os.close(descriptor)
    return found if isinstance(found, str) and found.isalnum() else None


def _moved_to(home: Home, directory: str) -> Record | None:
    """The mirror whose root lies here now and not where its record says. A copy of a root has another inode.

    That may be one that is listed no more, since another mirror took the name that it had.
    """
    try:
        private = os.open(
            os.path.join(directory, PRIVATE),  # noqa: PTH118 - as above
            os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
        )
    except OSError:
        return None
    try:
        mark = marked(private)
    finally:
        os.close(private)
    record = None if mark is None else known(home, mark)
    if record is None or in_place(record):
        return None
    moved = replace(record, directory=directory)
    return moved if in_place(moved) else None


def control_socket(home: Home, mirror: str) -> str:
    """Where the daemon of this mirror listens, if it runs.

    `control.sock` is the socket itself or, where its path would be longer than a socket's may be, a symbolic link
    to it (R33).
    """
    path = home.mirrors / mirror / SOCKET
    try:
        return str(path.readlink())
    except OSError:
        return str(path)
