"""The server that `up` runs on this machine: started when it is down, found when it runs, stopped by `down` (R45).

`server/local.json` holds its address, chosen once: mirrors and logins remember it. That a server runs is told by
the lock on its data folder, never by a file that says so; whether it is ours to stop, by the process that `up`
wrote down when it started it.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from relayfile import errors
from relayfile.credentials import machine
from relayfile.credentials.home import Home
from relayfile.errors import LeaseHeld, Misconfigured, RelayfileError, Unavailable

ADDRESS: Final = "local.json"
STARTED: Final = "local.pid"
"""The process that `up` started as the server."""
SERVING: Final = "server.pid"
"""The process that serves the data folder, as the server itself says (`server/serve`)."""
LOG: Final = "log"
OWNER_SIGNIN: Final = "owner-signin"
READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 20.0
ADDRESS_UNUSABLE: Final = "address_unusable"
"""The server's word for an address it cannot listen at (`server/serve`)."""
_LISTENS: Final = "0A"  # proc(5): TCP_LISTEN
_LOOK_EVERY_S: Final = 0.02


def address(home: Home) -> str | None:
    """Where the server of this home listens when it runs; None before the first `up`.

    Raises:
        Misconfigured: the file that should say so cannot be read.
    """
    path = home.server / ADDRESS
    try:
        return str(json.loads(path.read_text("utf-8"))["url"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            f"{path} does not say where the server listens: {error}. Nothing was changed.",
            code="local_address",
            hint='write {"url": "http://127.0.0.1:PORT"} into it, as `relayfile status` shows it for your mirrors',
        ) from error


def ensure(home: Home) -> tuple[str, bool]:
    """The address of the server of this home, which listens; and whether it had to be started.

    Raises:
        Misconfigured: its port is taken by another program, or it cannot start; says why.
        LeaseHeld: somebody serves this data folder at another address.
    """
    known = address(home)
    if not _data_is_served(home):
        return _start(home, known), True
    if known is None:
        raise LeaseHeld(
            f"a server that `up` did not start serves {home.server}. It was left alone.",
            pid=_number(home.server / SERVING),
            hint="stop it, or use it: `relayfile login URL`, then `relayfile mount WORKSPACE DIR`",
        )
    return known, False


def stop(home: Home) -> bool:
    """The server that `up` started has ended in good order. False: it did not run.

    Raises:
        LeaseHeld: a server runs on that data folder, but `up` did not start it.
        Unavailable: it was told to stop and is still there.
    """
    if not _data_is_served(home):
        return False
    pid = _ours(home)
    if pid is None:
        raise LeaseHeld(
            f"the server of {home.server} was not started by `up`. It was left running.",
            hint="stop it where it was started",
        )
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_WITHIN_S
    while _data_is_served(home):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the server (process {pid}) was told to stop and has not ended within {STOP_WITHIN_S:g} s.",
                code="not_stopping",
                hint=f"{home.server / LOG} shows what it does",
            )
        time.sleep(_LOOK_EVERY_S)
    (home.server / STARTED).unlink(missing_ok=True)
    return True


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """No other `up` or `down` of this home runs meanwhile: two that start together would start two servers."""
    path = home.prepare() / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start(home: Home, known: str | None) -> str:
    data = home.prepare("server")
    ready = data / "local.ready"
    ready.unlink(missing_ok=True)
    listen = known.removeprefix("http://") if known else "127.0.0.1:0"
    words = [sys.executable, "-m", "relayfile", "serve", "--json", "--data", str(data), "--listen", listen]
    log_begin = (data / LOG).stat().st_size if (data / LOG).exists() else 0
    with os.fdopen(os.open(data / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        process = subprocess.Popen(
            [*words, "--ready-file", str(ready)],
            env=machine.environment_without(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=data,
        )
    try:
        url = _wait_until_ready(process, ready, data / LOG, log_begin)
    except Misconfigured as error:
        if error.code == ADDRESS_UNUSABLE and known is not None:
            raise _taken(home, known) from error
        raise
    _write(data / STARTED, f"{process.pid}\n")
    if known is None:
        _write(data / ADDRESS, json.dumps({"url": url}) + "\n")
    # It outlives this process: nobody is left to collect it, and its pid stands in the file.
    process.returncode = 0
    return url


def _wait_until_ready(process: "subprocess.Popen[bytes]", ready: Path, log: Path, log_begin: int) -> str:
    deadline = time.monotonic() + READY_WITHIN_S
    while not ready.exists():
        if (code := process.poll()) is not None:
            raise _ended(code, log, log_begin)
        if time.monotonic() > deadline:
            process.terminate()
            process.wait()
            raise Unavailable(
                f"the server did not listen within {READY_WITHIN_S:g} s; it was stopped. No data is lost.",
                code="not_ready",
                hint=f"{log} shows how far it came; then try again",
            )
        time.sleep(_LOOK_EVERY_S)
    return ready.read_text("utf-8").strip()


def _taken(home: Home, url: str) -> Misconfigured:
    """That another program has the port of this home's server (R45)."""
    return Misconfigured(
        f"{_listener(url)} listens at {url}, where the server of {home.server} belongs. "
        "Nothing was started, and no data is harmed.",
        code="port_taken",
        hint=f"end it, then `relayfile up` again. The port stands in {home.server / ADDRESS}: "
        "mirrors and the sign-in remember it",
    )


def _listener(url: str) -> str:
    """The process that listens at this loopback address, as a person needs it named."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    with suppress(OSError):
        rows = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
        sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == _LISTENS}
        for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):  # ended meanwhile, or another user's
                if str(descriptor.readlink()) in sockets:
                    process = descriptor.parts[2]
                    return f"process {process} ({Path('/proc', process, 'comm').read_text().strip()})"
    return "another program"


def _ended(code: int, log: Path, log_begin: int) -> RelayfileError:
    """The failure with which the server ended, as it told it itself on its last line."""
    with log.open("rb") as said:
        said.seek(log_begin)
        lines = said.read().decode(errors="replace").strip().splitlines()
    told: dict[str, str] = {}
    for line in lines:
        if line.startswith('{"error":'):
            told = json.loads(line)["error"]
    kind = next((one for one in RelayfileError.__subclasses__() if one.exit_code == code), Misconfigured)
    if kind not in {errors.Misconfigured, errors.UsageError, errors.Damaged, errors.Unavailable}:
        kind = Misconfigured
    return kind(
        f"the server could not start: {told.get('message') or (lines or ['it said nothing'])[-1]}",
        code=told.get("code") or "server_not_started",
        hint=told.get("hint") or f"{log} has the rest",
    )


def _data_is_served(home: Home) -> bool:
    """Whether a server holds the lock of the data folder (`server/serve.lease`)."""
    try:
        descriptor = os.open(home.server, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _ours(home: Home) -> int | None:
    """The process that serves the data folder, if it is the one that `up` started. To be asked while it is served."""
    serving = _number(home.server / SERVING)
    return serving if serving is not None and serving == _number(home.server / STARTED) else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
