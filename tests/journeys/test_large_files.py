"""Files larger than a daemon may hold in memory, with real processes."""

import contextlib
import hashlib
import os
import signal
from pathlib import Path

import pytest

from waiting import until

MIB = 1 << 20
SIZE = 256 * MIB
OVER_IDLE = 64 * MIB


def peak_bytes(pid):
    """The most memory the process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def make_large(file, size=SIZE):
    """A file of `size` bytes, no piece of it like another; its digest."""
    block = os.urandom(MIB)
    content = hashlib.sha256()
    with file.open("wb") as to:
        for number in range(size // MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            content.update(piece)
            to.write(piece)
    return content.hexdigest()


def digest_of(file):
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@pytest.fixture
def large(server, machine, place):
    """The digest of a large file that the workspace `w` holds at `/large.bin`; no mirror has it."""
    workspace = machine.run("workspace", "create", "w", "--json").json["workspaceId"]
    file = place / "large.bin"
    digest = make_large(file)
    observer = server.observer()
    headers = {"Content-Type": "application/octet-stream", "If-Match": "0", "Content-Length": str(SIZE)}
    with contextlib.closing(observer), file.open("rb") as raw:
        observer.ok("PUT", f"/v1/workspaces/{workspace}/fs/file?path=/large.bin", raw=raw, headers=headers)
    file.unlink()
    return digest


def test_a_large_file_comes_down_after_a_kill_and_in_bounded_memory(server, machine, place, large):
    """Defends M23: the second daemon is sent only what the first one did not get."""
    machine.run("workspace", "create", "empty")
    machine.run("mount", "empty", place / "idle")
    idle = peak_bytes(machine.until_live(place / "idle")["pid"])
    machine.run("stop", place / "idle")
    root = place / "root"
    part = root / ".relay" / "parts" / large
    machine.run("mount", "w", root)
    until(lambda: part.exists() and part.stat().st_size >= SIZE // 4, within_s=60, what="a part of it is there")
    os.kill(machine.daemons()[0], signal.SIGKILL)
    until(lambda: not machine.daemons(), within_s=20, what="the daemon is gone")
    held = part.stat().st_size
    assert SIZE // 4 <= held < SIZE, "it was killed in the middle"

    machine.run("mount", "w", root)
    seen = machine.until_live(root, within_s=120)
    assert digest_of(root / "large.bin") == large
    assert 0 < seen["traffic"]["fetched_bytes"] <= SIZE - held
    assert not list(part.parent.iterdir())
    assert peak_bytes(seen["pid"]) - idle < OVER_IDLE
