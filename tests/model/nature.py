"""Every move there is: processes go on or are killed, requests get lost, time passes, the power goes, others act.

The others are a person who signs in and out, a backup that is put back, a thief, an old client with a v1 file.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from model.process import Disk, refresh_parts, refresh_text
from model.world import (
    NOBODY,
    Move,
    Process,
    Request,
    Setup,
    Thief,
    World,
    answer_to,
    deliver,
    fingerprint,
    first_file,
    newest_of,
    perform,
    present,
    resumed,
    spent,
    token_of,
    with_process,
)
from relayfile.core.families import ANSWERED
from relayfile.core.session import Renewed
from relayfile.wire.credentials import Content, Pair, encode


def moves(setup: Setup, world: World) -> Iterator[Move]:
    """Everything that may happen next."""
    for who, process in enumerate(world.processes):
        if process.effect is not None:
            yield from perform(setup, world, who)
            if left := spent(world, "kills"):
                yield f"{process.program}{who} is killed", _killed(world._replace(left=left), who)
        elif who < setup.clients:
            yield f"token{who} starts", _started(setup, world, who, "token")
            if left := spent(world, "rejected"):
                yield f"rejected{who} starts", _started(setup, world._replace(left=left), who, "rejected")
        else:
            for program, name in (("login", "logins"), ("logout", "logouts")):
                if left := spent(world, name):
                    yield f"{program} starts", _started(setup, world._replace(left=left), who, program)
    for request in set(world.wire):
        yield from _network(setup, world, request)
    yield from _nature(world)
    yield from _others(setup, world)


def _network(setup: Setup, world: World, request: Request) -> Iterator[Move]:
    what = f"{request.token} by {request.nonce}"
    heard = request.to != NOBODY
    yield f"server acts on {what}", lambda: deliver(setup, world, request, heard=heard)
    if heard and (left := spent(world, "lost")):
        poorer = world._replace(left=left)
        yield f"server acts on {what}, answer lost", lambda: deliver(setup, poorer, request, heard=False)
        wire = tuple(one for one in world.wire if one != request)
        yield f"{what} is lost", lambda: poorer._replace(wire=wire)


def _nature(world: World) -> Iterator[Move]:
    if left := spent(world, "ticks"):
        yield "a lifetime passes", lambda: world._replace(tick=world.tick + 1, left=left)
    if left := spent(world, "cuts"):
        idle = world._replace(
            left=left,
            holder=NOBODY,
            processes=(Process(),) * len(world.processes),
            wire=tuple(sorted(request._replace(to=NOBODY) for request in world.wire)),
            cut=True,
        )
        choices = [{kept, seen} for kept, seen in zip(world.kept, world.disk, strict=True)]
        for survived in itertools.product(*choices):
            disk = Disk(*survived)
            yield f"power cut, {_names(disk, world.disk)} lost", lambda d=disk: idle._replace(disk=d, kept=d)
    if world.before and (left := spent(world, "failovers")):
        yield "the server loses its last commit", lambda: world._replace(families=world.before, before=(), left=left)


def _others(setup: Setup, world: World) -> Iterator[Move]:
    if left := spent(world, "put_back"):
        disk, kept = (one._replace(file=first_file()) for one in (world.disk, world.kept))
        yield "a backup of the file is put back", lambda: world._replace(disk=disk, kept=kept, left=left)
    if left := spent(world, "copies"):
        yield "a thief copies", lambda: _copied(setup, world._replace(left=left))
    if world.thief.tokens and (left := spent(world, "thefts")):
        richer = world._replace(left=left)
        for token in sorted(world.thief.tokens):
            own = [f"thief of {token}", ""]
            copied = [world.thief.intent[1]] if world.thief.intent and world.thief.intent[0] == token else []
            for nonce in (*own, *copied):
                yield f"thief presents {token} by {nonce!r}", lambda t=token, n=nonce: _stolen(setup, richer, t, n)
    if left := spent(world, "foreign"):
        yield from _old_client(setup, world._replace(left=left))


def _old_client(setup: Setup, world: World) -> Iterator[Move]:
    """A program that knows only v1: a token in memory, no lock, no nonce; it writes what it gets, or dies first."""
    on_disk = token_of(world.disk.file)
    if on_disk and on_disk != world.old_memory:
        yield f"old client reads {on_disk}", lambda: world._replace(old_memory=on_disk)
    if not (token := world.old_memory):
        return

    def presented(*, kept: bool) -> World:
        after, outcome = present(setup, world, token, "")
        setup.must("benign", after.families[refresh_parts(token)[0]].ended is None, "an old client ended a family")
        if outcome not in ANSWERED or not kept:
            return after
        answer = answer_to(after, token, outcome)
        assert isinstance(answer, Renewed)
        raw = encode(Content(Pair(replace(answer.grant, family=None, generation=None)), {}))
        plain = {name: value for name, value in json.loads(raw).items() if name not in {"rtFp", "sum"}}
        raw = json.dumps(plain).encode()
        text = answer.grant.refresh_token.reveal() if answer.grant.refresh_token else ""
        return after._replace(disk=after.disk._replace(file=raw), kept=after.kept._replace(file=raw), old_memory=text)

    yield f"old client renews {token}", lambda: presented(kept=True)
    yield f"old client renews {token}, answer lost", lambda: presented(kept=False)


def _copied(setup: Setup, world: World) -> World:
    tokens = {token_of(world.disk.file), newest_of(world.disk.history)} - {""}
    intent = None
    if setup.thief_copies_intent and world.disk.intent:
        told = json.loads(world.disk.intent)
        intent = next(((one, told["nonce"]) for one in tokens if fingerprint(one) == told["rtFp"]), None)
    return world._replace(thief=Thief(frozenset(tokens), intent))


def _stolen(setup: Setup, world: World, token: str, nonce: str) -> World:
    after, outcome = present(setup, world, token, nonce)
    if outcome not in ANSWERED:
        return after
    number, _ = refresh_parts(token)
    generation = after.families[number].generation
    thief = world.thief
    return after._replace(
        thief=thief._replace(
            tokens=thief.tokens | {refresh_text(number, generation)},
            family=number,
            given=thief.given | {generation},
            named=thief.named and nonce.startswith("thief"),
        )
    )


def _started(setup: Setup, world: World, who: int, program: str) -> Callable[[], World]:
    return lambda: resumed(setup, with_process(world, who, Process(program)), who)


def _killed(world: World, who: int) -> Callable[[], World]:
    wire = tuple(sorted(one._replace(to=NOBODY) if one.to == who else one for one in world.wire))
    holder = NOBODY if world.holder == who else world.holder
    return lambda: with_process(world._replace(wire=wire, holder=holder), who, Process())


def _names(survived: Disk, seen: Disk) -> str:
    return ", ".join(name for name in Disk._fields if getattr(survived, name) != getattr(seen, name)) or "nothing"
