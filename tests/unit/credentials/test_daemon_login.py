"""A daemon's login: a credential of its own; the shared sign-in to enrol, and where no credential can be had."""

import errno
import json
import os
import random

import pytest

import logins
from daemon_authority import DaemonAuthority
from relayfile.client.enrol import DaemonEnroller, give_up
from relayfile.core.session import Phase, remedy, text
from relayfile.credentials import durable
from relayfile.credentials.daemon import NOT_OFFERED, DaemonLogin
from relayfile.credentials.daemon_file import DaemonFile
from relayfile.credentials.durable import no_reach
from relayfile.credentials.home import Home
from relayfile.credentials.own import Purpose
from relayfile.errors import LoginRequired, Unavailable

DAY_S = 86_400.0


@pytest.fixture
def authority():
    with DaemonAuthority() as running:
        yield running


@pytest.fixture
def world(authority, place):
    return World(authority, place)


class World:
    """One home with a sign-in in it, a clock to turn, and the daemon of one mirror, started as often as wanted."""

    def __init__(self, authority, place):
        self.authority, self.home = authority, Home(place / "home")
        self.clock, self.notices = logins.Turned(), []
        self.path = self.home.prepare() / "cloud-credentials.json"
        self.folder = self.home.prepare("mirrors", "m1")

    def sign_in(self):
        grant = self.authority.grant()
        logins.session(self.path, clock=self.clock).adopt(grant, replace=True)
        return grant

    def daemon(self, *, mirror="m1", reach=no_reach, api_url=None):
        shared = logins.session(self.path, role="owner", clock=self.clock, notice=self.notices.append)
        purpose = Purpose(api_url or self.authority.url, "rw_1", mirror)
        enroller = DaemonEnroller(clock=self.clock, limits=logins.QUICK, chance=random.Random(5).random)
        kept = DaemonFile(self.folder, reach)
        return DaemonLogin(kept, shared, enroller, purpose, chance=random.Random(5).random)

    @property
    def credential(self):
        return json.loads((self.folder / "credential.json").read_text())

    def pass_(self, seconds):
        self.clock.boot_off += seconds
        self.clock.wall_off += seconds


def asked(authority):
    return sum(authority.requests.values())


def family(token):
    return token.reveal().removeprefix("cld_at_").split(".")[0]


# -------------------------------------------------------------------------------------------------- enrolling


def test_the_first_token_is_that_of_a_new_credential_for_this_workspace_and_mirror(world, authority):
    grant = world.sign_in()
    daemon = world.daemon()
    assert daemon.state().phase is Phase.DUE
    assert daemon.current() is None
    token = daemon.token()
    (mine,) = authority.daemons
    assert (mine.workspace, mine.mirror, mine.subject) == ("rw_1", "m1", grant.family)
    assert family(token) == mine.name != grant.family
    assert daemon.current() == token
    assert authority.outcomes() == {}, "the shared refresh token was not presented"
    assert world.notices == ["enrolled: this mirror has a credential of its own"]


def test_status_says_whose_it_is_and_since_when(world):
    world.sign_in()
    daemon = world.daemon()
    daemon.token()
    state = daemon.state()
    assert state.phase is Phase.VALID
    day = world.credential["updatedAt"][:10]
    assert text(state) == f"own credential, enrolled {day} by ada, key in a 0600 file"


def test_a_credential_whose_folder_cannot_be_synced_is_saved_and_lives_on(world, authority, monkeypatch):
    world.sign_in()
    sync = durable.sync_folder

    def refused(path):
        if path.endswith("credential.json"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(path)

    with monkeypatch.context() as there:
        there.setattr(durable, "sync_folder", refused)
        token = world.daemon().token()
    assert world.daemon().token() == token
    assert authority.revoked == []


def test_a_restart_goes_on_with_it_and_asks_nobody(world, authority):
    world.sign_in()
    token = world.daemon().token()
    before = asked(authority)
    again = world.daemon()
    assert again.current() == again.token() == token
    assert asked(authority) == before


def test_key_and_credential_are_two_files_that_nobody_else_can_read(world):
    world.sign_in()
    world.daemon().token()
    for name in ("credential.json", "key.pem"):
        assert (world.folder / name).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in (world.folder / "credential.json").read_text()
    (world.folder / "key.pem").chmod(0o644)
    world.daemon().token()
    world.pass_(2000)
    world.daemon().token()
    assert (world.folder / "key.pem").stat().st_mode & 0o777 == 0o600


def test_the_nonce_of_a_proof_is_asked_for_once_and_again_when_it_is_too_old(world, authority):
    world.sign_in()
    daemon = world.daemon()
    daemon.token()
    assert authority.answers == {"nonce": 1, "enrolled": 1}
    world.pass_(1700)
    daemon.token()
    assert authority.answers == {"nonce": 1, "enrolled": 1, "renewed": 1}
    authority.nonce = "n2"
    world.pass_(1700)
    daemon.token()
    assert authority.answers == {"nonce": 2, "enrolled": 1, "renewed": 2}


# --------------------------------------------------------------------------------------------------- renewing


def test_a_renewal_leaves_the_shared_file_alone(world, authority):
    world.sign_in()
    daemon = world.daemon()
    first = daemon.token()
    world.path.write_bytes(b"nobody reads this")
    world.path.chmod(0o000)
    world.pass_(1700)
    assert daemon.due_in_s() == 0
    second = daemon.token()
    assert second not in {None, first}
    assert family(second) == family(first)
    assert daemon.state().phase is Phase.VALID
    assert daemon.due_in_s() > 0
    world.path.chmod(0o600)
    assert world.path.read_bytes() == b"nobody reads this"
    assert world.credential["refreshToken"].split(".")[1] == "1", "it does not rotate"


def test_a_lost_answer_is_asked_for_again_and_nothing_ends(world, authority):
    world.sign_in()
    daemon = world.daemon()
    daemon.token()
    world.pass_(1700)
    lost = authority.requests["/oauth/token"] + 1
    authority.lose = lambda number: number == lost
    daemon.token()
    assert authority.daemons[0].renewals == 2
    assert daemon.trouble is None


def test_a_proof_that_is_not_believed_is_trouble_and_never_the_end(world, authority):
    world.sign_in()
    daemon = world.daemon()
    token = daemon.token()
    authority.doubts = True
    world.pass_(1400)
    assert daemon.token() == token, "it is good enough while it lasts"
    assert daemon.state().phase is Phase.DEGRADED
    assert "invalid_dpop_proof" in daemon.state().reason
    world.pass_(600)
    with pytest.raises(Unavailable):
        daemon.token()
    assert daemon.state().phase is Phase.DEGRADED
    authority.doubts = False
    assert family(daemon.token()) == family(token)
    assert daemon.state().phase is Phase.VALID


def test_a_rejected_token_is_renewed_and_a_server_that_rejects_that_too_is_distrusted(world, authority):
    world.sign_in()
    daemon = world.daemon()
    first = daemon.token()
    second = daemon.renew_now(first)
    assert second != first
    assert daemon.renew_now(first) == second, "word about a token that has been replaced"
    with pytest.raises(Unavailable) as refused:
        daemon.renew_now(second)
    assert refused.value.code == "token_rejected"
    assert authority.daemons[0].renewals == 1


def test_the_word_that_it_is_over_is_believed_right_after_a_renewal_and_only_once(world, authority):
    world.sign_in()
    daemon = world.daemon()
    second = daemon.renew_now(daemon.token())
    third = daemon.renew_now(second, over=True)
    with pytest.raises(Unavailable):
        daemon.renew_now(third, over=True)
    assert authority.daemons[0].renewals == 2
    authority.daemons[0].ended = "revoked"
    with pytest.raises(LoginRequired):
        world.daemon().renew_now(third, over=True)
    assert world.daemon().state().phase is Phase.AUTH_FAILED


def test_on_a_full_disk_it_goes_on_renewing(world, authority):
    world.sign_in()
    world.daemon().token()
    daemon = world.daemon(reach=full_disk)
    world.pass_(1700)
    token = daemon.token()
    assert authority.daemons[0].renewals == 1
    assert daemon.current() == token
    assert family(world.daemon().token()) == family(token)


def full_disk(point):
    if point == "FP9 written":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# -------------------------------------------------------------------------------------- where there is none


def test_a_server_without_them_is_served_through_the_shared_sign_in_and_asked_again_later(world, authority):
    authority.offers = False
    grant = world.sign_in()
    daemon = world.daemon()
    assert daemon.token() == grant.access_token
    assert daemon.current() == grant.access_token
    state = daemon.state()
    assert state.phase is Phase.VALID
    assert state.note == NOT_OFFERED
    assert "on the shared sign-in: this server gives mirrors no credential" in text(state)
    before = asked(authority)
    world.pass_(600)
    assert daemon.token() == grant.access_token
    assert asked(authority) == before
    assert 0 < daemon.due_in_s() < 3000
    authority.offers = True
    world.pass_(3001)
    assert daemon.due_in_s() == 0
    assert family(daemon.token()) == authority.daemons[0].name


def test_a_server_of_the_first_version_is_one_without_them(world, authority):
    authority.oauth = False
    grant = world.sign_in()
    daemon = world.daemon()
    assert daemon.token() == grant.access_token
    assert daemon.state().note == NOT_OFFERED


def test_a_refused_enrolment_says_why_and_the_shared_sign_in_serves(world, authority):
    authority.refuses = "access_denied"
    grant = world.sign_in()
    daemon = world.daemon()
    assert daemon.token() == grant.access_token
    assert daemon.state().note == "the server gave no credential: not for you"
    authority.refuses = None
    world.pass_(61)
    assert family(daemon.token()) == authority.daemons[0].name


def test_a_credential_that_cannot_be_saved_is_not_used_and_given_up(world, authority):
    world.sign_in()
    daemon = world.daemon(reach=lambda point: full_disk(point) if authority.daemons else None)
    token = daemon.token()
    (mine,) = authority.daemons
    assert family(token) != mine.name
    assert [one.split(".")[0] for one in authority.revoked] == [f"cld_rt_{mine.name}"]
    assert "could not be saved" in daemon.state().note


def test_the_shared_sign_in_that_serves_is_renewed_as_any_owner_does(world, authority):
    authority.offers = False
    grant = world.sign_in()
    daemon = world.daemon()
    first = daemon.token()
    second = daemon.renew_now(first)
    assert second != first
    assert family(second) == grant.family
    assert authority.outcomes() == {"rotated": 1}


# ------------------------------------------------------------------------------------------- when it is over


def test_a_revoked_credential_waits_for_the_next_sign_in_which_enrols_a_new_key(world, authority):
    world.sign_in()
    daemon = world.daemon()
    token = daemon.token()
    authority.daemons[0].ended = "revoked"
    with pytest.raises(LoginRequired) as refused:
        daemon.renew_now(token)
    assert "revoked" in refused.value.message
    before = asked(authority)
    for one in (daemon, world.daemon()):
        state = one.state()
        assert state.phase is Phase.AUTH_FAILED
        assert (state.reason, state.by) == ("revoked", "ada from box7")
        assert "revoked by ada from box7" in text(state)
        assert remedy(state) == f"run `relayfile login {authority.url}`"
        assert one.current() is None
        with pytest.raises(LoginRequired):
            one.token()
    assert asked(authority) == before, "the sign-in that was there is not used to bring it back"
    world.sign_in()
    assert daemon.state().phase is Phase.DUE
    assert family(daemon.token()) == authority.daemons[1].name
    assert authority.daemons[0].key != authority.daemons[1].key


def test_one_that_ran_out_while_the_machine_was_off_is_replaced_by_the_sign_in_that_is_there(world, authority):
    world.sign_in()
    daemon = world.daemon()
    daemon.token()
    authority.daemons[0].ended = "expired"
    world.pass_(1700)
    assert family(daemon.token()) == authority.daemons[1].name


def test_when_sign_in_and_credential_are_both_over_it_says_why_the_credential_is(world, authority):
    grant = world.sign_in()
    daemon = world.daemon()
    token = daemon.token()
    authority.daemons[0].ended = "sign-in revoked"
    authority.families[grant.family].alive = False
    with pytest.raises(LoginRequired):
        daemon.renew_now(token)
    assert daemon.state().reason == "sign-in revoked"


def test_a_sign_in_that_is_over_enrols_nobody(world, authority):
    grant = world.sign_in()
    authority.families[grant.family].alive = False
    daemon = world.daemon()
    with pytest.raises(LoginRequired):
        daemon.token()
    assert daemon.state().phase is Phase.AUTH_FAILED
    assert not authority.daemons
    assert authority.answers["dead subject"] == 1
    assert authority.outcomes() == {"rejected": 1}


def test_without_a_sign_in_it_waits_for_one(world, authority):
    daemon = world.daemon()
    assert daemon.state().phase is Phase.NO_SESSION
    with pytest.raises(LoginRequired):
        daemon.token()
    assert asked(authority) == 0
    world.sign_in()
    assert family(daemon.token()) == authority.daemons[0].name


def test_a_sign_in_at_another_server_vouches_for_nothing_and_its_token_stays_here(world, authority):
    world.sign_in()
    with DaemonAuthority() as other:
        daemon = world.daemon(api_url=other.url)
        with pytest.raises(LoginRequired):
            daemon.token()
        state = daemon.state()
        assert state.code == "other_server"
        assert authority.url in state.reason
        assert remedy(state) == f"run `relayfile login {other.url}`"
        assert asked(other) == 0
    assert daemon.current() is None


# ------------------------------------------------------------------------------------- files that went wrong


@pytest.mark.parametrize("what", ["no key", "another key", "torn key", "torn credential", "foreign credential"])
def test_what_is_lost_or_damaged_is_enrolled_anew(world, authority, what):
    world.sign_in()
    world.daemon().token()
    key, credential = world.folder / "key.pem", world.folder / "credential.json"
    if what == "no key":
        key.unlink()
    elif what == "another key":
        key.write_text(DaemonEnroller().new_key().reveal())
    elif what == "torn key":
        key.write_bytes(key.read_bytes()[:60])
    elif what == "torn credential":
        credential.write_bytes(credential.read_bytes()[:200])
    else:
        changed = world.credential
        changed["refreshToken"] = "cld_rt_other"
        credential.write_text(json.dumps(changed))
    world.pass_(1700)
    daemon = world.daemon()
    assert family(daemon.token()) == authority.daemons[1].name
    assert daemon.state().phase is Phase.VALID
    assert family(world.daemon().token()) == authority.daemons[1].name


def test_the_credential_of_another_mirror_is_not_used(world, authority):
    world.sign_in()
    world.daemon().token()
    world.daemon(mirror="m2").token()
    assert [one.mirror for one in authority.daemons] == ["m1", "m2"]


def test_a_mirror_that_goes_over_to_the_shared_sign_in_gives_its_credential_up(world, authority):
    world.sign_in()
    world.daemon().token()
    give_up(world.home, Purpose(authority.url, "rw_1", "m1"))
    assert [one.split(".")[0] for one in authority.revoked] == [f"cld_rt_{authority.daemons[0].name}"]
    assert not (world.folder / "key.pem").exists()
    assert not (world.folder / "credential.json").exists()
    give_up(world.home, Purpose(authority.url, "rw_1", "m1"))
    assert len(authority.revoked) == 1


# ----------------------------------------------------------------------------------- before it comes to its end


def test_between_day_60_and_75_it_is_replaced_and_the_old_one_given_up(world, authority):
    world.sign_in()
    daemon = world.daemon()
    daemon.token()
    world.pass_(59 * DAY_S)
    world.sign_in()
    authority.revoked.clear()
    daemon.token()
    assert len(authority.daemons) == 1
    world.pass_(17 * DAY_S)
    world.sign_in()
    authority.revoked.clear()
    assert family(daemon.token()) == authority.daemons[1].name
    assert authority.daemons[0].key == authority.daemons[1].key, "the old one must go on working if this is lost"
    assert [one.split(".")[0] for one in authority.revoked] == [f"cld_rt_{authority.daemons[0].name}"]


def test_without_a_sign_in_it_lives_to_its_end_and_says_when_that_is(world, authority):
    world.sign_in()
    daemon = world.daemon()
    first = daemon.token()
    world.path.unlink()
    world.pass_(70 * DAY_S)
    assert family(daemon.token()) == family(first)
    assert "ends" not in text(daemon.state())
    world.pass_(7 * DAY_S)
    assert family(daemon.token()) == family(first)
    assert "unless somebody signs in before" in text(daemon.state())


def test_while_a_successor_cannot_be_had_the_old_one_serves(world, authority):
    world.sign_in()
    daemon = world.daemon()
    first = daemon.token()
    authority.refuses = "temporarily_unavailable"
    world.pass_(76 * DAY_S)
    world.sign_in()
    assert family(daemon.token()) == family(first)
    assert daemon.state().own is not None
    assert daemon.state().note is None
