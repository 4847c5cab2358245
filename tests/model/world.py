"""The state of everything, the server's decision, and what comes of each effect of a process.

The processes run the real client (`process`), the server's decision is the real `families.rotate`. What is modelled
is only what lies between and around them: a disk that forgets what was not synced when the power goes, an OS lock,
requests that are lost, late or doubled, time that passes a lifetime at a time.
"""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from model.explore import BrokenError
from model.process import (
    BEGAN,
    LIFETIME_S,
    REFRESH_S,
    Disk,
    Failure,
    Live,
    Patches,
    Step,
    grant_of,
    refresh_parts,
    refresh_text,
    run,
    wall,
)
from relayfile.core.families import ANSWERED, REUSE, Decision, Family, Outcome, Policy, Presented, Proof, may_end
from relayfile.core.families import begin as begin_family
from relayfile.core.families import rotate as real_rotate
from relayfile.core.session import Ended, Renewed, Unanswered
from relayfile.model import Secret
from relayfile.wire.credentials import (
    Content,
    History,
    Obtained,
    Pair,
    decode,
    decode_history,
    encode,
    encode_history,
)
from relayfile.wire.credentials import fingerprint as fingerprint_of

Rotate = Callable[[Family, Presented, Proof, float, Policy], Decision]
Move = tuple[str, Callable[[], "World"]]
NOBODY = -1


class Budget(NamedTuple):
    """How often each misfortune may still happen."""

    ticks: int = 0
    kills: int = 0
    cuts: int = 0
    lost: int = 0
    late: int = 0
    disk_errors: int = 0
    logins: int = 0
    logouts: int = 0
    rejected: int = 0
    put_back: int = 0
    copies: int = 0
    thefts: int = 0
    failovers: int = 0
    foreign: int = 0


USUAL = Policy(60.0, LIFETIME_S, REFRESH_S, 90 * 86_400.0)
"""The overlap ends within the lifetime in which it began."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What does not change during an exploration. The flags below `rotate` are deliberate defects."""

    clients: int = 2
    policy: Policy = USUAL
    old_clients: bool = False
    thief_copies_intent: bool = False
    asserted: frozenset[str] = frozenset(
        {"S1", "S2", "S3", "S4", "S5", "S9", "benign", "unrefused", "recovers", "live"}
    )
    rotate: Rotate = real_rotate
    patches: Patches = ()
    locks: bool = True
    steals_lock: bool = False
    forgets: frozenset[str] = frozenset()
    """Files of which no write is ever synced."""

    def must(self, name: str, holds: bool, what: str) -> None:
        """Complains unless it holds, if `name` is asserted here."""
        if not holds and name in self.asserted:
            raise BrokenError(f"{name}: {what}")


class Process(NamedTuple):
    """A process of ours: what it runs, what it was told, and what it is about to do. Idle without a program."""

    program: str = ""
    log: tuple[Any, ...] = ()
    effect: tuple[Any, ...] | None = None


class Request(NamedTuple):
    """A refresh token on its way; `to` is the process that would hear the answer."""

    token: str
    nonce: str
    to: int


class Thief(NamedTuple):
    """What was copied (tokens, and the intent's token and nonce), which generations it was given, by which nonces.

    `named`: by its own only.
    """

    tokens: frozenset[str] = frozenset()
    intent: tuple[str, str] | None = None
    family: int = -1
    given: frozenset[int] = frozenset()
    named: bool = True


class World(NamedTuple):
    """Everything. `disk` is what processes see, `kept` what a power cut leaves."""

    tick: int
    disk: Disk
    kept: Disk
    holder: int
    processes: tuple[Process, ...]
    families: tuple[Family, ...]
    wire: tuple[Request, ...]
    drawn: int
    left: Budget
    thief: Thief = Thief()
    before: tuple[Family, ...] = ()
    promised: tuple[tuple[str, str], ...] = ()
    signed_out: frozenset[int] = frozenset()
    refused: frozenset[str] = frozenset()
    old_memory: str = ""
    cut: bool = False
    issued: tuple[int, ...] = (1,)
    """The newest generation of each family that was ever issued; a lost commit leaves it ahead of the family."""


def initial(setup: Setup, left: Budget) -> World:
    """One sign-in, generation 1, adopted and idle."""
    family = begin_family(setup.policy, wall(0), old_clients=setup.old_clients)
    disk = Disk(file=first_file(), history=encode_history(History((), first_pair())))
    # The last process is the person, who signs in and out.
    return World(0, disk, disk, NOBODY, (Process(),) * (setup.clients + 1), (family,), (), 0, left)


@cache
def first_pair() -> Pair:
    """What the first sign-in gave."""
    return Pair(grant_of(0, 1, 0), None, Obtained("boot", 0.0, 0.0, LIFETIME_S))


@cache
def first_file() -> bytes:
    """The file after the first sign-in; the same that a backup may bring back."""
    return encode(Content(first_pair(), {}))


# ------------------------------------------------------------------------------------------------- the server


def present(setup: Setup, world: World, token: str, nonce: str) -> tuple[World, Outcome]:
    """The world after the server decided on a refresh token."""
    number, generation = refresh_parts(token)
    before = world.families[number]
    decision = decide(setup, before, generation, nonce, world.tick)
    families = (*world.families[:number], decision.family, *world.families[number + 1 :])
    if decision.family != before and world.left.failovers:
        world = world._replace(before=world.families)
    now = decision.family.generation
    if decision.outcome in {Outcome.ROTATED, Outcome.AHEAD}:
        setup.must("live", now >= world.issued[number], "a use after a lost commit left two tokens that advance")
    issued = (*world.issued[:number], max(now, world.issued[number]), *world.issued[number + 1 :])
    return world._replace(families=families, issued=issued), decision.outcome


@cache
def decide(setup: Setup, family: Family, generation: int, nonce: str, tick: int) -> Decision:
    """What the server of this setup says to a refresh token, as it says it every time."""
    return setup.rotate(family, Presented(generation), Proof(nonce.encode()), wall(tick), setup.policy)


def answer_to(world: World, token: str, outcome: Outcome) -> Renewed | Ended | Unanswered:
    """What whoever asked is told."""
    number, _ = refresh_parts(token)
    if outcome in ANSWERED:
        at = wall(world.tick) - BEGAN
        return Renewed(grant_of(number, world.families[number].generation, world.tick), None, at, at)
    if outcome is Outcome.BUSY:
        return Unanswered("HTTP 429", maybe_sent=False, status=429)
    return Ended("invalid_grant", str(outcome))


def deliver(setup: Setup, world: World, request: Request, *, heard: bool) -> World:
    """The server has acted on a request of ours; `heard`: its answer arrived."""
    wire = list(world.wire)
    wire.remove(request)
    world = world._replace(wire=tuple(wire))
    world, outcome = present(setup, world, request.token, request.nonce)
    number, _ = refresh_parts(request.token)
    _check_benign(setup, world, number, outcome, heard=heard)
    _check_theft(setup, world, number, outcome)
    if not heard:
        return world
    return resumed(setup, world, request.to, answer_to(world, request.token, outcome))


def _check_benign(setup: Setup, world: World, number: int, outcome: Outcome, *, heard: bool) -> None:
    if world.thief.given or world.thief.tokens:
        return
    setup.must("benign", world.families[number].ended != REUSE, "a benign race ended a family")
    setup.must("unrefused", not heard or outcome in ANSWERED, f"a process of ours was refused: {outcome}")


def _check_theft(setup: Setup, world: World, number: int, outcome: Outcome) -> None:
    """The owner came after a thief: it is not answered if the thief is going on too, and is the alarm if not (S9).

    A thief that left the nonce out within the overlap, or took the owner's own, raises the alarm only with people:
    the owner is refused and must sign in, which ends the family (`_ended`).
    """
    thief = world.thief
    if setup.old_clients or thief.family != number:
        return
    if outcome in ANSWERED:
        bound = 2 if setup.thief_copies_intent else 1
        setup.must("S9", len(thief.given) < bound, f"owner and thief both go on: generations {sorted(thief.given)}")
    elif thief.named:
        setup.must("S9", world.families[number].ended is not None, "a stolen token was used, and nothing came of it")


# --------------------------------------------------------------------------------------------------- processes


def resumed(setup: Setup, world: World, who: int, *told: Any) -> World:
    """The world after a process was told something and has run to its next effect."""
    process = world.processes[who]
    log = (*process.log, *told)
    while True:
        step = run(process.program, log, Live(world.disk, world.tick), setup.patches)
        if step.effect is None or step.effect[0] != "draw":
            break
        log = (*step.log, f"n{world.drawn}")
        world = world._replace(drawn=world.drawn + 1)
    if step.effect is not None:
        return with_process(world, who, Process(process.program, step.log, step.effect))
    return with_process(_ended(setup, world, step), who, Process())


def _ended(setup: Setup, world: World, step: Step) -> World:
    assert step.outcome is not None
    kind, value = step.outcome
    if kind == "token":
        return check_use(setup, world, value, renewed=any(isinstance(told, Renewed) for told in step.log))
    stolen = world.thief.family
    if value == "login" and 0 <= stolen < len(world.families) - 1 and not setup.old_clients:
        setup.must("S9", world.families[stolen].ended is not None, "a thief goes on after the owner signed in anew")
    return world


def check_use(setup: Setup, world: World, access_token: str, *, renewed: bool) -> World:
    """The same world; an access token is about to be used (S3).

    Who renewed it has made it durable. Who only read the file may see it in the moment between rename and sync; a
    power cut must then leave its predecessor with the promised nonce, which gets the same pair again.
    """
    _, number, generation, _ = access_token.split(".")
    before = refresh_text(int(number), int(generation) - 1)
    durable = any(access_token.encode() in raw for raw in world.kept if raw is not None)
    nonce = dict(world.promised).get(before, "-")
    left = {token_of(world.kept.file), newest_of(world.kept.history)}
    obtainable = before in left and nonce.encode() in (world.kept.intent or b"")
    setup.must("S3", durable or (obtainable and not renewed), "a token is used that a power cut would take away")
    return world


def perform(setup: Setup, world: World, who: int) -> Iterator[Move]:  # noqa: C901, PLR0912 - a table of effects
    """What may come of the effect a process is about to have."""
    process = world.processes[who]
    assert process.effect is not None
    kind, *arguments = process.effect
    name = f"{process.program}{who} {kind} {arguments[0] if kind in {'rename', 'sync', 'unlink'} else ''}".strip()

    def then(told: Any = None, **changes: Any) -> Callable[[], World]:
        return lambda: resumed(setup, world._replace(**changes), who, told)

    match kind:
        case "lock":
            if world.holder == NOBODY or not setup.locks:
                yield name, then("held", holder=who)
            else:
                yield f"{name}: waited long", then("waited long")
                if setup.steals_lock:
                    yield f"{name}: stale, so taken", then("held", holder=who)
        case "unlock":
            refused = world.refused | _refusals(process)
            yield name, then(holder=NOBODY if world.holder == who else world.holder, refused=refused)
        case "rename" | "unlink":
            raw = arguments[1] if kind == "rename" else None
            yield name, lambda: resumed(setup, _written(setup, world, arguments[0], raw), who, None)
            if kind == "rename" and (left := spent(world, "disk_errors")):
                yield f"{name}: disk full", then(Failure(errno.ENOSPC), left=left)
        case "sync":
            yield name, lambda: resumed(setup, _synced(setup, world, arguments[0]), who, None)
        case "send":
            yield name, lambda: _sent(setup, world, who, *arguments)
        case "answer":
            mine = [request for request in world.wire if request.to == who]
            unheard = tuple(request._replace(to=NOBODY) if request.to == who else request for request in world.wire)
            silence = Unanswered("timed out", maybe_sent=True)
            if not mine:
                yield f"{name}: none", then(silence)
            elif left := spent(world, "late"):
                yield f"{name}: waited long", then(silence, left=left, wire=tuple(sorted(unheard)))
        case "sleep":
            yield name, then()
        case "begin":
            family = begin_family(setup.policy, wall(world.tick), old_clients=setup.old_clients)
            families, issued = (*world.families, family), (*world.issued, 1)
            yield name, then((len(world.families), world.tick), families=families, issued=issued)
        case "revoke":
            yield name, lambda: resumed(setup, _revoked(world, arguments[0]), who, True)
        case "use":
            yield name, lambda: resumed(setup, check_use(setup, world, arguments[0], renewed=True), who, None)


def _sent(setup: Setup, world: World, who: int, token: str, nonce: str) -> World:
    """A refresh token leaves a process: where S1, S2 and S5 are kept or broken."""
    setup.must("S1", world.holder == who, "a refresh token is presented without the lock")
    before = dict(world.promised).get(token, nonce)
    setup.must("S2", before == nonce, f"{token} is presented with a second nonce")
    setup.must("S5", token not in world.refused, f"{token} was refused and is presented again")
    number, _ = refresh_parts(token)
    setup.must("S4", number not in world.signed_out, "a login that was ended here is presented")
    promised = tuple(sorted({*world.promised, (token, nonce)}))
    wire = tuple(sorted((*world.wire, Request(token, nonce, who))))
    return resumed(setup, world._replace(wire=wire, promised=promised), who, token)


def _written(setup: Setup, world: World, name: str, raw: bytes | None) -> World:
    """A file was renamed into place or unlinked; a power cut may still undo it."""
    if name == "file" and raw is not None:
        number, generation = _of_file(raw)
        setup.must("S4", number not in world.signed_out, "a login that was ended here is written again")
        there = _of_file(world.kept.file)
        fell = number == there[0] and generation < there[1] and not _foreign_hand(world)
        setup.must("S4", not fell, f"generation {generation} is written over {there[1]}")
    if name == "verdict" and raw is not None:
        ended = {int(one["family"][1:]) for one in json.loads(raw)["tombstones"] if one.get("family")}
        world = world._replace(signed_out=world.signed_out | ended)
    if name == "file" and raw is None:
        world = world._replace(signed_out=world.signed_out | {_of_file(world.disk.file)[0]})
    return world._replace(disk=world.disk._replace(**{name: raw}))


def _synced(setup: Setup, world: World, name: str) -> World:
    """The folder of that file is synced, and with it whatever was renamed in it before."""
    if name in setup.forgets:
        return world
    here = {"elsewhere"} if name == "elsewhere" else set(Disk._fields) - {"elsewhere"}
    kept = {one: getattr(world.disk, one) for one in here - setup.forgets}
    return world._replace(kept=world.kept._replace(**kept))


def _revoked(world: World, token: str) -> World:
    number, generation = refresh_parts(token)
    family = world.families[number]
    if family.ended is None and may_end(family, Presented(generation)):
        family = replace(family, ended="logged_out")
    return world._replace(families=(*world.families[:number], family, *world.families[number + 1 :]))


# ------------------------------------------------------------------------------------------------ small pieces


def with_process(world: World, who: int, process: Process) -> World:
    """The world with that process in that place."""
    return world._replace(processes=(*world.processes[:who], process, *world.processes[who + 1 :]))


def spent(world: World, name: str) -> Budget | None:
    """The budget with one misfortune of that name less; None when there is none left."""
    count = getattr(world.left, name)
    return world.left._replace(**{name: count - 1}) if count else None


def _foreign_hand(world: World) -> bool:
    return bool(world.old_memory) or world.disk.file == first_file() or world.cut


@cache
def _of_file(raw: bytes | None) -> tuple[int, int]:
    token = token_of(raw)
    return refresh_parts(token) if token else (-1, 0)


@cache
def token_of(raw: bytes | None) -> str:
    """The refresh token in a credential file."""
    pair = decode(raw).pair if raw else None
    return pair.grant.refresh_token.reveal() if pair and pair.grant.refresh_token else ""


@cache
def newest_of(history: bytes | None) -> str:
    """The refresh token of the newest pair in a history."""
    pair = decode_history(history or b"").newest
    return pair.grant.refresh_token.reveal() if pair and pair.grant.refresh_token else ""


@cache
def fingerprint(token: str) -> str:
    """As the files name it."""
    return fingerprint_of(Secret(token))


@cache
def _refusals(process: Process) -> frozenset[str]:
    """The refresh tokens that this process saw refused: once it lets the lock go, that is remembered (S5)."""
    log = process.log
    return frozenset(log[at - 1] for at, told in enumerate(log) if isinstance(told, Ended))
