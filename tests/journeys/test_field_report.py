"""The field report, as a test: a daemon and dozens of commands live on one rotating login (1-product, S1 to S8).

A server with a 3 s access lifetime and no overlap window; a mirror that was live at 17,000 events, was stopped, and
has the rest of 53,000 over 4,000 files before it; one daemon, and eight loops of real commands. Half-way its token
ends. Then the same with the login revoked half-way. And beside the first, on a sign-in of its own, the client of the
report: it does thrash, so this test can fail. Both run in both modes of a mirror: on a credential of its own, and on
the shared sign-in.
"""

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from journeys_support import picture
from machines import Machine, Ran, difference, files_below
from naive import NaiveClient
from plain_http import PlainHttp
from servers import Server
from waiting import until

ACCESS_TTL_S = 3.0
SHORTEST_TTL_S = 0.9 * ACCESS_TTL_S  # the server makes each life 0-10 % shorter (R7)
FILES = 4_000
EVENTS = 53_000
MOUNTED_AT = 17_000
LOOPS = 8
LOOP_FOR_S = 22.0
WORKSPACE = "backlog"
COMMANDS = [("status",), ("tree", WORKSPACE, "/"), ("read", WORKSPACE, "/d1/f1.txt"), ("pull",)]
ARRIVED = "d20/f1500.txt"
"""A file whose last version lies in the first half of the backlog."""
TROUBLE = {"rejected", "reused", "revoked", "superseded"}


@dataclass
class Loops:
    """Eight processes at a time, each a real command on the machine's login, again and again until told to stop."""

    machine: Machine
    commands: list[tuple[str, ...]]
    accepted: Callable[[Ran], bool] = lambda ran: ran.code == 0
    runs: Counter[str] = field(default_factory=Counter)
    failures: list[Ran | BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> "Loops":
        for number in range(LOOPS):
            thread = threading.Thread(target=self._loop, args=(number,), name=f"loop-{number}")
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, number: int) -> None:
        for turn in itertools.count(number):
            if self._stop.is_set():
                return
            words = self.commands[turn % len(self.commands)]
            try:
                ran = self.machine.try_(*words, within_s=100)
            except BaseException as failure:  # noqa: BLE001 - the main thread reports it
                self.failures.append(failure)
                return
            self.runs[words[0]] += 1
            if not self.accepted(ran):
                self.failures.append(ran)


@pytest.fixture(params=["own", "shared"])
def mode(request) -> str:
    """What the daemon lives on."""
    return request.param


def mode_options(mode: str) -> list[str]:
    return ["--shared-login"] if mode == "shared" else []


@pytest.fixture
def naives() -> Iterator[Callable[[Server], NaiveClient]]:
    """Clients of the report, stopped when the test ends however it ends."""
    begun: list[NaiveClient] = []

    def start(server: Server) -> NaiveClient:
        begun.append(NaiveClient(server.url).start())
        return begun[-1]

    yield start
    for one in begun:
        one.stop()


def write_events(http: PlainHttp, workspace: str, first: int, end: int) -> None:
    """Events over 4,000 files: every file many times, in an order that visits them all each round."""
    for begin in range(first, end, 1_000):
        numbers = range(begin, min(begin + 1_000, end))
        http.bulk(workspace, ((f"/{path(n)}", body(n)) for n in numbers))


def path(number: int) -> str:
    """Where the event `number` wrote to."""
    return f"d{number % FILES % 40}/f{number % FILES}.txt"


def body(number: int) -> str:
    """What it wrote."""
    return f"{number} " * 150


@dataclass(frozen=True)
class Behind:
    """A stopped mirror, and the workspace that went on without it. `engine_starts` is what it had counted by then."""

    root: Path
    workspace: str
    observer: PlainHttp
    engine_starts: int


def half_way(machine: Machine) -> dict:
    """The picture of the daemon when it has applied half the files of its backlog, and not the other half."""

    def seen() -> dict | None:
        one = picture(machine)
        return one if one and EVENTS - FILES // 2 <= one["applied"] < one["head"] else None

    return until(seen, within_s=60, what="half the backlog is applied", evidence=machine.evidence, every_s=0.005)


@contextmanager
def asleep_half_way(machine: Machine, root: Path) -> Iterator[tuple[dict, float]]:
    """The daemon does nothing while the block runs, as when its machine sleeps, and has not got its whole backlog.

    Gives what it said last and the moment it fell asleep.
    """
    middle = half_way(machine)
    os.kill(middle["pid"], signal.SIGSTOP)
    try:
        assert (root / path(EVENTS - 1)).read_text() != body(EVENTS - 1), "it got all of it before it fell asleep"
        yield middle, time.time()
    finally:
        os.kill(middle["pid"], signal.SIGCONT)


def first_applied_whole(machine: Machine) -> float:
    """The moment at which the daemon has applied everything it knows of."""
    until(
        lambda: (one := picture(machine)) and one["applied"] == one["head"] >= EVENTS,
        within_s=60,
        what="the backlog is applied",
        evidence=machine.evidence,
        every_s=0.005,
    )
    return time.time()


def workspace_id(machine: Machine, name: str) -> str:
    return next(one["workspaceId"] for one in machine.run("workspace", "list", "--json").json if one["name"] == name)


def family_of(machine: Machine) -> str:
    return json.loads(machine.credentials.read_text())["family"]


def when(event: dict) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def of_family(server: Server, family: str) -> list[dict]:
    return [event for event in server.audit() if event["family"] == family]


def tokens_in(machine: Machine) -> list[str]:
    """The secrets this machine holds right now."""
    held = json.loads(machine.credentials.read_text())
    return [held["accessToken"], held["refreshToken"]]


def check_rotations(events: list[dict], until_s: float) -> int:
    """R5: each generation rotated at most once, no two too close, no more than time allows. The count is returned."""
    rotations = [event for event in events if event["event"] == "rotated"]
    generations = [event["generation"] for event in rotations]
    assert len(set(generations)) == len(generations), f"a generation was rotated twice: {Counter(generations)}"
    assert generations == sorted(generations)
    for earlier, later in itertools.pairwise([events[0], *rotations]):
        apart = when(later) - when(earlier)
        assert apart >= 0.65 * SHORTEST_TTL_S - 0.05, f"{apart:.2f} s between {earlier} and {later}"
    lasted = until_s - when(events[0])
    assert len(rotations) <= lasted / (0.58 * ACCESS_TTL_S) + 1
    return len(rotations)


@pytest.fixture
def short_lived(start_server) -> Server:
    """3 s of access, no overlap window: the strict cloud of the report."""
    return start_server(access_ttl="3s", refresh_overlap="0s")


@pytest.fixture
def signed_in(short_lived, new_machine) -> Machine:
    made = new_machine()
    made.login(short_lived)
    made.run("workspace", "create", WORKSPACE)
    return made


@pytest.fixture
def loops(signed_in) -> Iterator[Callable[..., Loops]]:
    """Loops that have ended before the machine is closed."""
    begun: list[Loops] = []

    def start(*commands: tuple[str, ...], **choices) -> Loops:
        begun.append(Loops(signed_in, list(commands), **choices))
        return begun[-1].start()

    yield start
    for one in begun:
        one.stop()


@pytest.fixture
def behind(short_lived, signed_in, place, mode) -> Behind:
    """A mirror that was live at 17,000 events and was stopped; 36,000 more have come since."""
    root, workspace, observer = place / "mirror", workspace_id(signed_in, WORKSPACE), short_lived.observer()
    write_events(observer, workspace, 0, MOUNTED_AT)
    signed_in.run("mount", WORKSPACE, root, *mode_options(mode), within_s=90)
    live = signed_in.until_live(root)
    assert live["head"] == MOUNTED_AT
    signed_in.run("stop", root)
    write_events(observer, workspace, MOUNTED_AT, EVENTS)
    return Behind(root, workspace, observer, live["engine_starts"])


@pytest.fixture
def start(signed_in, behind) -> Iterator[Callable[[], Future[Ran]]]:
    """Starts the mirror's daemon, which does not wait for its backlog; the answer is how the command will end."""
    with ThreadPoolExecutor(1) as beside:
        yield lambda: beside.submit(signed_in.try_, "mount", behind.root, within_s=90)


@pytest.mark.timeout(180)
def test_a_backlog_converges_while_eight_loops_of_commands_share_the_login(  # noqa: PLR0917 - fixtures
    short_lived, signed_in, behind, start, loops, naives, mode
):
    machine, server, observer = signed_in, short_lived, behind.observer
    root, workspace = behind.root, behind.workspace
    naive = naives(server)  # a sign-in of its own, through the v1 door

    began = time.monotonic()
    running = loops(*COMMANDS[:-1])
    started = start()
    # Half-way the machine sleeps until whatever token the daemon holds has ended: the expiry is inside the backlog.
    with asleep_half_way(machine, root) as (middle, fell_asleep):
        running.commands.append(COMMANDS[-1])
        until(lambda: time.time() > fell_asleep + ACCESS_TTL_S, within_s=10, what="its token has ended")
    current_at = first_applied_whole(machine)
    assert started.result().code == 0, started.result()
    daemons = machine.daemons()
    edits = itertools.count()

    def edited_on_both_sides_until_the_loops_ran_enough() -> bool:
        number = next(edits)
        (root / f"here{number % 10}.txt").write_text(f"{number}\n")
        assert observer.put(workspace, f"/there{number % 10}.txt", f"{number}\n".encode()).status == 202
        enough = all(running.runs[command] >= 5 for command in ("status", "tree", "read", "pull"))
        return (enough and time.monotonic() - began > LOOP_FOR_S) or bool(running.failures)

    until(
        edited_on_both_sides_until_the_loops_ran_enough,
        within_s=LOOP_FOR_S + 60,
        what="the loops ran their time, and each command in it",
        every_s=0.4,
    )
    running.stop()
    naive.stop()
    loops_took_s = time.monotonic() - began

    assert not running.failures, "\n".join(str(failure) for failure in running.failures[:3]) + machine.evidence()
    machine.run("pull", within_s=60)
    mirror = machine.until_live(root)

    # The server's word: no renewal was refused, no generation was rotated twice, and not more than time allows (R5).
    assert not trouble_of_others(server, naive)
    events = of_family(server, family_of(machine))
    rotations = check_rotations(events, time.time())
    assert rotations >= loops_took_s / ACCESS_TTL_S - 1, "the access lifetime was not felt"
    check_daemon_credential(server, mirror, mode, loops_took_s)
    assert renewals_of(server, mirror, events, fell_asleep, current_at), "no token was renewed inside the backlog"

    # The daemon's own counters, and the process itself.
    assert mirror["engine_starts"] == behind.engine_starts + 1
    assert mirror["cycles_cancelled"] == 0
    assert mirror["login"]["tokens_refused"] == 0, "no request was thrown back for its token"
    assert machine.daemons() == daemons
    assert len(daemons) == 1
    assert mirror["pid"] == daemons[0] == middle["pid"]

    # Equal, as the mirror proves it by the tree digest, and as bytes on both sides say without it.
    assert mirror["equal"] is True
    assert mirror["observed"] == mirror["applied"] == mirror["head"] > EVENTS
    assert not difference(files_below(root), observer.tree(workspace))
    assert len(files_below(root)) == FILES + 20

    check_that_it_thrashed(naive, server)
    check_audit(machine, server)


def check_daemon_credential(server: Server, mirror: dict, mode: str, lasted_s: float) -> None:
    """On a credential of its own the daemon renewed that, each lifetime once, and never presented the shared one.

    It was issued to the process that was stopped, and goes on in the one that was started.
    """
    audit = server.audit()
    by_daemon = [event for event in audit if event["pid"] == mirror["pid"]]
    assert mirror["login"]["credential"] == mode
    if mode == "shared":
        assert not [event for event in by_daemon if event["event"] == "renewed"]
        return
    own = [event for event in audit if event["family"][:8] == mirror["login"]["family"]]
    issued, *renewed = own
    before = itertools.takewhile(lambda event: event != issued, (one for one in audit if one["pid"] == issued["pid"]))
    assert [event["event"] for event in before] in ([], ["rotated"]), (
        "an ended token cannot vouch: it is renewed once"
    )
    assert issued["event"] == "issued"
    assert {event["event"] for event in renewed} == {"renewed"}
    assert {event["family"] for event in by_daemon} == {issued["family"]}
    assert len(by_daemon) >= lasted_s / ACCESS_TTL_S - 3
    for earlier, later in itertools.pairwise(own):
        assert when(later) - when(earlier) >= 0.65 * SHORTEST_TTL_S - 0.05, (earlier, later)
    assert "own credential, enrolled" in mirror["login"]["text"]


def renewals_of(server: Server, mirror: dict, shared: list[dict], begin_s: float, end_s: float) -> list[dict]:
    """The renewals, between two moments, of the credential on which the mirror lives."""
    own = [event for event in server.audit() if event["pid"] == mirror["pid"] and event["event"] == "renewed"]
    events = own if mirror["login"]["credential"] == "own" else [one for one in shared if one["event"] == "rotated"]
    return [event for event in events if begin_s < when(event) < end_s]


def trouble_of_others(server: Server, naive: NaiveClient) -> list[dict]:
    """What was refused or ended on any login at all but that of the report's client."""
    return [event for event in server.audit() if event["event"] in TROUBLE and event["family"] != naive.family]


def check_that_it_thrashed(naive: NaiveClient, server: Server) -> None:
    """The report's client was refused again and again on the same server: this test can fail."""
    refused = [event for event in server.audit() if event["family"] == naive.family and event["event"] in TROUBLE]
    assert naive.refused >= 3, f"the naive client was refused {naive.refused} times; it must thrash"
    assert naive.cycles_cancelled >= 3
    assert len(refused) >= naive.refused, "a refusal is missing in the audit log"


def check_audit(machine: Machine, server: Server) -> None:
    """The audit log, as `auth log` gives it, is complete, says who did it, and holds no secret; nor does any log."""
    audit = machine.run("auth", "log", "--json").out
    rows = [json.loads(line) for line in audit.splitlines()]
    assert all(
        {"at", "event", "family", "generation", "client", "host", "pid", "reason"} <= row.keys() for row in rows
    )
    ours = [row for row in rows if row["family"] == family_of(machine)]
    rotated = [row["generation"] for row in ours if row["event"] == "rotated"]
    assert rotated == list(range(rotated[0], rotated[0] + len(rotated))), "a rotation is missing in the audit log"
    assert all(row["client"].startswith("relayfile/") and row["host"] and row["pid"] for row in ours), ours
    written = audit + server.said() + json.dumps(server.access_log()) + machine.evidence()
    assert not [secret for secret in tokens_in(machine) if secret in written]
    assert "cld_rt_" not in written
    assert "cld_at_" not in written


def requests_of_daemon(server: Server, pid: int) -> int:
    return sum(f"; {pid})" in str(entry.get("client", "")) for entry in server.access_log())


@pytest.mark.timeout(180)
def test_a_revoked_login_parks_the_mirror_quietly_and_a_new_login_wakes_it(
    short_lived, signed_in, behind, start, loops
):
    machine, server = signed_in, short_lived
    root, workspace = behind.root, behind.workspace
    machine.expected.append("auth-failed")
    family = family_of(machine)
    running = loops(*COMMANDS[:-1], accepted=lambda ran: ran.code in ({0} if ran.args[0] == "status" else {0, 4}))
    started = start()

    # Revoked in the middle of the backlog.
    with asleep_half_way(machine, root) as (middle, _):
        running.commands.append(COMMANDS[-1])
        server.observer().ok("DELETE", f"/api/v1/auth/sessions/{family}")
        revoked_at = time.monotonic()
    parked = machine.until_mirror(
        root, lambda one: one["state"] == "auth-failed", within_s=20, what="the mirror says auth-failed"
    )
    assert started.result().code in {0, 4}, started.result()
    assert parked["cause"]["code"], parked
    assert "revoked" in parked["cause"]["message"], parked["cause"]
    assert "relayfile login" in machine.run("status").out
    assert parked["engine_starts"] == behind.engine_starts + 1

    # Quiet: after the state is known no request comes from the daemon, while local edits are still recorded.
    quiet_from = requests_of_daemon(server, middle["pid"])
    assert quiet_from > 0, "its requests are recognised by its process"
    (root / ARRIVED).write_text("edited while signed out\n")
    (root / "new.txt").write_text("made while signed out\n")
    recorded = machine.until_mirror(
        root, lambda one: one["pending_edits"] >= 2, within_s=10, what="the edits are recorded while signed out"
    )
    assert recorded["state"] == "auth-failed"
    until(lambda: time.monotonic() - revoked_at > 3 * ACCESS_TTL_S, within_s=20, what="three lifetimes passed")
    assert requests_of_daemon(server, middle["pid"]) == quiet_from, "the daemon asked while it was parked"
    assert machine.mirror(root)["cause"] == parked["cause"], "one state with one cause"
    running.stop()
    assert not running.failures, running.failures[:2]
    assert machine.try_("tree", WORKSPACE, "/").code == 4
    presented = [event for event in of_family(server, family) if event["event"] == "rejected"]
    assert len(presented) <= 1, f"a dead token was presented more than once: {presented}"

    # A new login from another process: live again within 2 s, without a restart, and the edits arrive.
    machine.login(server)
    live = until(
        lambda: (one := picture(machine)) and one["state"] == "live" and not one["pending_edits"] and one,
        within_s=10,
        what="the mirror is live again",
        evidence=machine.evidence,
    )
    took_s = time.time() - machine.credentials.stat().st_mtime
    assert took_s < 2.0, f"live {took_s:.2f} s after the new login lay there"
    assert live["engine_starts"] == behind.engine_starts + 1
    assert live["cycles_cancelled"] == 0
    assert machine.daemons() == [middle["pid"]]
    observer = server.observer()
    until(
        lambda: observer.content(workspace, "/new.txt") == b"made while signed out\n",
        within_s=5,
        what="the edit made while signed out arrived",
    )
    assert observer.content(workspace, f"/{ARRIVED}") == b"edited while signed out\n"
    machine.until_live(root)
    assert not difference(files_below(root), server.observer().tree(workspace))


def test_the_naive_client_of_the_report_thrashes_and_ours_does_not_on_the_same_server(short_lived, signed_in, naives):
    """The smallest form of the report: what the naive daemon holds in memory is dead once a command renewed."""
    naive = naives(short_lived)
    machine = signed_in
    began = time.monotonic()
    until(
        lambda: machine.run("whoami", "--json").json and time.monotonic() - began > 3 * ACCESS_TTL_S,
        within_s=4 * ACCESS_TTL_S,
        what="three lifetimes of commands passed",
    )
    naive.stop()
    assert naive.refused >= 1
    assert not trouble_of_others(short_lived, naive)
    assert Path(machine.credentials).stat().st_mode & 0o777 == 0o600
