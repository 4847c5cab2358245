"""The life of one server process: its lease on the data folder, its socket, its log, its end."""

import errno
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette

from relayfile.errors import LeaseHeld, Misconfigured
from relayfile.server.app import create
from relayfile.server.config import Listen, Settings

PID_FILE: Final = "server.pid"
GRACE_S: Final = 3
KEEP_ALIVE_S: Final = 75
MAX_SOCKET_MESSAGE_BYTES: Final = 32 * 1024
_REFUSED_UPGRADE: Final = "ASGI callable returned without completing handshake."
SWITCH_INTERVAL_S: Final = 0.001
"""Threads take turns this often: a long commit must not hold up the frame that tells of the last one."""


def serve(settings: Settings) -> int:
    """The server has run and ended in good order; the answer is its exit code.

    Once it listens it says so, with the real address, in one line on stderr and in `ready_file`.

    Raises:
        LeaseHeld: another server runs on this data folder.
        Misconfigured: the address is taken or none of this machine's, or a folder cannot be used.
        Damaged: the database is not one this version can use.
    """
    os.umask(0o077)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").addFilter(_is_trouble)
    with lease(settings.data), listening(settings.listen) as listener:
        app = create(settings)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.freeze()
        for sign in (signal.SIGTERM, signal.SIGINT):  # uvicorn ends in good order, then raises it again
            signal.signal(sign, lambda *_: None)
        server = _Server(
            _config(app, behind_proxy=settings.listen.public_url is not None),
            settings,
            url_of(settings.listen, listener),
            app.state.welcome,
        )
        server.run(sockets=[listener])
        return 0 if server.started else 70


def _is_trouble(record: logging.LogRecord) -> bool:
    """Whether the record tells of trouble: uvicorn takes each upgrade refused with an answer for a fault of ours."""
    return record.msg != _REFUSED_UPGRADE


@contextmanager
def lease(data: Path) -> Iterator[None]:
    """This process is the only server on `data`, by a lock that dies with it (R45).

    Raises:
        LeaseHeld: another one is.
        Misconfigured: the folder cannot be used, or its file system has no locks.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Misconfigured(
            f"the data folder {data} cannot be used: {error.strerror}", hint="choose another with --data"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise Misconfigured(
                f"{data} cannot be locked: {error.strerror}", hint="put the data on a local file system"
            ) from error
        pid = _pid_in(data)
        holder = f"process {pid}" if pid else "another process"
        raise LeaseHeld(
            f"{holder} already serves {data}; nothing was started", pid=pid, hint="use it, or choose another --data"
        ) from error
    try:
        (data / PID_FILE).write_text(f"{os.getpid()}\n")
        yield
    finally:
        (data / PID_FILE).unlink(missing_ok=True)
        os.close(descriptor)


def _pid_in(data: Path) -> int | None:
    try:
        return int((data / PID_FILE).read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def listening(listen: Listen) -> Iterator[socket.socket]:
    """A socket bound to the address; port 0 has become a real one.

    Raises:
        Misconfigured: it is taken, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((listen.host, listen.port))
        except OSError as error:
            raise Misconfigured(
                f"cannot listen at {listen.host}:{listen.port}: {error.strerror or error}",
                hint="choose another address with --listen HOST:PORT",
                code="address_unusable",
            ) from error
        listener.listen(2_048)
        listener.set_inheritable(False)
        yield listener


def url_of(listen: Listen, listener: socket.socket) -> str:
    """How this socket is reached from this machine."""
    port = listener.getsockname()[1]
    return f"http://[{listen.host}]:{port}" if ":" in listen.host else f"http://{listen.host}:{port}"


def _config(app: Starlette, *, behind_proxy: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level="warning",  # at "info" it logs the query of a socket, which may hold a token
        access_log=False,
        server_header=False,
        proxy_headers=behind_proxy,  # else whoever tries passwords could claim another address each time
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


class _Server(uvicorn.Server):
    """uvicorn, saying when it really listens."""

    def __init__(self, config: uvicorn.Config, settings: Settings, url: str, welcome: str | None) -> None:
        super().__init__(config)
        self._settings = settings
        self._url = url
        self._welcome = welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """It listens, and whoever waits for that knows."""
        await super().startup(sockets)
        if not self.started:
            return
        if ready := self._settings.listen.ready_file:
            draft = ready.with_name(ready.name + ".new")
            draft.write_text(self._url + "\n")
            draft.replace(ready)
        lines = [f"relayfile serving at {self._url} (data {self._settings.data})", *filter(None, [self._welcome])]
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
