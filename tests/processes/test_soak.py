"""Ten writers on three mirrors, the API and the commands, while daemons die and access tokens last five seconds.

`--soak-s 1800` makes it half an hour. The third mirror is not struck: its memory, descriptors and lag are measured.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleet import COPY, Fleet, descriptors, rss_kib, slope
from hands import WORK, Hands
from storms import TROUBLE, family_of, figures

ACCESS_S = 5.0
SEED = 7
HANDS = ((0, "w0"), (0, "w1"), (0, "w2"), (0, "w3"), (1, "w0"), (1, "w1"), (1, "w2"))
"""Mirror and folder of each writer that works on a disk: those who share a folder do it from two mirrors."""


@dataclass
class Soak:
    """What goes on until it is over, and what was measured."""

    fleet: Fleet
    people: list[Hands]
    acknowledged: set[bytes] = field(default_factory=set)
    codes: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    strikes: Counter[str] = field(default_factory=Counter)
    lags: dict[str, list[float]] = field(default_factory=lambda: {"api": [], "disk": []})
    samples: list[tuple[float, int, int, int, int]] = field(default_factory=list)
    accepted: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Inside, everybody works; afterwards nobody does, and what failed in a thread fails here."""
        jobs: list[Callable[[], None]] = [lambda one=one: self._by_hand(one) for one in self.people]
        jobs += [self._by_api, lambda: self._by_command(0), lambda: self._by_command(1)]
        jobs += [self._strike, self._watch, self._probe]
        with ThreadPoolExecutor(len(jobs)) as pool:
            done = [pool.submit(self._guarded, job) for job in jobs]
            try:
                yield
            finally:
                self._over.set()
            for one in done:
                one.result()

    def wait(self, seconds: float) -> None:
        self._over.wait(seconds)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException:
            self._over.set()
            raise

    def _by_hand(self, hands: Hands) -> None:
        while not self._over.wait(0.1 + 0.2 * hands.chance.random()):
            hands.act()

    def _by_api(self) -> None:
        http, chance = self.fleet.server.observer(), random.Random(SEED)
        for number in itertools.count():
            if self._over.wait(0.2):
                return
            token = b"<api-%d>" % number
            path = f"/w{chance.randrange(4)}/{chance.choice(('f0', 'f2.txt', 'api'))}"
            answer = http.put(self.fleet.workspace, path, b"\0\xff" + token)
            assert answer.status < 300 or answer.status in {409, 422}, (path, answer)
            if answer.status < 300:
                self.acknowledged.add(token)

    def _by_command(self, who: int) -> None:
        machine = self.fleet.members[who].machine
        for number in itertools.count():
            if self._over.wait(0.3):
                return
            token = b"<cli%d-%d>" % (who, number)
            ran = machine.try_("write", "fleet", f"/w{number % 4}/c{who}", stdin=token)
            self.codes[ran.code] += 1
            if ran.code:
                self.failed.append(str(ran))
            else:
                self.acknowledged.add(token)

    def _strike(self) -> None:
        chance = random.Random(SEED)
        while not self._over.wait(chance.uniform(1, 4)):
            member, how = self.fleet.members[chance.randrange(2)], chance.choice(("kill", "stop"))
            getattr(member, how)()
            self.strikes[how] += 1
            self._over.wait(chance.choice((0, 0, 1)))
            member.start()

    def _watch(self) -> None:
        """Measures; settles old copies as a person would, and says yes when asked about deletions."""
        calm, server = self.fleet.members[2], self.fleet.server
        http = server.observer()
        while True:
            pids = calm.process.pid, server.process.pid
            rss, fds = [rss_kib(pid) for pid in pids], [descriptors(pid) for pid in pids]
            self.samples.append((time.monotonic(), rss[0], fds[0], rss[1], fds[1]))
            for path in [path for path in calm.files() if COPY.fullmatch(path)]:
                http.delete(self.fleet.workspace, f"/{path}")
            for member in self.fleet.members:
                if member.picture().get("state") == "halted":
                    self.accepted += member.tell("/resume?deletes=accept")
            if self._over.wait(2):
                return

    def _probe(self) -> None:
        """How long it takes until the third mirror has what was written through the API, and on the first mirror."""
        http, seen = self.fleet.server.observer(), self.fleet.members[2].root / "lag"
        for number in itertools.count():
            if self._over.wait(0.5):
                return
            kind, token = ("api", "disk")[number % 2], b"<lag-%d>" % number
            began = time.monotonic()
            if kind == "api":
                assert http.put(self.fleet.workspace, "/lag/api", token).status < 300
            else:
                _save(self.fleet.members[0].root / "lag" / "disk", token)
            while not self._over.wait(0.002):
                with suppress(FileNotFoundError):
                    if (seen / kind).read_bytes() == token:
                        self.lags[kind].append(time.monotonic() - began)
                        break

    def report(self, seconds: float) -> str:
        """The figures."""
        half = [one for one in self.samples if one[0] >= self.samples[len(self.samples) // 2][0]]
        lines = [f"\nsoak of {seconds:g} s: {sum(len(one.did) for one in self.people)} things done by hand"]
        lines += [
            f"  acknowledged {len(self.acknowledged)}, commands {dict(self.codes)}, struck {dict(self.strikes)}"
        ]
        lines += [f"  deletions accepted {self.accepted} times"]
        for who, memory, files in (("third daemon", 1, 2), ("server", 3, 4)):
            grows = 60 * slope([(one[0], one[memory]) for one in half])
            lines.append(
                f"  {who}: RSS {self.samples[0][memory]} -> {self.samples[-1][memory]} KiB, "
                f"second half {grows:+.1f} KiB/min; descriptors {self.samples[0][files]} -> "
                f"{self.samples[-1][files]}, most {max(one[files] for one in self.samples)}"
            )
        for kind, measured in self.lags.items():
            lags = sorted(measured)
            at = [lags[min(len(lags) - 1, int(len(lags) * part))] for part in (0.5, 0.99)] if lags else []
            lines.append(f"  lag {kind}: {len(lags)} probes, p50 and p99 in ms: {[round(1e3 * one) for one in at]}")
        return "\n".join(lines)


def _save(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}.swp")
    draft.write_bytes(content)
    draft.replace(path)


@pytest.mark.timeout(4_000)
def test_ten_writers_restarts_and_short_tokens_lose_nothing_and_refuse_nobody(
    start_server, new_machine, place, request
):
    seconds = request.config.getoption("--soak-s")
    server = start_server(access_ttl=f"{ACCESS_S:g}s", expected=["overlap"])
    machines = [new_machine() for _ in range(3)]
    for machine in machines:
        machine.expected += ["did not end in good order", "halt|delet", *TROUBLE]
    with Fleet.of(server, machines, place, mounts=["--shared-login"]) as fleet:
        people = [
            Hands(fleet.members[who].root, f"h{number}", SEED + number, work=WORK, folders=(folder, f"{folder}/x"))
            for number, (who, folder) in enumerate(HANDS)
        ]
        soak = Soak(fleet, people)
        with soak.going_on():
            soak.wait(seconds)
        tree = fleet.at_rest(within_s=120, accept=True)
        login = figures(server, family_of(machines[0]), ACCESS_S)
        print(
            f"{soak.report(seconds)}\n  the shared login: {login}\n  at rest: {len(tree)} files at evt_{fleet.head}"
        )
        assert not soak.failed, soak.failed[:3]
        assert login.refused == 0, login
        login.check_r5()
        fleet.check_kept(soak.acknowledged.union(*(one.owed for one in people)))
        fleet.check_nothing_is_hidden()
        check_bounds(soak)


def check_bounds(soak: Soak) -> None:
    """The mirror that was left alone holds on to nothing (I13)."""
    _, rss, fds, _, _ = zip(*soak.samples, strict=True)
    assert max(fds) <= fds[0] + 20, fds
    assert rss[-1] <= rss[0] + 64 * 1024, rss
