"""One process of ours as the explorer runs it: the real `Session` and `Renewal`, one effect on the world at a time.

Nothing of the client is modelled. The code runs until its next effect (a lock, a write, a request), where it is left;
to go on it is run again from its beginning with everything it was told before, and is told one thing more. So a
process is the tuple of what it was told, which can be kept, compared and run twice.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from relayfile.client.exchange import TokenExchange
from relayfile.core.schedule import Limits
from relayfile.credentials import file as file_module
from relayfile.credentials import journal as journal_module
from relayfile.credentials import lock as lock_module
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.session import Session
from relayfile.errors import LoginRequired, Misconfigured, RelayfileError, Unavailable
from relayfile.model import Grant, Secret

PATH = "/model/cloud-credentials.json"
ELSEWHERE = "/model/elsewhere"
URL = "http://model"
BEGAN = 1_000_000.0
LIFETIME_S = 1_800.0
REFRESH_S = 30 * 86_400.0
LIMITS = Limits(attempts=2)


class Disk(NamedTuple):
    """The bytes of every file of a login. `elsewhere` is the stash in another folder."""

    file: bytes | None = None
    intent: bytes | None = None
    history: bytes | None = None
    verdict: bytes | None = None
    stash: bytes | None = None
    elsewhere: bytes | None = None


NOTES = frozenset({"trouble", "damaged"})
"""Files for people to read, on which no decision hangs: they are not part of the world."""


class Live(NamedTuple):
    """What a process can see when it looks."""

    disk: Disk
    tick: int


class Paused(BaseException):
    """The process is about to do this."""

    def __init__(self, *effect: Any) -> None:
        super().__init__()
        self.effect = effect


class Failure(NamedTuple):
    """An effect that fails, as the process is told it."""

    errno: int


class Told:
    """What this process is told: first what it was told before, then what `live` shows; it stops at a new effect."""

    def __init__(self, log: tuple[Any, ...], live: Live) -> None:
        self.log = list(log)
        self._at = 0
        self._live = live

    def look(self, name: str) -> Any:
        """What the file named `name` holds."""
        if self._at == len(self.log):
            self.log.append(getattr(self._live.disk, name))
        return self._next()

    def tick(self) -> int:
        """How many access lifetimes have passed."""
        if self._at == len(self.log):
            self.log.append(self._live.tick)
        return self._next()

    def effect(self, *effect: Any) -> Any:
        """What came of it.

        Raises:
            Paused: nobody has done it yet.
        """
        if self._at == len(self.log):
            raise Paused(*effect)
        result = self._next()
        if isinstance(result, Failure):
            raise OSError(result.errno, "the disk says no")
        return result

    def _next(self) -> Any:
        self._at += 1
        return self.log[self._at - 1]


def name_of(path: str) -> str:
    """Which part of `Disk` a path is."""
    if path.startswith(ELSEWHERE):
        return "elsewhere"
    suffix = path.rpartition(".")[2]
    return "file" if suffix == "json" else suffix


class _Durable:
    """In place of `credentials.durable`: what it promises is `model.world`'s, effect by effect."""

    MAX_BYTES = 1_048_576

    def __init__(self, told: Told) -> None:
        self._told = told

    def read(self, path: str) -> bytes | None:
        return None if name_of(path) in NOTES else self._told.look(name_of(path))

    read_strictly = read

    def replace(self, path: str, raw: bytes, _reach: object = None) -> None:
        if name_of(path) not in NOTES:
            self._told.effect("rename", name_of(path), raw)
            self._told.effect("sync", name_of(path))

    def remove(self, path: str) -> None:
        if name_of(path) not in NOTES and self._told.look(name_of(path)) is not None:
            self._told.effect("unlink", name_of(path))
            self._told.effect("sync", name_of(path))

    def sync_folder(self, path: str) -> None:
        self._told.effect("sync", name_of(path))

    def probe(self, path: str, size: int) -> None:
        """There is room."""

    def private_folder(self, path: str) -> None:
        """It exists."""


class _Chance:
    """In place of `secrets`: a number that nobody has drawn before."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def token_hex(self, _size: int) -> str:
        return self._told.effect("draw")


class _Clock:
    boot_id = "boot"

    def __init__(self, told: Told) -> None:
        self._told = told

    def wall(self) -> float:
        return wall(self._told.tick())

    def boottime(self) -> float:
        return wall(self._told.tick()) - BEGAN

    def sleep(self, seconds: float) -> None:
        if seconds > 0.5:
            self._told.effect("sleep")


class _Held:
    note = lock_module.Note()

    def write(self, note: object) -> None:
        """Worthless after a crash, and so here."""


class _File(CredentialFile):
    _real = PATH

    def __init__(self, told: Told) -> None:
        self._told = told
        super().__init__(PATH, (ELSEWHERE,))

    def signature(self):
        return (self._told.look("file"), self._told.look("verdict"))

    def _raw(self) -> bytes | None:
        return self._told.look("file")

    @contextmanager
    def locked(self, purpose, wait_s, clock, chance, needless=lambda: False) -> Iterator[Any]:
        self.journal = self._journal()
        if self._told.effect("lock") == "waited long":
            if not needless():
                raise Unavailable("another process", code="auth_busy")
            yield None
            return
        try:
            yield _Held()
        except Paused:
            raise
        except BaseException:
            self._told.effect("unlock")
            raise
        self._told.effect("unlock")


class _Exchange(TokenExchange):
    """The real budget and the real repeats around an attempt that the world answers."""

    def __init__(self, told: Told, clock: _Clock) -> None:
        super().__init__("model", clock=clock, chance=lambda: 0.0, limits=LIMITS)
        self._told = told

    def _attempt(self, origin, grant, nonce, until):
        self._told.effect("send", grant.refresh_token.reveal(), nonce.reveal())
        return self._told.effect("answer")

    def revoke(self, api_url, refresh_token, reason):
        return self._told.effect("revoke", refresh_token.reveal())


def wall(tick: int) -> float:
    """The time of day at the beginning of an access lifetime."""
    return BEGAN + LIFETIME_S * tick


def refresh_text(family: int, generation: int) -> str:
    """The refresh token of a generation: like the real one it is always the same."""
    return f"rt.{family}.{generation}"


def refresh_parts(token: str) -> tuple[int, int]:
    """Family and generation."""
    _, family, generation = token.split(".")
    return int(family), int(generation)


def grant_of(family: int, generation: int, tick: int) -> Grant:
    """What the server gives at this time."""
    return Grant(
        api_url=URL,
        access_token=Secret(f"at.{family}.{generation}.{tick}"),
        access_expires_at=wall(tick) + LIFETIME_S,
        refresh_token=Secret(refresh_text(family, generation)),
        refresh_expires_at=wall(tick) + REFRESH_S,
        issued_at=wall(tick),
        family=f"f{family}",
        generation=generation,
        account="ada",
    )


class Step(NamedTuple):
    """Where a run stopped: before `effect`, or (None) at its end with `outcome`."""

    log: tuple[Any, ...]
    effect: tuple[Any, ...] | None
    outcome: tuple[str, str] | None


Patches = tuple[tuple[str, type], ...]
"""Deliberate defects: a class put in the place of one that `credentials.session` or `.file` names."""


@cache
def run(program: str, log: tuple[Any, ...], live: Live, patches: Patches = ()) -> Step:
    """The program, with what it was told so far, to its next effect or its end."""
    told = Told(log, live)
    clock = _Clock(told)
    with _in_place_of_the_machine(told, patches):
        session = Session(_File(told), _Exchange(told, clock), "other", clock, chance=lambda: 0.0, limits=LIMITS)
        try:
            outcome = _PROGRAMS[program](session, told)
        except Paused as paused:
            return Step(tuple(told.log), paused.effect, None)
        except RelayfileError as error:
            kind = {LoginRequired: "signed out", Unavailable: "later", Misconfigured: "mend"}[type(error)]
            outcome = (kind, error.code)
    return Step(tuple(told.log), None, outcome)


@contextmanager
def _in_place_of_the_machine(told: Told, patches: Patches) -> Iterator[None]:
    durable = _Durable(told)
    swaps = [
        (journal_module, "durable", durable),
        (file_module, "durable", durable),
        (journal_module, "secrets", _Chance(told)),
        *((sys.modules[where.rpartition(".")[0]], where.rpartition(".")[2], what) for where, what in patches),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in swaps]
    for module, name, value in swaps:
        setattr(module, name, value)
    _TOLD.append(told)
    try:
        yield
    finally:
        _TOLD.pop()
        for module, name, value in reversed(before):
            setattr(module, name, value)


_TOLD: list[Told] = []


def told_now() -> Told:
    """What the running process is told, for deliberate defects that have effects of their own."""
    return _TOLD[-1]


def _token(session: Session, _: Told) -> tuple[str, str]:
    return ("token", session.token().reveal())


def _login(session: Session, told: Told) -> tuple[str, str]:
    family, tick = told.effect("begin")
    session.adopt(grant_of(family, 1, tick))
    return ("done", "login")


def _logout(session: Session, _: Told) -> tuple[str, str]:
    session.logout()
    return ("done", "logout")


def _rejected(session: Session, _: Told) -> tuple[str, str]:
    """A server refused the access token of the file (401)."""
    token = session.current() or session.token()
    return ("token", session.renew_now(token).reveal())


_PROGRAMS = {"token": _token, "rejected": _rejected, "login": _login, "logout": _logout}
