"""Files larger than a daemon may hold in memory, with real processes."""

import hashlib
import os
import signal
from pathlib import Path

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


def test_a_large_file_goes_up_and_comes_down_after_a_kill_in_bounded_memory(server, new_machine, place):
    """Defends M23 to M25: the second daemon is sent only what the first one did not get, and none holds it whole."""
    one, other = new_machine(), new_machine()
    one.login(server)
    other.login(server)
    one.run("workspace", "create", "w")
    root = place / "one"
    one.run("mount", "w", root)
    sender = one.until_live(root)["pid"]
    assert server.process is not None
    idle, idle_server = peak_bytes(sender), peak_bytes(server.process.pid)

    large = make_large(root / "large.bin")
    seen = one.until_mirror(root, lambda now: now["equal"] and now["observed"], within_s=120, what="it went up")
    assert seen["observed"] == 1, "once, and not while it was being written"
    assert peak_bytes(sender) - idle < OVER_IDLE

    root = place / "other"
    part = root / ".relay" / "parts" / large
    other.run("mount", "w", root)
    until(lambda: part.exists() and part.stat().st_size >= SIZE // 4, within_s=60, what="a part of it is there")
    os.kill(other.daemons()[0], signal.SIGKILL)
    until(lambda: not other.daemons(), within_s=20, what="the daemon is gone")
    held = part.stat().st_size
    assert SIZE // 4 <= held < SIZE, "it was killed in the middle"

    other.run("mount", "w", root)
    seen = other.until_live(root, within_s=120)
    assert digest_of(root / "large.bin") == large
    assert 0 < seen["traffic"]["fetched_bytes"] <= SIZE - held
    assert not list(part.parent.iterdir())

    (place / "one" / "large.bin").rename(place / "one" / "renamed.bin")
    until(lambda: not (root / "large.bin").exists(), within_s=120, what="the old name is gone")
    before, seen = seen["traffic"], other.until_live(root)
    assert digest_of(root / "renamed.bin") == large
    assert seen["traffic"] == before | {"reused": before["reused"] + 1}, "renamed here without its bytes"
    assert peak_bytes(seen["pid"]) - idle < OVER_IDLE
    assert peak_bytes(server.process.pid) - idle_server < OVER_IDLE
