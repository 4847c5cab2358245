"""Whether a directory may be the root of a mirror, and which mirror it is the root of (R33).

`.relay/` in the root holds `id`, `lock`, `state.json`, `stage/` and `trash/`. It is never watched, never synced. A
root that contains, equals or lies inside a place that holds secrets is refused: mounting a home directory would
otherwise upload the sign-in and the keys.
"""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from relayfile.core.paths import left_out_folder
from relayfile.credentials.home import SECRETS_MARK, Home
from relayfile.errors import Misconfigured, UsageError
from relayfile.mirror import registry
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.lease import Lease
from relayfile.mirror.registry import ID, PRIVATE, Record


def prepare(
    home: Home,
    directory: str | Path,
    *,
    workspace: str,
    workspace_name: str,
    api_url: str,
    profile: str,
    shared_login: bool | None = None,
    new: bool = False,
    moved: bool = False,
) -> Record:
    """`directory` is a mirror root with an identity, and its record is saved: a daemon may be started on it.

    Repeating it for the same workspace answers the same record. `new` gives the directory a new identity (its files
    are then uploaded or kept, as at a first mount); `moved` keeps the identity of a root that was copied elsewhere
    and is gone from its old place. `shared_login` None: as it was, at first a login of its own.

    Raises:
        UsageError: it is not a directory.
        Misconfigured: it may not be a root: inside or around another mirror, around or inside a place of secrets,
            unwritable; or it is a mirror of another workspace or server and `new` was not given.
        LeaseHeld: a daemon of another home keeps it.
    """
    root = Path(os.path.realpath(directory))
    # before anything is made: a refused place stays as it was, also when it did not exist
    refuse_secret_places(home, root)
    _refuse_other_mirrors(home, root)
    _make(root)
    with Beneath(str(root), workspace=workspace_name) as beneath:
        marked = identity(beneath)
        wanted = Record(
            id=marked or "",
            workspace=workspace,
            workspace_name=workspace_name,
            directory=str(root),
            api_url=api_url,
            profile=profile,
            shared_login=bool(shared_login),
            root_dev=beneath.dev,
            root_ino=beneath.ino,
            first_dev=beneath.dev,
            first_ino=beneath.ino,
        )
        before = _of_this_root(home, wanted, moved=moved) if marked and not new else None
        if before is None:
            # a daemon of another home may own it: its mark is not taken from under it
            with Lease(beneath.root, beneath.private, str(root)):
                _retire_others(home, root)
                wanted = replace(wanted, id=secrets.token_hex(8))
                registry.save(home, wanted)
                _mark(beneath, wanted.id)
        elif (before.workspace, before.api_url) != (workspace, api_url):
            raise Misconfigured(
                f"{root} mirrors the workspace {before.workspace_name} of {before.api_url}, not {workspace_name} of "
                f"{api_url}. Nothing was changed.",
                code="other_workspace",
                hint="mount another directory, or use --new: its files are then uploaded, as at a first mount",
            )
        else:
            kept = before.shared_login if shared_login is None else shared_login
            wanted = replace(
                wanted,
                shared_login=kept,
                paused=before.paused,
                read_only=before.read_only,
                first_dev=before.first_dev,
                first_ino=before.first_ino,
            )
            registry.save(home, wanted)
    return wanted


def settle(home: Home, record: Record) -> None:
    """The record names the place where its root is now: where `registry.find` found one that was moved (R33).

    Raises:
        Misconfigured: it may not be a root there, as `prepare`; the record is as it was.
    """
    if (record.id, record.directory) in {(one.id, one.directory) for one in registry.all(home)}:
        return
    place = Path(record.directory)
    refuse_secret_places(home, place)
    _refuse_other_mirrors(home, place)
    registry.save(home, record)


def identity(beneath: Beneath) -> str | None:
    """The id of the mirror whose root this says it is; None: of none, or in no form of ours."""
    return registry.marked(beneath.private)


def verify(beneath: Beneath, record: Record) -> None:
    """The opened root is the one of `record`; its mark is there again if a clean-up removed it.

    Raises:
        Misconfigured: code `other_root`: another directory lies there, or it is another mirror's now.
    """
    # device numbers may change with a reboot; the mark below tells the rest
    if beneath.ino != record.root_ino:
        raise Misconfigured(
            f"{record.directory} is not the directory that was mounted. Nothing was changed.",
            code="other_root",
            hint=f"`relayfile mount {record.workspace_name} {record.directory}` makes a mirror of it; with --moved "
            "if it takes the old one's place",
        )
    marked = identity(beneath)
    if marked is None:
        _mark(beneath, record.id)
    elif marked != record.id:
        raise Misconfigured(
            f"{record.directory} belongs to another mirror ({marked}) now. Nothing was changed.",
            code="other_root",
            hint=f"`relayfile mount {record.workspace_name} {record.directory}` makes a mirror of it",
        )


def secret_places(home: Home) -> frozenset[tuple[int, int]]:
    """(dev, ino) of the folders of this home that no mirror enters wherever they appear, marked or not."""
    found = set()
    for place in (home.path, home.server, home.server / "keys", home.mirrors, home.profiles):
        try:
            there = place.stat()
        except OSError:
            continue
        found.add((there.st_dev, there.st_ino))
    return frozenset(found)


def _make(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise UsageError(
            f"{root} is a file, not a directory. It was left as it is.",
            code="not_a_directory",
            hint="name a directory; one that does not exist is made",
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (NotADirectoryError, FileExistsError):
        raise UsageError(
            f"{root} cannot be made: a part of its path is a file, not a directory.",
            code="not_a_directory",
            hint="name another place",
        ) from None
    except OSError as error:
        raise Misconfigured(f"{root} cannot be made: {error.strerror}", code="root_unusable") from error
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise Misconfigured(
            f"{root} may not be read and written by you.", code="root_unusable", hint="change its owner or its mode"
        )


def _upwards(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents


def _same(one: Path, other: Path) -> bool:
    """The same folder, whatever its names: bind mounts and case-folding file systems give one folder several."""
    if one == other:
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False


def _lies_in(inner: Path, outer: Path) -> bool:
    return any(_same(above, outer) for above in _upwards(inner))


def refuse_secret_places(home: Home, root: Path) -> None:
    """Nothing of `root` would be uploaded that holds sign-ins or keys: of this home, another one, or a server (R33).

    Raises:
        Misconfigured: code `secret_place`: it is, lies in or lies around a folder of them.
    """
    real = Path(os.path.realpath(home.path))
    place = real if _lies_in(root, real) or _lies_in(real, root) else None
    place = place or next((above for above in _upwards(root) if (above / SECRETS_MARK).exists()), None)
    place = place or next(_below_with(root, SECRETS_MARK), None)
    if place is not None:
        raise Misconfigured(
            f"{root} cannot be used: {place} holds sign-ins or keys, which would be uploaded. Nothing was changed.",
            code="secret_place",
            hint="choose a directory of its own, such as ~/work/acme",
        )


def _below_with(root: Path, name: str) -> Iterator[Path]:
    """The folders below `root` that a mirror would enter and that hold something called `name`."""
    for folder, folders, files in os.walk(root):
        if folder != str(root) and (name in folders or name in files):
            yield Path(folder)
        folders[:] = [below for below in folders if not left_out_folder(below)]


def _refuse_other_mirrors(home: Home, root: Path) -> None:
    for record in registry.all(home):
        other = Path(os.path.realpath(record.directory))
        if _same(root, other) or not registry.in_place(record):  # what was its root lies elsewhere
            continue
        where = "inside" if _lies_in(root, other) else "around" if _lies_in(other, root) else None
        if where:
            raise Misconfigured(
                f"{root} cannot be a mirror: it lies {where} the mirror {other}. Nothing was changed.",
                code="nested_mirror",
                hint="mount a directory outside of it",
            )
    # Mirrors of other homes are not in our registry, but carry their mark.
    for above in root.parents:
        if (above / PRIVATE / ID).is_file():
            raise Misconfigured(
                f"{root} cannot be a mirror: it lies inside the mirror {above}. Nothing was changed.",
                code="nested_mirror",
                hint="mount a directory outside of it",
            )
    for below in _below_with(root, PRIVATE):
        raise Misconfigured(
            f"{root} cannot be a mirror: it lies around the mirror {below}. Nothing was changed.",
            code="nested_mirror",
            hint=f"mount a directory outside of it; if nobody keeps that mirror any more, delete {below / PRIVATE}",
        )


def _of_this_root(home: Home, wanted: Record, *, moved: bool) -> Record | None:
    """The record of the mirror that this root really is; None when it is a copy, or unknown here."""
    before = registry.known(home, wanted.id)
    if before is None:
        return None
    if (before.root_dev, before.root_ino) == (wanted.root_dev, wanted.root_ino):
        return before
    return before if moved and not registry.in_place(before) else None


def _retire_others(home: Home, root: Path) -> None:
    """Mirrors that had their root here are listed no more: it gets a new identity. Their state stays on disk."""
    for record in registry.all(home):
        if Path(os.path.realpath(record.directory)) == root:
            registry.retire(home, record.id)


def _mark(beneath: Beneath, mirror: str) -> None:
    part = f"{ID}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(part, flags, 0o600, dir_fd=beneath.private)
        try:
            os.write(descriptor, json.dumps({"id": mirror}).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(part, ID, src_dir_fd=beneath.private, dst_dir_fd=beneath.private)
        os.fsync(beneath.private)
    except OSError as error:
        raise Misconfigured(
            f"{beneath.directory}/{PRIVATE} cannot be written: {error.strerror}", code="root_unusable"
        ) from error
