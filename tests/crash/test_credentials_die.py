"""Death, power cut and every errno, before each step that a login takes on the disk; then the next process comes.

The steps are those of the real code on real files (`platter`), found by counting them; the server's decision is the
real one (`ledger`). After whatever happened: nobody is taken for a thief, no token is used that could be lost, the
file is old or new and whole, and a process that comes later goes on as if nothing had been.
"""

import errno
import os
from contextlib import suppress

import pytest

import logins
from crash.ledger import Ledger
from crash.platter import Died, Platter, undisturbed
from relayfile.core.families import Outcome
from relayfile.credentials import durable
from relayfile.errors import LoginRequired, Misconfigured, Unavailable

FINE = {Outcome.ROTATED, Outcome.RETRY}
HOUR_S = 3_600.0


class Hurried(logins.Turned):
    """Nobody else is here to wait for."""

    def sleep(self, seconds):
        """No time passes."""


class Place:
    """A login on a platter, an hour after its sign-in."""

    def __init__(self, folder, monkeypatch):
        self.path = folder / "cloud-credentials.json"
        self.ledger = Ledger()
        self.stash = folder.parent / f"{folder.name}-state"
        logins.session(self.path, exchange=self.ledger).adopt(self.ledger.sign_in(good_for_s=0.0))
        self.platter = Platter(folder)
        monkeypatch.setattr(durable, "os", self.platter)

    def session(self, later_s=0.0):
        clock = Hurried(wall=later_s, boot=later_s)
        return logins.session(self.path, exchange=self.ledger, clock=clock, stash=(self.stash,))

    def generation_kept(self):
        """The newest generation that would be found after a power cut, here or in the stash elsewhere."""
        kept = [*self.platter.kept.values(), *(path.read_bytes() for path in self.stash.glob("*.stash"))]
        return max((n for n in range(1, 9) for raw in kept if b'"rt.f0.%d"' % n in raw), default=0)


def renews(place):
    token = place.session().token()
    assert int(token.reveal().split(".")[2]) <= place.generation_kept(), "used before it was kept (S3)"


def renews_after_a_lost_answer(place):
    first = len(place.ledger.presented) + 1
    place.ledger.lose = lambda n: n == first
    try:
        with pytest.raises(Unavailable):
            place.session().token()
    finally:
        place.ledger.lose = lambda _: False
    renews(place)


def renews_a_second_time(place):
    place.session().token()
    token = place.session(HOUR_S).token()
    assert int(token.reveal().split(".")[2]) <= place.generation_kept()


def puts_back_the_newest(place):
    old = place.path.read_bytes()
    place.session().token()
    place.path.write_bytes(old)
    place.session().token()


def mends_half_a_file(place):
    place.session().token()
    place.path.write_bytes(place.path.read_bytes()[:90])
    place.session().token()


LIVES = (renews, renews_after_a_lost_answer, renews_a_second_time, puts_back_the_newest, mends_half_a_file)


@pytest.fixture
def each(place, monkeypatch):
    """Makes places, each with its own folder."""

    def make(name):
        folder = place / name
        folder.mkdir(mode=0o700)
        monkeypatch.undo()
        return Place(folder, monkeypatch)

    return make


def steps_of(live, each):
    place = each("count")
    live(place)
    return place.platter.steps


def goes_on(place, where):
    """What must be true once nothing goes wrong any more."""
    place.platter.disturb = undisturbed
    token = place.session(2 * HOUR_S).token()
    assert token.reveal().split(".")[2] == str(place.ledger.families["f0"].generation), where
    assert set(place.ledger.outcomes()) <= FINE, f"{where}: {place.ledger.outcomes()}"


@pytest.mark.parametrize("live", LIVES)
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_whenever_it_dies_the_next_process_goes_on(live, power, each):
    total = steps_of(live, each)
    assert total > 15
    for moment in range(1, total + 1):
        place = each(f"{moment}")

        def die(step, _, moment=moment):
            if step == moment:
                raise Died

        place.platter.disturb = die
        with pytest.raises(Died):
            live(place)
        if power:
            place.platter.cut()
        goes_on(place, f"died at step {moment} of {total}")


@pytest.mark.parametrize("live", LIVES)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
def test_whatever_the_disk_refuses_nothing_is_lost_and_it_goes_on_when_that_is_over(live, number, each):
    """From each step on, one call fails or all calls fail."""
    total = steps_of(live, each)
    for moment in range(1, total + 1):
        for lasting in (False, True):
            place = each(f"{moment}-{lasting}")

            def refuse(step, _, moment=moment, lasting=lasting):
                if step == moment or (lasting and step > moment):
                    raise OSError(number, os.strerror(number))

            place.platter.disturb = refuse
            # Any other error would be a verdict on the login, or would hide what is wrong.
            with suppress(Misconfigured):
                live(place)
            goes_on(place, f"{errno.errorcode[number]} at step {moment} of {total}, lasting: {lasting}")


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_a_logout_that_dies_can_be_repeated_and_nothing_comes_back_after_one_that_did_not(power, each):
    place = each("count")
    assert place.session().logout().told
    total = place.platter.steps
    for moment in range(1, total + 1):
        place = each(f"{moment}")

        def die(step, _, moment=moment):
            if step == moment:
                raise Died

        place.platter.disturb = die
        with pytest.raises(Died):
            place.session().logout()
        place.platter.disturb = undisturbed
        if power:
            place.platter.cut()
        try:
            place.session().token()
        except LoginRequired:
            assert not place.ledger.presented, "a login that is partly ended is not presented"
        place.session().logout()
        with pytest.raises(LoginRequired):
            place.session().token()
        left = b"".join(path.read_bytes() for path in place.path.parent.iterdir())
        assert b"rt.f0" not in left.replace(b"rt.f0.tmp", b""), f"a token is left: died at step {moment} of {total}"
        assert set(place.ledger.outcomes()) <= FINE


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_a_login_that_dies_leaves_the_old_one_or_the_new_one(power, each):
    place = each("count")
    place.session().adopt(place.ledger.sign_in())
    total = place.platter.steps
    for moment in range(1, total + 1):
        place = each(f"{moment}")

        def die(step, _, moment=moment):
            if step == moment:
                raise Died

        place.platter.disturb = die
        with pytest.raises(Died):
            place.session().adopt(place.ledger.sign_in())
        place.platter.disturb = undisturbed
        if power:
            place.platter.cut()
        assert place.session().token().reveal().split(".")[1] in {"f0", "f1"}
        assert set(place.ledger.outcomes()) <= FINE


def test_a_verdict_outlives_death_and_power_cut_once_anybody_was_told(each):
    place = each("told")
    place.ledger.revoke("", place.session().file.read(logins.SystemClock()).pair.grant.refresh_token, "revoked")
    with pytest.raises(LoginRequired):
        place.session().token()
    place.platter.cut()
    with pytest.raises(LoginRequired):
        place.session().token()
    assert place.ledger.outcomes() == [Outcome.REVOKED]
