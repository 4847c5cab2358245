"""The life of the process that keeps one mirror: lease, log, control socket, and one task group around the engine.

Composition root of the mirror: everything the engine is given is made here, and only here are there threads, tasks
and signals (R37). It decides nothing about files. It does not exit for sign-in: it parks, and says so (R14).
"""

import asyncio
import contextlib
import itertools
import logging
import math
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from typing import Final, TypeVar

import uvloop

from relayfile import __version__
from relayfile.client import api, enrol, feed, push
from relayfile.client.bandwidth import Bandwidth, Limit
from relayfile.client.exchange import open_session
from relayfile.client.feed import Batch, OnConnection
from relayfile.client.gate import Gate, Login
from relayfile.client.machine_login import open_machine_login
from relayfile.client.push import Outcome, Push
from relayfile.client.transport_async import AsyncClient
from relayfile.core.session import LoginState, Phase, as_fields, parked, remedy, text
from relayfile.credentials.home import Home
from relayfile.credentials.own import Purpose
from relayfile.credentials.profiles import named
from relayfile.errors import Halted, LeaseHeld, LoginRequired, RelayfileError, Unavailable, within
from relayfile.mirror import launch, root, status, verify, why
from relayfile.mirror.awaited import Awaited
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.conflicts import Conflict
from relayfile.mirror.control import Control
from relayfile.mirror.cycle import Cycle
from relayfile.mirror.disk import LocalDisk
from relayfile.mirror.engine import Engine
from relayfile.mirror.event import Event
from relayfile.mirror.giving_back import GivingBack
from relayfile.mirror.lease import Lease
from relayfile.mirror.outside import StateFile
from relayfile.mirror.parts import LocalParts
from relayfile.mirror.picture import Progress
from relayfile.mirror.ports import Ports, Trouble
from relayfile.mirror.registry import Record
from relayfile.mirror.resolve import Keep, Ruling, Settlement
from relayfile.mirror.scan import LocalScanner
from relayfile.mirror.state import Identity, State
from relayfile.mirror.trash import Keeping
from relayfile.mirror.verify import Verdict
from relayfile.mirror.watch import LocalWatcher
from relayfile.model import Cursor, Digest, TreePath
from relayfile.wire import control
from relayfile.wire.control import Fragment
from relayfile.wire.state_file import INTERVAL_S

T = TypeVar("T")

_INTERRUPTED: Final = 130
_BEAT_EVERY_S: Final = 1.0
_PURGE_EVERY_BEATS: Final = 15
_STOP_WITHIN_S: Final = 10.0
_PUBLISH_AT_MOST_EVERY_S: Final = 0.5
_LOG_BYTES: Final = 10_000_000
_LOGS_KEPT: Final = 3
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Once:
    """End as soon as both sides are proven equal, at the latest after `within_s`; `tell` hears how far it is."""

    within_s: float
    tell: Callable[[Progress], None]


@dataclass(frozen=True)
class Settings:
    """What a daemon may be told beside its record."""

    runtime_dir: str | None = None
    log_level: str = "INFO"
    once: Once | None = None


def run(home: Home, record: Record, settings: Settings | None = None, ready_fd: int | None = None) -> int:
    """The mirror was kept until somebody asked to stop; the exit code. With `settings.once`: both sides are equal, or
    somebody asked to stop before (130).

    On `ready_fd`, if given, one line was said as `launch.start` expects it.

    Raises:
        RelayfileError: it could not begin, or cannot go on, or `settings.once` failed; LeaseHeld among them. The log
            has it too, except that another daemon holds the lease: then the log is that one's.
    """
    settings = settings or Settings()
    _open_log(home, record, settings, to_stderr=ready_fd is None and settings.once is None)
    says = _Says(ready_fd)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_life(home, record, settings, says))
    except* RelayfileError as group:
        error = within(group)
        assert error is not None, "the group was split by that class"
        if not isinstance(error, LeaseHeld):
            _log.info("ends: %s (%s)", error.message, error.code)
        says.failed(error)
        raise error from group
    finally:
        says.close()
    _log.info("stopped")
    return code


async def _life(home: Home, record: Record, settings: Settings, says: "_Says") -> int:
    with (
        Beneath(record.directory, root.secret_places(home), workspace=record.workspace_name) as beneath,
        Lease(beneath.root, beneath.private, record.directory) as lease,
        ThreadPoolExecutor(1, "engine") as engine_thread,
        ThreadPoolExecutor(1, "login") as login_thread,
        contextlib.ExitStack() as closing,
    ):
        root.verify(beneath, record)
        gate = Gate(_login(home, record), _Blocking(login_thread))
        identity = Identity(record.id, record.workspace, record.api_url, record.first_dev, record.first_ino)
        state = State.open(home.prepare("mirrors", record.id) / "state.db", identity)
        closing.callback(state.close)
        host = socket.gethostname()
        disk = LocalDisk(beneath, host, time.time, keeping=Keeping(record.keep_trash_s, record.trash_bytes))
        watcher = LocalWatcher(beneath, time.monotonic)
        closing.callback(watcher.close)
        bandwidth = Bandwidth(Limit(record.up_rate), Limit(record.down_rate))
        async with AsyncClient(record.api_url, gate, bandwidth=bandwidth) as client:
            ports = Ports(
                clock=_SystemClock(),
                disk=disk,
                parts=LocalParts(beneath, make_room=disk.make_room),
                scanner=LocalScanner(beneath, time.time),
                watcher=watcher,
                api=_WorkspaceApi(client, record.workspace),
                run_blocking=_Blocking(engine_thread),
                login=lambda: _trouble(gate.login),
                host=host,
                chance=random.SystemRandom().random,
                new_key=lambda: f"mountcmd_{secrets.token_hex(16)}",
            )
            engine = Engine(state, ports, paused=record.paused, read_only=record.read_only)
            daemon = _Daemon(home, record, gate, engine, watcher)
            async with Control(home.mirrors / record.id, daemon, settings.runtime_dir):
                _log.info("relayfile %s keeps %s equal to %s", __version__, record.directory, record.workspace)
                with StateFile(home, beneath, daemon.fragment, time.time) as state_file:
                    beat = _beat(beneath, lease, ports, disk)
                    if settings.once is None:
                        await daemon.keep(says, beat, state_file)
                        return 0
                    return await daemon.keep_once(settings.once, says, beat, state_file)


class _Daemon:
    """One running mirror, as its control socket asks it."""

    def __init__(self, home: Home, record: Record, gate: Gate, engine: Engine, watcher: LocalWatcher) -> None:
        self._home = home
        self._record = record
        self._gate = gate
        self._engine = engine
        self._watcher = watcher
        self.routes = GivingBack(engine).routes()

    async def keep(
        self, says: "_Says", beat: Awaitable[None], state_file: StateFile, beside: Awaitable[None] | None = None
    ) -> None:
        """The engine has run until it was asked to stop; and `beside` it, until then, what else there is to do."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with asyncio.TaskGroup() as group:
            jobs = {name: group.create_task(job, name=name) for name, job in self._engine.jobs()}
            others = [
                group.create_task(self._gate.run(), name="login"),
                group.create_task(_awaited(beat), name="beat"),
                group.create_task(self._publish(state_file), name="state file"),
                group.create_task(self._announce(says), name="announce"),
            ]
            if beside is not None:
                others.append(group.create_task(_awaited(beside), name="beside"))
            await asyncio.wait([jobs["engine"]])
            for task in (*jobs.values(), *others):
                task.cancel()

    async def keep_once(self, once: Once, says: "_Says", beat: Awaitable[None], state_file: StateFile) -> int:
        """0: both sides were proven equal, and the engine has ended; 130: it was asked to end before.

        Raises:
            RelayfileError: they could not be, as `Waiting.current`.
        """
        ended: list[RelayfileError | None] = []

        async def together() -> None:
            try:
                await self._until_proven(once)
                ended.append(None)
            except RelayfileError as error:
                ended.append(error)
            self.stop()

        await self.keep(says, beat, state_file, together())
        if ended and ended[0] is not None:
            raise ended[0]
        return 0 if ended else _INTERRUPTED

    async def _until_proven(self, once: Once) -> None:
        try:
            async with asyncio.timeout(once.within_s):
                while True:
                    async for step in self._engine.waiting.current(math.inf):
                        once.tell(step)
                    if (seen := self._engine.picture()).equal:
                        return
                    await self._engine.changed(seen)
        except TimeoutError:
            raise Unavailable(
                "both sides were not proven equal in time; what was done until then is kept",
                code="deadline_passed",
                hint="repeat the command: it goes on from there",
            ) from None

    def fragment(self) -> Fragment:
        """The mirror now."""
        gate = self._gate
        login = {"profile": self._record.profile, **as_fields(gate.login), "tokens_refused": gate.refusals}
        notices = (self._watcher.notice,) if self._watcher.notice else ()
        return status.fragment(self._record, self._engine.picture(), login, pid=os.getpid(), notices=notices)

    def current(self, deadline_s: float) -> AsyncIterator[Progress]:
        """As `Waiting.current`."""
        return self._engine.waiting.current(deadline_s)

    def verify(self, deadline_s: float, *, deep: bool, mend: bool) -> AsyncIterator[Progress | Verdict]:
        """As `verify.verify`."""
        return verify.verify(self._engine, deadline_s, deep=deep, mend=mend)

    async def why(self, path: TreePath) -> control.Account:
        """All that the mirror knows of one path."""
        return why.fields(await self._engine.between(lambda cycle: cycle.account(path)))

    def arrival(self, awaited: Awaited, deadline_s: float) -> AsyncIterator[Progress]:
        """As `Waiting.arrival`."""
        return self._engine.waiting.arrival(awaited, deadline_s)

    def events(self, below: Sequence[str]) -> AsyncGenerator[Sequence[Event], None]:
        """As `Events.follow`."""
        return self._engine.events.follow(below)

    def decide(self, decision: str) -> None:
        """The deletions held back are carried out (`accept`) or undone."""
        self._engine.order("accept_deletes" if decision == "accept" else "restore_deletes")

    async def pause(self) -> None:
        """Nothing is placed and nothing sent any more."""
        await self._engine.pause()
        _log.info("paused: nothing is placed and nothing sent")

    def go_on(self) -> None:
        """The pause is over."""
        self._engine.hold(paused=False)
        _log.info("goes on")

    async def conflicts(self) -> Sequence[Conflict]:
        """As `Cycle.conflicts`."""
        return await self._engine.between(Cycle.conflicts)

    async def resolve(self, copy: TreePath, keep: Keep) -> Settlement:
        """As `Engine.settle`; the log says what was decided."""
        settlement = (await self._engine.settle(Ruling(copy, keep))).settlement or Settlement()
        _log.info("a person keeps %s of the conflict %s: %s", keep, copy.wire, settlement.reason or "resolved")
        return settlement

    async def readmit(self) -> None:
        """A credential that was refused may be had anew, by the sign-in that is there."""
        _log.info("a person wants it to go on: a refused credential is forgotten")
        await self._gate.readmit()

    def stop(self) -> None:
        """The engine ends after its cycle; a cycle that hangs is not waited for."""
        _log.info("stopping")
        self._engine.stop()
        # every step is resumable: what a cut cycle leaves is settled at the next start
        asyncio.get_running_loop().call_later(_STOP_WITHIN_S, os._exit, 75)

    async def _publish(self, state_file: StateFile) -> None:
        """What lies on disk for outside readers follows the picture: soon, but at most twice a second."""
        while True:
            seen = self._engine.picture()
            state_file.write(self.fragment())
            await asyncio.sleep(_PUBLISH_AT_MOST_EVERY_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S - _PUBLISH_AT_MOST_EVERY_S):
                    await self._engine.changed(seen)

    async def _announce(self, says: "_Says") -> None:
        """Whoever started the daemon knows that it is ready, or what it waits for."""
        observed = asyncio.ensure_future(self._engine.waiting.first_observed())
        parked_ = asyncio.ensure_future(self._until_parked())
        try:
            await asyncio.wait([observed, parked_], return_when=asyncio.FIRST_COMPLETED)
            if observed.done():
                observed.result()
                says.ready()
                _log.info("the whole workspace has been observed")
            else:
                says.failed(parked_.result())
        except Halted as error:
            says.failed(error)
        finally:
            observed.cancel()
            parked_.cancel()

    async def _until_parked(self) -> LoginRequired:
        while not parked(self._gate.login):
            await self._gate.changed()
        login = self._gate.login
        return LoginRequired(
            f"the mirror {self._record.directory} runs and waits for a sign-in: {text(login)}",
            code=login.code or "login_required",
            hint=remedy(login),
        )


def _login(home: Home, record: Record) -> Login:
    """The login this mirror lives on: a credential of its own, unless its person chose the shared sign-in (R10).

    A mirror that was mounted with a machine token lives on that.
    """
    if record.token_file is not None:
        return open_machine_login(record.token_file, record.api_url)
    purpose = Purpose(record.api_url, record.workspace, record.id, named(record.profile))
    if not record.shared_login:
        return enrol.open_daemon_login(home, purpose, record.profile, notice=_log.info)
    enrol.give_up(home, purpose)
    return open_session(home, record.profile, "daemon", notice=_log.info, server=record.api_url)


async def _beat(beneath: Beneath, lease: Lease, ports: Ports, disk: LocalDisk) -> None:
    """What must be looked at although nothing says so: that the root is in its place still, since nobody tells of a
    file system that is mounted over it; that the lease excludes others; and, more rarely, old trash.
    """
    for beat in itertools.count(1):
        await asyncio.sleep(_BEAT_EVERY_S)
        if beat % _PURGE_EVERY_BEATS == 0 and (copies := await ports.run_blocking(disk.purge)):
            _log.info("%d files were written to after they had been replaced: kept as conflict copies", len(copies))
        await ports.run_blocking(beneath.check)
        if not lease.held():
            raise Halted(f"the lock of {beneath.directory} was removed; another daemon may begin", code="lease_lost")


async def _awaited(work: Awaitable[None]) -> None:
    await work


class _SystemClock:
    """`ports.Clock` of this machine."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _WorkspaceApi:
    """`ports.Api` through one client."""

    def __init__(self, client: AsyncClient, workspace: str) -> None:
        self._client = client
        self._workspace = workspace

    def batches(self, cursor: Cursor, start: int | None, on_connection: OnConnection) -> AsyncIterator[Batch]:
        return feed.batches(self._client, self._workspace, cursor, start, on_connection=on_connection)

    async def push(self, pushes: Sequence[Push]) -> list[Outcome]:
        return await push.push(self._client, self._workspace, pushes)

    def blobs(self, digests: Sequence[Digest]) -> AsyncIterator[tuple[Digest, bytes | None]]:
        return push.blobs(self._client, self._workspace, digests)

    def blob(self, digest: Digest, start: int) -> AsyncIterator[tuple[int, bytes]]:
        return self._client.pieces(api.blob(self._workspace, digest, start))

    async def digest(self) -> tuple[Cursor, Digest]:
        told = await self._client.call(api.digest(self._workspace))
        return Cursor(told.epoch, told.position), Digest(bytes.fromhex(told.tree_digest))


class _Says:
    """The one line that whoever started the daemon waits for."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def ready(self) -> None:
        self._say(launch.READY)

    def failed(self, error: RelayfileError) -> None:
        self._say(launch.failure_line(error))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _say(self, line: str) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # whoever waited is gone
                os.write(self._descriptor, line.encode() + b"\n")
        self.close()


class _Blocking:
    """`ports.RunBlocking` on one thread: what it is given runs one after the other."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)


def _trouble(login: LoginState) -> Trouble | None:
    """What of the login keeps the mirror from working, in the engine's words."""
    if parked(login):
        return Trouble("auth-failed", login.code or login.phase.value, text(login))
    ended = login.access_left_s is None or login.access_left_s <= 0
    if login.phase in {Phase.CONFIG_ERROR, Phase.PERSIST_FAILED} and ended:
        return Trouble("config-error", login.code or login.phase.value, text(login))
    return None


def _open_log(home: Home, record: Record, settings: Settings, *, to_stderr: bool) -> None:
    path = home.prepare("mirrors", record.id) / launch.LOG
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    handlers: list[logging.Handler] = [RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT)]
    if to_stderr:
        handlers.append(logging.StreamHandler())
    form = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    ours = logging.getLogger("relayfile")
    ours.setLevel(settings.log_level)
    for handler in handlers:
        handler.setFormatter(form)
        ours.addHandler(handler)
