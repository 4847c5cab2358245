"""What must be true in every state; what must be true of a single move is checked where it is made, in `world`."""

from functools import cache
from typing import Any

from model.process import Disk, Live, run
from model.world import NOBODY, Budget, Setup, World, answer_to, decide, present
from relayfile.core.families import Family


def holds(setup: Setup, world: World) -> None:
    """What is true in every state: one live token a family at most, and a login that can go on."""
    for family, issued in zip(world.families, world.issued, strict=True):
        live = _live(setup, family, issued, world.tick)
        if issued > family.generation:
            # The commit that issued the newest was lost. Its bearer and whoever holds the one before would both be
            # taken further, until either is (`world.present`): the first use leaves one.
            setup.must(
                "live", live <= {family.generation, issued}, f"a lost commit leaves more than two: {set(live)}"
            )
        else:
            setup.must("live", len(live) <= 1, "two refresh tokens would each advance one family")
    if "recovers" not in setup.asserted:
        return
    for later in (0, 1):
        kind = alone(setup, world.disk, world.families, world.tick + later)
        right = kind == "token" or (kind == "signed out" and bool(world.signed_out))
        setup.must("recovers", right, f"a process that is left alone ends with {kind!r}, {later} lifetimes later")


@cache
def _live(setup: Setup, family: Family, issued: int, tick: int) -> frozenset[int]:
    """Which of the refresh tokens that were ever issued would advance the family, whatever comes with them."""
    return frozenset(
        generation
        for generation in range(1, issued + 1)
        for nonce in ("", "anyone's")
        if decide(setup, family, generation, nonce, tick).family.generation > family.generation
    )


@cache
def alone(setup: Setup, disk: Disk, families: tuple[Family, ...], tick: int) -> str:
    """What a new process ends with when everybody else is gone and nothing goes wrong any more."""
    issued = tuple(family.generation for family in families)
    world = World(tick, disk, disk, NOBODY, (), families, (), 0, Budget(), issued=issued)
    log: tuple[Any, ...] = ()
    token = ""
    while (step := run("token", log, Live(world.disk, tick), setup.patches)).effect is not None:
        kind, *arguments = step.effect
        told: Any = None
        match kind:
            case "lock":
                told = "held"
            case "draw":
                told = "n alone"
            case "rename":
                world = world._replace(disk=world.disk._replace(**{arguments[0]: arguments[1]}))
            case "unlink":
                world = world._replace(disk=world.disk._replace(**{arguments[0]: None}))
            case "send":
                token, nonce = arguments
                world, outcome = present(setup, world, token, nonce)
            case "answer":
                told = answer_to(world, token, outcome)
        log = (*step.log, told)
    assert step.outcome is not None
    return step.outcome[0]
