"""Logins of a test's own: a credential file, a session on it, clocks that a test turns, deaths at a named point."""

import os
import random
import time
from contextlib import suppress
from pathlib import Path

from relayfile.client.exchange import TokenExchange
from relayfile.core.schedule import Limits
from relayfile.credentials.clock import SystemClock
from relayfile.credentials.durable import no_reach
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.session import Session

POINTS = (
    "FP1 before the lock",
    "FP2 locked",
    "FP3 read again",
    "FP4 intent written",
    "FP5 intent synced",
    "FP6 half sent",
    "FP7 sent",
    "FP8 answer read",
    "FP9 written",
    "FP10 synced",
    "FP11 renamed",
    "FP12 folder synced",
    "FP13 intent removed",
    "FP14 unlocking",
)
QUICK = Limits(lock_wait_s=20.0, attempt_pause_s=0.02, rereads_s=(0.05, 0.1))


class Turned(SystemClock):
    """The machine's clocks, turned: `wall` by people, `boot` by sleep."""

    def __init__(self, wall=0.0, boot=0.0):
        self.wall_off, self.boot_off = wall, boot

    def wall(self):
        return super().wall() + self.wall_off

    def boottime(self):
        return super().boottime() + self.boot_off


def session(path, *, role="other", reach=no_reach, limits=QUICK, clock=None, notice=None, stash=(), exchange=None):
    """A session as a process has it, on real files."""
    clock = clock or SystemClock()
    file = CredentialFile(Path(path), stash, reach=reach, notice=notice)
    exchange = exchange or TokenExchange("test", clock=clock, limits=limits, reach=reach)
    return Session(file, exchange, role, clock, chance=random.Random(7).random, limits=limits)


def signed_in(path, grant, **choices):
    """A session whose file holds `grant`."""
    made = session(path, **choices)
    made.adopt(grant)
    return made


def die_at(point):
    """A `reach` that ends the process at `point`, without a word, as a power cut does."""

    def reach(reached):
        if reached == point:
            os._exit(86)

    return reach


# ------------------------------------------------------------------ what other processes do (spawned by their names)


def renew_and_die(path, point):
    session(path, reach=die_at(point)).token()


def ask_once(path, results):
    """Puts the token, or the name of what went wrong."""
    try:
        results.put(session(path).token().reveal())
    except Exception as error:  # noqa: BLE001 - the test judges
        results.put(f"{type(error).__name__}: {error}")


def ask_for(path, seconds, role, results):
    """Asks for a token again and again; puts how often, and what went wrong."""
    mine, until, asked, wrong = session(path, role=role), time.monotonic() + seconds, 0, []
    while time.monotonic() < until:
        try:
            mine.token()
        except Exception as error:  # noqa: BLE001 - the test judges
            wrong.append(f"{type(error).__name__}: {error}")
        asked += 1
        time.sleep(0.005)
    results.put((asked, wrong))


def hold_the_lock(path, held, release):
    """Holds the lock until told."""
    mine = session(path)
    with suppress(Exception), mine.file.locked("test", 5.0, SystemClock(), random.random):
        held.set()
        release.wait(30)
