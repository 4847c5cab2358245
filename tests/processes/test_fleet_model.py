"""Two to five real mirrors, the real commands and one server, driven by a seed, and judged by what was written.

Whatever was done in whatever order, once everybody is back all trees are equal, and no writing that its person left
standing is lost.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from fleet import COPY, TOKEN, Fleet, Member
from hands import Hands
from storms import TROUBLE

SEED = 5
STEPS: Mapping[str, int] = {
    "work": 40,
    "kill": 8,
    "stop": 4,
    "pause": 4,
    "resume": 4,
    "read_only": 3,
    "kill_server": 3,
    "restart_server": 2,
    "write": 6,
    "remove": 3,
    "resolve": 8,
    "come_back": 8,
}
UNREACHED = (0, 1, 6, 75)
"""How a command ends that met nothing, or a server or a daemon that is away."""


@dataclass
class Model:
    """Steps taken so far, and what they left to be kept."""

    fleet: Fleet
    chance: random.Random
    people: list[Hands]
    acknowledged: set[bytes] = field(default_factory=set)
    waived: set[bytes] = field(default_factory=set)
    """Tokens that a person's word may have removed."""
    read_only: set[int] = field(default_factory=set)
    ever_read_only: set[int] = field(default_factory=set)
    """A daemon may have died before it noted that it may send again."""
    trace: list[str] = field(default_factory=list)
    _written: int = 0

    def step(self) -> None:
        kind = self.chance.choices(list(STEPS), list(STEPS.values()))[0]
        one: Callable[[], str] = getattr(self, f"_{kind}")
        self.trace.append(f"{kind}: {one()}")

    def everybody_rests(self) -> None:
        """All are back, and judged."""
        if self.fleet.server.process is None:
            self.fleet.server.start()
        for who, member in enumerate(self.fleet.members):
            if who in self.ever_read_only:
                member.stop()
            if member.process is None:
                member.start(options=["--no-read-only"] if who in self.ever_read_only else [])
            member.machine.run("resume", member.root)
        self.read_only.clear()
        self.fleet.at_rest(within_s=90, accept=True)
        owed = self.acknowledged.union(*(one.owed for one in self.people))
        self.fleet.check_kept(owed - self.waived)

    # ---------------------------------------------------------------------------------------------------- one step

    def _who(self) -> tuple[int, Member]:
        who = self.chance.randrange(len(self.fleet.members))
        return who, self.fleet.members[who]

    def _work(self) -> str:
        who, _ = self._who()
        acts = [self.people[who].act() for _ in range(self.chance.choice((2, 5, 10, 30)))]
        return f"{who}: {'; '.join(acts)}"

    def _kill(self) -> str:
        who, member = self._who()
        member.kill()
        return f"{who}"

    def _stop(self) -> str:
        who, member = self._who()
        member.stop()
        return f"{who}"

    def _pause(self) -> str:
        return self._command("pause")

    def _resume(self) -> str:
        return self._command("resume")

    def _command(self, word: str) -> str:
        who, member = self._who()
        ran = member.machine.try_(word, member.root)
        assert ran.code in UNREACHED, ran
        return f"{who} -> {ran.code}"

    def _read_only(self) -> str:
        who, member = self._who()
        member.stop()
        if who in self.read_only:
            self.read_only.remove(who)
            member.start(options=["--no-read-only"])
        else:
            self.read_only.add(who)
            self.ever_read_only.add(who)
            member.start(options=["--read-only"])
        return f"{who}: {who in self.read_only}"

    def _kill_server(self) -> str:
        self.fleet.server.kill()
        return ""

    def _restart_server(self) -> str:
        self.fleet.server.stop()
        self.fleet.server.start()
        return ""

    def _write(self) -> str:
        who, member = self._who()
        self._written += 1
        token = b"<cli-%d>" % self._written
        path = f"/{self.chance.choice(('f0', 'f2.txt', 'a/f1', 'e/f4.bin', 'new'))}"
        ran = member.machine.try_("write", "fleet", path, stdin=token + b"\n")
        assert ran.code in UNREACHED, ran
        if ran.code == 0:
            self.acknowledged.add(token)
        return f"{who}: {path} {token!r} -> {ran.code}"

    def _remove(self) -> str:
        who, member = self._who()
        path = f"/{self.chance.choice(('f0', 'f2.txt', 'a/f1', 'e/f4.bin', 'new'))}"
        ran = member.machine.try_("rm", "fleet", path)
        assert ran.code in UNREACHED, ran
        return f"{who}: {path} -> {ran.code}"

    def _resolve(self) -> str:
        who, member = self._who()
        copies = sorted(path for path in member.files() if COPY.fullmatch(path))
        if not copies:
            return f"{who}: nothing"
        copy, keep = self.chance.choice(copies), self.chance.choice(("mine", "theirs", "both"))
        self.waived |= set(TOKEN.findall(member.files().get(copy, b"")))
        ran = member.machine.try_("resolve", member.root / copy, "--keep", keep)
        assert ran.code in UNREACHED, ran
        return f"{who}: {copy} {keep} -> {ran.code}"

    def _come_back(self) -> str:
        if self.fleet.server.process is None:
            self.fleet.server.start()
            return "server"
        who, member = self._who()
        if member.process is None:
            member.start()
        return f"{who}"


@pytest.fixture
def modelled(start_server, new_machine, place):
    def run(seed: int, mirrors: int, steps: int) -> None:
        server = start_server()
        machines = [new_machine() for _ in range(mirrors)]
        for machine in machines:
            machine.expected += [
                "did not end in good order",
                "halt|delet",
                "connect|offline|unavailable|server",
                *TROUBLE,
            ]
        with Fleet.of(server, machines, place) as fleet:
            people = [Hands(one.root, f"p{who}", seed * 10 + who) for who, one in enumerate(fleet.members)]
            model = Model(fleet, random.Random(seed), people)
            try:
                for number in range(1, steps + 1):
                    model.step()
                    if number % 60 == 0 or number == steps:
                        model.everybody_rests()
                fleet.check_nothing_is_hidden()
            except BaseException:
                print("\n".join(model.trace))
                raise
            finally:
                if server.process is None:
                    server.start()
            did = Counter(line.partition(":")[0] for line in model.trace)
            acts = sum(not said.startswith("(") for one in people for said in one.did)
            print(f"\nseed {seed}: {mirrors} mirrors, {dict(did)}, {acts} things done by hand, head {fleet.head}")

    return run


@pytest.mark.timeout(600)
def test_whatever_three_mirrors_their_people_and_the_server_go_through_all_end_equal_and_nothing_is_lost(modelled):
    modelled(SEED, 3, 60)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("seed", range(40))
def test_whatever_up_to_five_mirrors_go_through_long_all_end_equal_and_nothing_is_lost(modelled, seed):
    modelled(1_000 + seed, 2 + seed % 4, 240)
