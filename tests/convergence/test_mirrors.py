"""Mirrors, a server and people who edit everywhere, while processes die: whatever the order, all ends equal.

Defends I1 (no lost bytes), I2 (quiescence means equal), I7 (no echo), I8 and I9 (nothing deleted or overwritten that
was not agreed) of the mirror.
"""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from simulation.world import Died, SimMirror, SimServer

NAMES = st.sampled_from(["a", "b", "d", "d/x", "d/y", "d/x/z", "e.txt"])
BODIES = st.one_of(st.sampled_from([b"", b"same", b"other"]), st.integers(0, 10**6).map(lambda n: b"%d" % n))
MODES = st.sampled_from(["644", "644", "755"])
WHO = st.integers(0, 1)


def nested(folder: str, name: str) -> bool:
    return name.startswith(f"{folder}/")


class Mirrors(RuleBasedStateMachine):
    @initialize(inline=st.sampled_from([-1, 3, 65_536]))
    def begin(self, inline):
        self.folder = tempfile.TemporaryDirectory()
        self.server = SimServer(inline=inline)
        self.mirrors = [SimMirror(Path(self.folder.name), self.server, name=name) for name in ("one", "two")]
        self.waiting = [{}, {}]
        self.mine = [{}, {}]

    @rule(who=WHO, name=NAMES, body=BODIES, mode=MODES, noticed=st.booleans())
    def edit(self, who, name, body, mode, noticed):
        mirror = self.mirrors[who]
        if any(nested(name, one) or nested(one, name) for one in mirror.disk.files):
            return  # no disk lets a person do that
        mirror.disk.write(name, body, mode)
        self.mine[who][name] = body
        if noticed:
            mirror.edit(name, body, mode)

    @rule(who=WHO, name=NAMES)
    def delete(self, who, name):
        self.mirrors[who].remove(name)
        self.mine[who].pop(name, None)

    @rule(name=NAMES, body=BODIES, mode=MODES)
    def write_on_the_server(self, name, body, mode):
        self.server.write(name, body, mode)

    @rule(name=NAMES)
    def delete_on_the_server(self, name):
        self.server.delete(name)

    @rule(
        who=WHO,
        read=st.booleans(),
        sweep=st.booleans(),
        answered=st.booleans(),
        dies_in=st.none() | st.integers(0, 6),
    )
    def turn(self, who, read, sweep, answered, dies_in):
        """A turn that reads the log or not, whose requests arrive at the server and are answered or not."""
        mirror = self.mirrors[who]
        carried, self.waiting[who] = self.waiting[who], {}
        batches = ()
        if read and mirror.last is not None and mirror.begin is None:
            stream = mirror.state.stream()
            batches = self.server.delta(stream.cursor, stream.start, limit=2)
        mirror.disk.die_in = dies_in
        try:
            done = mirror.turn(batches=batches, sweep=sweep, may_push="answer" not in carried, **carried)
        except Died:
            mirror.kill()
            return
        mirror.disk.die_in = None
        reached = mirror.carry(done)
        if answered:
            self.waiting[who] = reached
        elif done.parcel.pushes:  # the answer never comes: only a new process gives up on it
            mirror.kill()

    @rule(who=WHO)
    def kill(self, who):
        self.waiting[who] = {}
        self.mirrors[who].kill()

    @rule(who=WHO)
    def expire(self, who):
        mirror = self.mirrors[who]
        if mirror.begin is None:
            mirror.turn(reset="expired", may_push=False)

    @rule()
    def settle(self):
        """Everyone comes to rest: equal everywhere, nothing lost, nothing left to do."""
        for who, mirror in enumerate(self.mirrors):
            mirror.kill()
            self.waiting[who] = {}
        for _ in range(20):
            before = self.server.position
            for mirror in self.mirrors:
                self._rest(mirror)
            if self.server.position == before:
                break
        everywhere = self.server.text()
        expected = {
            name: body for name, body in everywhere.items() if not any(nested(name, one) for one in everywhere)
        }
        for mirror in self.mirrors:
            assert mirror.disk.text() == expected
            assert mirror.last.report.equal is True
            steps, puts = mirror.disk.steps, self.server.puts
            mirror.run()
            assert (mirror.disk.steps, self.server.puts) == (steps, puts), "an echo made work"
            for body in mirror.disk.trash:
                assert body in self.server.bodies.values(), "bytes were displaced that the server never had"
        for mine in self.mine:
            for name, body in mine.items():
                assert body in self.server.bodies.values(), f"the edit of {name} is lost"

    def _rest(self, mirror):
        orders = {}
        for _ in range(10):
            try:
                mirror.run(**orders)
            except AssertionError:
                if not mirror.last.report.halts:
                    raise
            if not mirror.last.report.halts:
                return
            orders = {"orders": ["accept_deletes"], **mirror.carry(mirror.last)}
        raise AssertionError("never at rest")

    def teardown(self):
        if hasattr(self, "folder"):
            self.settle()
            for mirror in self.mirrors:
                mirror.state.close()
            self.folder.cleanup()


Mirrors.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMirrors = Mirrors.TestCase
