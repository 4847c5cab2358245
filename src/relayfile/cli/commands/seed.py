"""`relayfile seed`."""

import argparse
import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from relayfile.cli import connect
from relayfile.cli.commands import tree
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import Progress, plural, size
from relayfile.client import api
from relayfile.core.paths import left_out, left_out_folder
from relayfile.errors import RevisionMismatch, UsageError
from relayfile.mirror.root import refuse_secret_places
from relayfile.model import EXECUTABLE, REGULAR, SYMLINK, Mode, TreePath
from relayfile.wire import data

DESCRIPTION = """\
Upload a directory into a workspace, in chunks. Files the workspace already holds with the same content are passed
over, so a seed that was interrupted goes on where it stopped. A file that is there with *other* content is kept as it
is, and named, unless --overwrite is given. Symbolic links are stored as links; .git, node_modules and editors'
temporary files are left out, as in a mirror. Nothing below DIR is changed."""
EXAMPLES = """\
  relayfile seed acme ./acme
  relayfile seed acme ./export --overwrite        where contents differ, DIR wins

It exits with 1 when files were kept back."""

_CHUNK_FILES = 200
_CHUNK_BYTES = 4 * 1024 * 1024
_ALONE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class _Local:
    """One file below the directory."""

    path: TreePath
    place: Path
    size: int
    mode: Mode


@dataclass
class _Tally:
    """What became of the files so far. `kept` are those the workspace holds with other content."""

    files: int = 0
    size_bytes: int = 0
    uploaded: int = 0
    same: int = 0
    kept: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)


def arguments(parser: Parser) -> None:
    """`seed WORKSPACE DIR`."""
    parser.add_argument("workspace", metavar="WORKSPACE", help="a name or an id")
    parser.add_argument("directory", metavar="DIR", help="what to upload")
    parser.add_argument("--overwrite", action="store_true", help="replace files that differ")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The workspace holds every file of the directory; 1 when some were kept back, each named."""
    root = Path(asked.directory)
    if not root.is_dir():
        raise UsageError(
            f"{root} is not a directory. Nothing was uploaded.",
            code="not_a_directory",
            hint="`relayfile write` takes a file",
        )
    refuse_secret_places(context.home, root.resolve())
    tally = _Tally()
    files = list(_below(root, tally))
    with (
        connect.to_workspace(context, asked.workspace) as there,
        context.output.progress(f"seed {there.name}") as bar,
    ):
        present = {entry.path: entry for entry in tree.entries(there, "/") if entry.type != "dir"}
        _Upload(there, present, tally, bar, files, overwrite=asked.overwrite).all()
    return _tell(tally, context)


class _Upload:
    """One seed: reads each file once, and sends what the workspace does not hold."""

    def __init__(
        self,
        there: connect.Workspace,
        present: dict[str, data.TreeEntry],
        tally: _Tally,
        bar: Progress,
        files: list[_Local],
        *,
        overwrite: bool,
    ) -> None:
        self._there = there
        self._present = present
        self._tally = tally
        self._bar = bar
        self._files = files
        self._total_bytes = sum(one.size for one in files)
        self._overwrite = overwrite
        self._chunk: list[tuple[_Local, data.BulkFile]] = []
        self._chunk_bytes = 0

    def all(self) -> None:
        """Every file is on the server, or in the tally with why not."""
        for one in self._files:
            try:
                body = os.fsencode(one.place.readlink()) if one.mode == SYMLINK else one.place.read_bytes()
            except OSError as error:
                self._refused(one, f"cannot be read: {error.strerror}")
                continue
            over = self._over(one, body)
            if over is not None:
                self._send(one, body, over)
        self._flush()

    def _over(self, one: _Local, body: bytes) -> int | None:
        """The revision to write over; None when there is nothing to write."""
        entry = self._present.get(one.path.wire)
        if entry is None:
            return 0
        if entry.content_hash == hashlib.sha256(body).hexdigest() and data.mode_shown(entry) == one.mode:
            self._tally.same += 1
        elif self._overwrite:
            return data.if_match(entry.revision) or 0
        else:
            self._tally.kept.append(one.path.wire)
        self._done(one)
        return None

    def _send(self, one: _Local, body: bytes, over: int) -> None:
        # The key makes a repeat of this very request harmless. It is new in each run: the server would answer one
        # of an earlier run with "stored" even if the file had been deleted since.
        key = uuid.uuid4().hex
        if len(body) > _ALONE_BYTES:
            try:
                self._there.call(api.write_file(self._there.id, one.path, body, over=over, key=key, mode=one.mode))
                self._tally.uploaded += 1
            except RevisionMismatch:
                self._tally.kept.append(one.path.wire)
            self._done(one)
            return
        self._chunk.append((one, api.bulk_file(one.path, body, one.mode, over=over, key=key)))
        self._chunk_bytes += len(body)
        if len(self._chunk) >= _CHUNK_FILES or self._chunk_bytes >= _CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._chunk:
            return
        answer = self._there.call(api.bulk(self._there.id, [file for _, file in self._chunk]))
        failed = {error.path: error for error in answer.errors}
        for one, _ in self._chunk:
            error = failed.get(one.path.wire)
            if error is None:
                self._tally.uploaded += 1
            elif error.current_revision:
                self._tally.kept.append(one.path.wire)
            else:
                self._refused(one, error.message, counted=False)
            self._done(one)
        self._chunk, self._chunk_bytes = [], 0

    def _refused(self, one: _Local, why: str, *, counted: bool = True) -> None:
        self._tally.refused.append({"path": one.path.wire, "reason": why})
        if counted:
            self._done(one)

    def _done(self, one: _Local) -> None:
        self._tally.files += 1
        self._tally.size_bytes += one.size
        self._bar.at(self._tally.files, len(self._files), self._tally.size_bytes, self._total_bytes)


def _below(root: Path, tally: _Tally) -> Iterator[_Local]:
    """Every file and link below `root` that a mirror would keep, in order; links are never followed."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            name = f"{folder}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if not left_out_folder(name):
                    folders.append(name + "/")
                continue
            if left_out(name):
                continue
            if not (entry.is_symlink() or entry.is_file(follow_symlinks=False)):
                tally.refused.append({"path": "/" + name, "reason": "neither a file nor a link"})
                continue
            try:
                path = TreePath.parse(name)
            except UsageError as error:
                tally.refused.append(
                    {"path": "/" + os.fsencode(name).decode(errors="replace"), "reason": error.message}
                )
                continue
            stat = entry.stat(follow_symlinks=False)
            mode = SYMLINK if entry.is_symlink() else EXECUTABLE if stat.st_mode & 0o111 else REGULAR
            yield _Local(path, Path(entry.path), stat.st_size, mode)


def _tell(tally: _Tally, context: Context) -> int:
    for path in tally.kept:
        context.output.say(f"{path}: the workspace holds other content, kept (--overwrite replaces it)")
    for one in tally.refused:
        context.output.say(f"{one['path']}: left out: {one['reason']}")
    context.output.say(
        f"{plural(tally.uploaded, 'file')} uploaded, {tally.same:,} already there, {len(tally.kept):,} kept back, "
        f"{len(tally.refused):,} left out ({size(tally.size_bytes)} looked at)"
    )
    fields = {"uploaded": tally.uploaded, "same": tally.same, "kept": tally.kept, "refused": tally.refused}
    context.output.data(fields, "")
    return 1 if tally.kept else 0
