"""Starting and stopping the daemon of a mirror from another process.

The daemon is `python -m relayfile mount --foreground --mirror ID --ready-fd N`, in a session of its own. Over the
descriptor N it says one line when it is ready, or why it ends: the wait needs no polling and no guess.
"""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from relayfile import errors
from relayfile.credentials import machine
from relayfile.credentials.home import Home
from relayfile.errors import LeaseHeld, Misconfigured, RelayfileError, Unavailable
from relayfile.mirror import lease, registry, root
from relayfile.mirror.registry import PRIVATE, Record

READY_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 20.0
READY: Final = "ready"
LOG: Final = "log"
_LOOK_EVERY_S: Final = 0.02
_ANSWER_WITHIN_S: Final = 2.0
_PEER: Final = struct.Struct("3i")  # unix(7): pid, uid, gid
_CLASSES: Final = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RelayfileError) and kind != errors.RevisionMismatch
}


def start(home: Home, record: Record, *, within_s: float = READY_WITHIN_S) -> None:
    """A daemon keeps the mirror, and has its lease and its first observation (R35).

    Raises:
        LeaseHeld: a daemon already does.
        Unavailable: code `not_ready`: it runs and goes on trying, but was not ready after `within_s`.
        RelayfileError: of the class and with the message with which the daemon ended; or as `root.settle`.
    """
    root.settle(home, record)
    ours, theirs = os.pipe()
    try:
        with (home.prepare("mirrors", record.id) / LOG).open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "relayfile",
                    "mount",
                    "--foreground",
                    "--mirror",
                    record.id,
                    "--ready-fd",
                    str(theirs),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs,),
                env=machine.environment_without(),
                start_new_session=True,
                cwd="/",  # it must not keep the caller's folder busy
            )
    except OSError as error:
        os.close(ours)
        raise Misconfigured(f"no daemon can be started: {error.strerror}", code="no_daemon") from error
    finally:
        os.close(theirs)
    try:
        said = _said(ours, within_s)
    finally:
        os.close(ours)
    if said == "":  # it ended without a word
        code = process.wait()
        raise Misconfigured(
            f"the daemon ended at once (exit {code}); no file was touched",
            code="no_daemon",
            hint=f"see {home.mirrors / record.id / LOG}",
        )
    process.returncode = 0  # it lives on without us: nobody here will ask how it ended
    _judge(said, record)


def stop(home: Home, record: Record, *, within_s: float = STOP_WITHIN_S) -> bool:
    """No daemon keeps the mirror. False: none did.

    Raises:
        Unavailable: code `not_stopping`: it was still there after `within_s`.
    """
    running = pid(home, record)
    if running is None:
        return False
    if not _asked_to_stop(home, record):
        with contextlib.suppress(ProcessLookupError):
            os.kill(running, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while _lives(running):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the daemon {running} of {record.directory} has not ended within {within_s:.0f} s",
                code="not_stopping",
                hint=f"see {home.mirrors / record.id / LOG}; `kill -9 {running}` loses nothing that was acknowledged",
            )
        time.sleep(_LOOK_EVERY_S)
    return True


def pid(home: Home, record: Record) -> int | None:
    """The process that keeps the mirror; None when none does.

    The lease is what counts: the number in its file is believed only while the root is locked. A daemon whose root
    was deleted or moved away still answers at its control socket.
    """
    return _holder(record) or _listener(home, record)


def _holder(record: Record) -> int | None:
    try:
        root = os.open(record.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        private = os.open(PRIVATE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    except OSError:
        os.close(root)
        return None
    try:
        return lease.held_by(root, private)
    finally:
        os.close(private)
        os.close(root)


def _listener(home: Home, record: Record) -> int | None:
    """The process at the other end of the mirror's control socket; None when nobody listens there."""
    if not hasattr(socket, "SO_PEERCRED"):  # only Linux tells in these words
        return None
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(_ANSWER_WITHIN_S)
        try:
            asked.connect(registry.control_socket(home, record.id))
            told = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        except OSError:
            return None
    listener: int = _PEER.unpack(told)[0]
    return listener


def _said(descriptor: int, within_s: float) -> str | None:
    """The first line the daemon says; empty when it ended without; None when it said nothing in time."""
    deadline = time.monotonic() + within_s
    received = b""
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        block = os.read(descriptor, 65536)
        if not block:
            return ""
        received += block
    return received.decode().strip()


def _judge(said: str | None, record: Record) -> None:
    if said == READY:
        return
    if said is None:
        raise Unavailable(
            f"the mirror {record.directory} runs and goes on trying, but has not yet seen the whole workspace",
            code="not_ready",
            hint=f"`relayfile status {record.directory}` says why",
        )
    told = json.loads(said)
    if told["class"] == LeaseHeld.__name__:
        raise LeaseHeld(told["message"], pid=told["pid"], hint=told["hint"])
    raise _CLASSES.get(told["class"], RelayfileError)(told["message"], code=told["code"], hint=told["hint"])


def failure_line(error: RelayfileError) -> str:
    """How a daemon says why it ends, for `start` in the other process."""
    return json.dumps(
        {
            "class": type(error).__name__,
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "pid": error.pid if isinstance(error, LeaseHeld) else None,
        }
    )


def _lives(process: int) -> bool:
    """Whether the process still runs; one that ended and that nobody laid to rest yet does not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the number is another user's now
        return False
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:  # no such file system here: whoever started it lays it to rest at once
        return True
    return state != b"Z"


def _asked_to_stop(home: Home, record: Record) -> bool:
    connection = http.client.HTTPConnection("mirror", timeout=_ANSWER_WITHIN_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(_ANSWER_WITHIN_S)
    try:
        connection.sock.connect(registry.control_socket(home, record.id))
        connection.request("POST", "/stop")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
