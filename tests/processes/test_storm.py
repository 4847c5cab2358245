"""One daemon and 24 commands on one login, under everything that can happen to processes and to answers.

The figures of each run are printed (`pytest -s`). The long runs are behind --slow.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lossy_proxy import LossyProxy, one_in_ten
from machines import Machine, difference, files_below
from plain_http import PlainHttp
from servers import OWNER, PASSWORD, Server
from storms import REFUSED, TROUBLE, Figures, Storm, family_of, figures, losses
from waiting import until

WORKSPACE = "storm"
LONG_TTL_S = 60.0
"""A storm over so long a lifetime sees few renewals."""
COMMANDS = (
    ("whoami", "--json"),
    ("tree", WORKSPACE, "/"),
    ("read", WORKSPACE, "/f1.txt"),
    ("status", "--json"),
    ("workspace", "list"),
)


@dataclass
class Scene:
    """A server, a proxy before it, a machine signed in through the proxy, a mirror."""

    server: Server
    proxy: LossyProxy
    machine: Machine
    root: Path
    access_ttl_s: float

    @property
    def shares(self) -> bool:
        """Whether the daemon lives on the shared login."""
        return not list(self.machine.home.glob("mirrors/*/credential.json"))

    def figures(self) -> Figures:
        return figures(self.server, family_of(self.machine), self.access_ttl_s)

    def check_equal(self) -> None:
        """The mirror is live and holds what the workspace holds."""
        self.machine.until_live(self.root, within_s=60)
        listed = self.machine.run("workspace", "list", "--json").json
        workspace = next(one["workspaceId"] for one in listed if one["name"] == WORKSPACE)
        assert not difference(files_below(self.root), self.server.observer().tree(workspace))


@pytest.fixture
def scene(start_server, new_machine, proxies, place) -> Callable[..., Scene]:
    """Makes the one scene of a test. Everything a machine does goes through the proxy."""

    def made(*, access_ttl_s: float, overlap: str, lossy: bool, mount: tuple[str, ...]) -> Scene:
        server = start_server(access_ttl=f"{access_ttl_s:g}s", refresh_overlap=overlap, expected=["overlap"])
        proxy = proxies(server, one_in_ten(7) if lossy else lambda _: False)
        machine = new_machine()
        machine.run("login", proxy.url, "--username", OWNER, "--password-stdin", stdin=PASSWORD + "\n")
        machine.run("workspace", "create", WORKSPACE)
        root = filled(place / "mirror")
        machine.run("mount", WORKSPACE, root, *mount)
        machine.until_live(root)
        return Scene(server, proxy, machine, root, access_ttl_s)

    return made


def filled(root: Path) -> Path:
    """A folder of 40 files."""
    root.mkdir()
    for number in range(40):
        (root / f"f{number}.txt").write_text(f"{number}\n")
    return root


def rage(made: Scene, seconds: float, *, faults: bool, title: str, least: int = 0) -> tuple[Storm, Figures]:
    """The storm over this scene, and its figures, printed."""
    machine = made.machine
    # What is struck says so in its log; a login that ended would say more.
    machine.expected += [*TROUBLE, "did not end in good order"] if faults else []
    storm = Storm(machine, COMMANDS, stop_s=1.5 * made.access_ttl_s if faults else 0.0)
    with storm.raging():
        storm.rage_for(seconds, every_s=0.15 * made.access_ttl_s, root=made.root, least=least)
    seen = made.figures()
    print(f"\n{title}\n  {seen}\n  {storm}\n  {losses(made.proxy)}")
    return storm, seen


def check_that_nobody_was_signed_out(made: Scene, storm: Storm, seen: Figures) -> None:
    """No renewal was refused, no command failed that was not killed, the mirror is live and equal."""
    evidence = "\n".join(storm.wrong[:3]) + made.machine.evidence()
    assert seen.refused == 0, f"{seen}\n{evidence}"
    assert storm.forced_logins == 0, evidence
    assert not storm.wrong, evidence
    seen.check_r5()
    assert not json_of(made.machine.credentials.with_suffix(".verdict")).get("verdicts"), "a verdict was passed"
    made.check_equal()
    check_that_the_audit_knows_every_renewal(made)
    for credential in made.machine.home.glob("mirrors/*/credential.json"):
        check_the_daemons_own(made, storm, json_of(credential))


def check_that_it_raged(made: Scene, storm: Storm, seen: Figures, *, least: int) -> None:
    """A storm in which nothing happened proves nothing."""
    assert storm.stopped_holding >= least, storm
    assert storm.killed_holding >= least, storm
    assert storm.daemons_killed, storm
    assert made.proxy.lost >= (least if made.access_ttl_s < LONG_TTL_S else 1), losses(made.proxy)
    # A daemon of its own asks again for what was lost with no word of it: its token does not rotate.
    assert seen.events["replayed"] or not made.shares, "a lost answer is asked for again"


def check_that_the_audit_knows_every_renewal(made: Scene) -> None:
    """What the proxy saw answered was recorded; a proof's nonce is asked for without a record."""
    if not made.shares:
        return
    words = {"rotated", "replayed", "renewed", "ahead", *REFUSED}
    until(
        lambda: sum(event["event"] in words for event in made.server.audit()) >= made.proxy.renewals,
        within_s=10,
        what="each renewal that was answered is in the audit",
    )


def check_the_daemons_own(made: Scene, storm: Storm, held: dict) -> None:
    """Nobody refused it. It was renewed once a lifetime, and again for each answer lost and each daemon killed."""
    assert held["enrolment"].get("refusal") is None, held["enrolment"]
    own = figures(made.server, held["family"], made.access_ttl_s)
    print(f"  the daemon's own: renewed {own.events['renewed']}, refused {own.refused}, {own.lasted_s:.0f} s")
    assert own.refused == 0, own
    assert own.events["renewed"] <= own.allowed + made.proxy.lost + storm.daemons_killed, own


def json_of(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.mark.parametrize("overlap", ["60s", "0s"], ids=["overlapping", "strict"])
def test_kills_stops_and_lost_answers_sign_nobody_out(scene, overlap):
    made = scene(access_ttl_s=2.0, overlap=overlap, lossy=True, mount=("--shared-login",))
    storm, seen = rage(made, 6, faults=True, title=f"short storm, overlap {overlap}, all faults", least=1)
    check_that_nobody_was_signed_out(made, storm, seen)
    check_that_it_raged(made, storm, seen, least=1)
    assert min(storm.stopped, storm.killed + storm.daemons_killed) >= 5


SHARED, OWN = ("--shared-login",), ()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("access_ttl_s", "overlap", "faults", "mount"),
    [
        pytest.param(2.0, "60s", False, SHARED, id="2s-overlapping-calm"),
        pytest.param(2.0, "60s", True, SHARED, id="2s-overlapping-faults"),
        pytest.param(2.0, "0s", False, SHARED, id="2s-strict-calm"),
        pytest.param(2.0, "0s", True, SHARED, id="2s-strict-faults"),
        pytest.param(2.0, "60s", True, OWN, id="2s-overlapping-faults-own-credential"),
        pytest.param(60.0, "60s", True, SHARED, id="60s-overlapping-faults"),
        pytest.param(60.0, "0s", False, SHARED, id="60s-strict-calm"),
        pytest.param(60.0, "0s", True, SHARED, id="60s-strict-faults"),
    ],
)
def test_a_long_storm_signs_nobody_out(scene, access_ttl_s, overlap, faults, mount):
    made = scene(access_ttl_s=access_ttl_s, overlap=overlap, lossy=faults, mount=mount)
    title = (
        f"long storm, overlap {overlap}, {'all' if faults else 'no'} faults, {' '.join(mount) or 'own credential'}"
    )
    storm, seen = rage(made, max(60.0, 3.5 * access_ttl_s), faults=faults, title=title, least=3 * faults)
    check_that_nobody_was_signed_out(made, storm, seen)
    if faults:
        check_that_it_raged(made, storm, seen, least=3)
    else:
        assert seen.events["replayed"] == 0
        assert len(seen.rotated) >= 0.6 * seen.lifetimes - 1, "the access lifetime was not felt"


# ------------------------------------------------------------------------- the one case no client can survive


@pytest.fixture
def v1_scene(start_server, new_machine, proxies, place) -> Callable[..., tuple[Server, LossyProxy, Machine, Path]]:
    """A strict server that knows only the doors of v1, and a machine that signed in through one."""

    def made(loses: Callable[[int], bool]) -> tuple[Server, LossyProxy, Machine, Path]:
        server = start_server(access_ttl="2s", refresh_overlap="0s")
        proxy = proxies(server, loses, only_v1=True)
        machine = new_machine()
        door = PlainHttp(server.url, agent="relayfile-cli/0.10.46")
        grant = door.ok("POST", "/api/v1/cli/login", body={"username": OWNER, "password": PASSWORD})
        door.token = grant["accessToken"]
        door.ok("POST", "/api/v1/workspaces", body={"name": WORKSPACE})
        door.close()
        machine.home.mkdir(mode=0o700)
        machine.credentials.write_text(json.dumps({**grant, "apiUrl": proxy.url}))
        machine.credentials.chmod(0o600)
        return server, proxy, machine, filled(place / "mirror")

    return made


def family_of_v1(machine: Machine) -> str:
    return json.loads(machine.credentials.read_text())["refreshToken"].removeprefix("cld_rt_").split(".")[0]


def test_a_lost_answer_of_a_strict_v1_server_ends_in_a_quiet_auth_failed(v1_scene):
    unlucky: list[int] = []
    server, proxy, machine, root = v1_scene(lambda number: number in unlucky)
    machine.expected.append("auth-failed")
    machine.run("mount", WORKSPACE, root, "--shared-login")
    machine.until_live(root)
    family = family_of_v1(machine)
    storm = Storm(machine, COMMANDS, crowd=8)
    with storm.raging():
        until(lambda: proxy.renewals >= 2, within_s=60, what="the login is renewed, as v1 does")
        assert not storm.wrong, storm.wrong[:3]
        unlucky.append(proxy.renewals + 1)
        parked = machine.until_mirror(
            root, lambda one: one["state"] == "auth-failed", within_s=90, what="the mirror says auth-failed"
        )
    assert machine.try_("whoami").code == 4
    ended = [event for event in server.audit() if event["family"] == family]
    requests = len(server.access_log())
    quiet_until = time.monotonic() + 6
    until(lambda: time.monotonic() > quiet_until, within_s=10, what="three lifetimes passed")
    assert machine.mirror(root)["cause"] == parked["cause"], "one state with one cause"
    assert machine.try_("whoami").code == 4
    after = [event for event in server.audit() if event["family"] == family]
    assert after == ended, "nothing was presented once the verdict stood"
    told = [one for one in server.access_log()[requests:] if "relayfile/" in str(one.get("client", ""))]
    assert not told, f"a parked login made requests: {told[:3]}"
    refused = [event for event in ended if event["event"] in {"rejected", "superseded", "reused"}]
    print(f"\nstrict v1 server, one answer lost\n  {figures(server, family, 2.0)}\n  {storm}\n  {losses(proxy)}")
    assert len(refused) == 1, f"the consumed token was presented once more, and never again: {refused}"
    assert {code for code in storm.codes if code} <= {4}, storm.wrong[:3]

    machine.login(server, "--replace")
    machine.until_live(root)
