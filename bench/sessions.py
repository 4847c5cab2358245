"""What a login costs: a token that is there, a renewal while a crowd waits, and waking after a sign-in."""

import asyncio
import json
import logging
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Figure, percentile, timed
from bench.world import World, picture, world
from lossy_proxy import LossyProxy
from machines import Machine
from relayfile.client import gate as gates
from relayfile.client.exchange import TokenExchange
from relayfile.client.login import with_password
from relayfile.core.session import Phase, Role
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.session import Session
from relayfile.model import Grant, Secret
from servers import OWNER, PASSWORD, Server
from waiting import until

if TYPE_CHECKING:
    from queue import Queue

CALLS = 5_000
CROWD = 24
ROUNDS = 8
TRIPS_S = (0.1, 0.005)
"""To a server across the world, and to one in the same building."""
WAKES = 8
SHORT_TTL_S = 3.0


def token() -> list[Figure]:
    """`token()` while the grant on disk is good: by a process that asks again and again, and by a new one."""
    with world() as here:
        file = here.machine().credentials
        verdict, session = file.with_suffix(".verdict"), _session(file)
        asked: list[float] = []
        fresh: list[float] = []
        stats: list[float] = []
        session.token()
        for _ in range(CALLS):
            with timed(asked):
                session.token()
            with timed(stats):
                file.exists()
                verdict.exists()
        for _ in range(CALLS // 10):
            newcomer = _session(file)
            with timed(fresh):
                newcomer.token()
    floor = statistics.median(stats) * 1000
    return [
        _token_figure("token() from a good grant, p50 of 5,000", asked, 0.5, floor),
        _token_figure("token() from a good grant, p99 of 5,000", asked, 0.99, floor),
        _token_figure("the first token() of a process, p50 of 500", fresh, 0.5, floor),
    ]


def _token_figure(name: str, took_s: list[float], share: float, floor: float) -> Figure:
    measured = percentile(took_s, share) * 1000
    ratio = measured / floor
    return Figure(name, measured, "ms", floor, "two stat calls", ratio, "<= 0.3 ms", measured <= 0.3)


def _session(file: Path, role: Role = "other") -> Session:
    return Session(CredentialFile(file), TokenExchange("bench"), role)


# --------------------------------------------------------------------------------------- a crowd that waits


def crowd() -> list[Figure]:
    """24 new processes ask at once for a token that has ended: how much longer each waits than one alone."""
    figures: list[Figure] = []
    for trip_s in TRIPS_S:
        with world(access_ttl=f"{SHORT_TTL_S:g}s") as here, LossyProxy(here.server.url, delay_s=trip_s / 2) as far:
            machine = here.machine()
            _move(machine.credentials, far.url)
            alone = _rounds(machine.credentials, 1)
            before, renewals = _rotations(here, machine), far.renewals
            together = _rounds(machine.credentials, CROWD)
            rotations = _rotations(here, machine) - before
            once_each = rotations == ROUNDS == far.renewals - renewals
        figures += _crowd_figures(trip_s, alone, together, once_each=once_each)
    return figures


def _crowd_figures(trip_s: float, alone: list[float], together: list[float], *, once_each: bool) -> list[Figure]:
    """Judged by whoever waited longest of all, which no median and no share hides."""
    one, floor, way = statistics.median(alone), trip_s * 1000, f"{trip_s * 1000:g} ms away"
    added = [(each - one) * 1000 for each in together]
    note = f"{len(added)} waits in {ROUNDS} rounds, one rotation each: {'yes' if once_each else 'NO'}"
    figures = [
        Figure(f"a new process renews, server {way}, p50 of {len(alone)}", one * 1000, "ms", floor, "one round trip",
               one / trip_s, "", once_each, [each * 1000 for each in alone])
    ]  # fmt: skip
    for which, value in (("p50", percentile(added, 0.5)), ("p99", percentile(added, 0.99)), ("longest", max(added))):
        figures.append(
            Figure(f"with {CROWD} waiting, added to each, {way}, {which}", value, "ms", floor, "one round trip",
                   value / floor, "<= 1 round trip", value <= floor and once_each, added, note)
        )  # fmt: skip
    return figures


def _move(file: Path, api_url: str) -> None:
    """The login in `file` is reached by another way from now on."""
    held = json.loads(file.read_bytes())
    file.write_text(json.dumps({name: value for name, value in held.items() if name != "sum"} | {"apiUrl": api_url}))


def _rotations(here: World, machine: Machine) -> int:
    family = json.loads(machine.credentials.read_bytes())["refreshToken"].removeprefix("cld_rt_").split(".")[0]
    return sum(event["event"] == "rotated" and event["family"] == family for event in here.server.audit())


def _rounds(file: Path, size: int) -> list[float]:
    """How long each of `size` processes waited in each round."""
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(size + 1), spawn.Queue()
    processes = [spawn.Process(target=_ask_in_rounds, args=(str(file), barrier, results)) for _ in range(size)]
    for process in processes:
        process.start()
    waits: list[float] = []
    for _ in range(ROUNDS):
        until(lambda: _session(file).current() is None, within_s=60, what="the access token ended")
        barrier.wait(60)
        waits += [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
    return waits


def _ask_in_rounds(file: str, barrier: Barrier, results: "Queue[float]") -> None:
    """In a process of its own. As a new command it knows nothing of the server but what the file says of it."""
    for _ in range(ROUNDS):
        session = _session(Path(file))
        barrier.wait(120)
        began = time.perf_counter()
        session.token()
        results.put(time.perf_counter() - began)


# --------------------------------------------------------------------------------------------- waking


def waking() -> list[Figure]:
    """From a new login in the file, after the last was revoked: to a token at a parked gate, to a live mirror."""
    figures: list[Figure] = []
    with world() as here:
        for name, goal_s, notified in (("with notification", 1.0, True), ("without notification", 2.0, False)):
            took = asyncio.run(_wake_gate(here, notified=notified))
            figures.append(_waking_figure(f"a gate that was auth-failed wakes {name}", took, goal_s))
        for name, options in (("shared login", ("--shared-login",)), ("own credential, enrolled anew", ())):
            took = _wake_daemon(here, *options)
            figures.append(_waking_figure(f"a daemon that was auth-failed is live, {name}", took, 1.0))
    return figures


def _waking_figure(name: str, took_s: list[float], goal_s: float) -> Figure:
    worst = max(took_s)
    return Figure(f"{name}, worst of {len(took_s)}", worst, "s", None, "", None, f"<= {goal_s:g} s", worst <= goal_s,
                  took_s, f"median {statistics.median(took_s):.3f} s")  # fmt: skip


async def _wake_gate(here: World, *, notified: bool) -> list[float]:
    """Each time: the login is revoked, a request waits at the gate, a login comes; seconds until it has a token."""
    logging.getLogger(gates.__name__).setLevel(logging.ERROR)  # it warns of each end, and means us
    file, took = here.place / "gate" / f"{notified}.json", []
    session = _session(file, "owner")
    session.adopt(_grant(here.server))
    with _notifications(allowed=notified):
        gate = gates.Gate(session, asyncio.to_thread)
        running = asyncio.create_task(gate.run())
        for number in range(WAKES):
            token = await gate.token()
            await asyncio.to_thread(_revoke, here.server, file)
            gate.rejected(token)
            waiting = asyncio.create_task(gate.token())
            while gate.login.phase is not Phase.AUTH_FAILED:
                await gate.changed()
            await asyncio.sleep(number / WAKES)  # at another moment of its looks each time
            grant = _grant(here.server)
            adopting = asyncio.create_task(asyncio.to_thread(_adopted_at, file, grant))
            await waiting
            woken = time.perf_counter()
            took.append(woken - await adopting)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return took


def _revoke(server: Server, file: Path) -> None:
    """The server has ended the login in `file`; its holder has not heard."""
    server.observer().ok("DELETE", f"/api/v1/auth/sessions/{json.loads(file.read_bytes())['family']}")


@contextmanager
def _notifications(*, allowed: bool) -> Iterator[None]:
    """Without them, as on a file system that tells nothing."""
    if allowed:
        yield
        return
    real, gates._folder_changes = gates._folder_changes, lambda *_: nullcontext()  # noqa: SLF001
    try:
        yield
    finally:
        gates._folder_changes = real  # noqa: SLF001


def _wake_daemon(here: World, *options: str) -> list[float]:
    """A real daemon whose credential is revoked, and who gets a sign-in, again and again."""
    machine, took = here.machine(), []
    workspace = "shared" if options else "own"
    here.workspace(machine, workspace)
    machine.expected.append("auth-failed")
    root = here.place / workspace
    machine.run("mount", workspace, root, *options)
    machine.until_live(root)
    for _ in range(WAKES):
        kept = machine.credentials if options else next(machine.home.glob("mirrors/*/credential.json"))
        _revoke(here.server, kept)
        _until_state(machine, lambda state: state == "auth-failed")
        grant = _grant(here.server)
        with ThreadPoolExecutor(1) as beside:
            adopting = beside.submit(_adopted_at, machine.credentials, grant)
            _until_state(machine, lambda state: state == "live")
            live = time.perf_counter()
            took.append(live - adopting.result())
    return took


def _adopted_at(file: Path, grant: Grant) -> float:
    """When the login was there to be seen: from then on it is up to those who wait."""
    renamed: list[float] = []

    def reach(point: str) -> None:
        if point.startswith("FP11"):
            renamed.append(time.perf_counter())

    Session(CredentialFile(file, reach=reach), TokenExchange("bench")).adopt(grant)
    return renamed[-1]


def _until_state(machine: Machine, wanted: Callable[[str], bool]) -> None:
    seen: list[dict[str, Any] | None] = []

    def there() -> bool:
        seen[:] = [picture(machine)]
        return seen[0] is not None and wanted(seen[0]["state"])

    until(there, within_s=60, what="the daemon came to it", evidence=lambda: seen, every_s=0.002)


def _grant(server: Server) -> Grant:
    """A new sign-in, as `relayfile login` adopts it."""
    return with_password(server.url, OWNER, Secret(PASSWORD)).grant
