"""One login, as a process uses it: adoption, verdicts, foreign writers, logout, clocks (R8, R9, I1 to I9)."""

import errno
import json
import os
import threading
import time
from dataclasses import replace

import pytest

import logins
from fake_authority import Authority, Said
from logins import Turned
from relayfile.client.exchange import OAUTH_PATH, V1_PATH
from relayfile.core.schedule import Limits
from relayfile.core.session import as_fields, text
from relayfile.errors import LoginRequired, Misconfigured, Unavailable, UsageError
from relayfile.model import Secret
from relayfile.wire.credentials import fingerprint

METADATA_PATH = "/.well-known/oauth-authorization-server"


@pytest.fixture
def authority():
    with Authority() as running:
        yield running


@pytest.fixture
def path(place):
    return place / "cloud-credentials.json"


def write_as_v1(path, grant):
    """As a program writes that knows only the v1 names: in place, without a lock, keeping nothing of ours."""
    path.write_text(
        json.dumps(
            {
                "apiUrl": grant.api_url,
                "accessToken": grant.access_token.reveal(),
                "refreshToken": grant.refresh_token.reveal(),
                "accessTokenExpiresAt": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(grant.access_expires_at)),
                "updatedAt": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(grant.issued_at)),
            }
        )
    )
    path.chmod(0o600)


def test_without_a_login_nothing_is_locked_made_or_asked(place):
    mine = logins.session(place / "nowhere" / "cloud-credentials.json")
    with pytest.raises(LoginRequired) as caught:
        mine.token()
    assert caught.value.hint == "run `relayfile login URL`"
    assert mine.state().phase == "no-session"
    assert mine.api_url() is None
    assert not list(place.iterdir())


def test_a_good_token_costs_no_lock_no_request_and_less_than_a_third_of_a_millisecond(authority, path):
    mine = logins.signed_in(path, authority.grant())
    (path.parent / "cloud-credentials.lock").unlink()
    mine.token()
    best = min(_timed(mine.token) for _ in range(200))
    assert best < 0.0003
    assert not authority.requests
    assert not (path.parent / "cloud-credentials.lock").exists()


def _timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_a_renewal_by_another_process_is_adopted_without_a_request(authority, path):
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    theirs = logins.session(path).token()
    assert mine.token() == theirs
    assert authority.outcomes() == {"rotated": 1}


def test_threads_of_one_process_share_one_renewal(authority, path):
    authority.latency_s = 0.1
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    found = []
    threads = [threading.Thread(target=lambda: found.append(mine.token())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert authority.outcomes() == {"rotated": 1}


def test_a_lost_reply_is_repeated_with_the_same_token_and_the_same_nonce(authority, path):
    authority.lose = lambda n: n == 1
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    assert mine.token()
    assert authority.outcomes() == {"rotated": 1, "replayed": 1}
    assert len({(one.generation, one.nonce) for one in authority.presented}) == 1


def test_a_reply_lost_for_hours_is_recovered_by_one_repeat(authority, path):
    authority.lose = lambda n: n <= 4
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    with pytest.raises(Unavailable) as caught:
        mine.token()
    assert caught.value.code == "auth_ambiguous"
    assert mine.state().phase == "ambiguous"
    later = logins.session(path, clock=Turned(wall=8 * 3600, boot=8 * 3600))
    assert later.token()
    assert authority.outcomes() == {"rotated": 1, "replayed": 4}


def test_a_failed_renewal_does_not_take_away_a_token_that_still_lasts(authority, path):
    authority.instead = lambda _: Said(503, b"{}")
    mine = logins.signed_in(path, authority.grant(expires_in_s=1000), role="owner", clock=Turned())
    mine.clock.boot_off = 900
    assert mine.token().reveal().split(".")[1] == "1"
    assert mine.state().phase == "degraded"
    authority.instead = lambda _: None
    assert mine.token().reveal().split(".")[1] == "2"
    assert mine.state().phase == "valid"


# ------------------------------------------------------------------------------------------------ endings: I5, I9


def test_a_server_that_says_the_sign_in_is_over_is_believed_also_right_after_a_renewal_it_asked_for(authority, path):
    grant = authority.grant()
    mine = logins.signed_in(path, grant)
    second = mine.renew_now(grant.access_token)
    authority.families[grant.family].alive = False
    with pytest.raises(LoginRequired):
        mine.renew_now(second, over=True)
    assert mine.state().phase == "auth-failed"
    with pytest.raises(LoginRequired):
        logins.session(path).renew_now(second, over=True)
    assert authority.outcomes() == {"rotated": 1, "rejected": 1}, "it was presented once"


def test_a_server_that_says_so_and_renews_nevertheless_is_believed_once(authority, path):
    mine = logins.signed_in(path, authority.grant())
    token = mine.current()
    token = mine.renew_now(token, over=True)
    with pytest.raises(Unavailable) as caught:
        mine.renew_now(token, over=True)
    assert caught.value.code == "token_rejected"
    assert authority.outcomes() == {"rotated": 1}


# ---------------------------------------------------------------------------------- a login that cannot be saved


def test_a_login_that_cannot_be_saved_is_given_up_on_the_server(authority, path):
    before, new = authority.grant(), authority.grant()
    logins.signed_in(path, before)

    def full(point):
        if point == "FP9 written":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    mine = logins.session(path, reach=full)
    with pytest.raises(Misconfigured):
        mine.adopt(new)
    assert authority.revoked == [new.refresh_token.reveal()]
    assert logins.session(path).current() == before.access_token
    path.write_bytes(b"torn")
    assert logins.session(path).token() == before.access_token, "what was given up is not put back"


@pytest.mark.parametrize("spoilt", ["newer", "folder", "busy"])
def test_what_would_keep_a_login_from_being_saved_is_known_before(authority, path, spoilt):
    mine = logins.session(path)
    mine.check_ready()
    if spoilt == "busy":
        held = logins.session(path).file.locked("test", 1.0, mine.clock, lambda: 0.5)
        with held, pytest.raises(Unavailable):
            mine.check_ready(0.0)
        return
    path.write_text('{"schemaVersion": 99}') if spoilt == "newer" else path.mkdir()
    for way in (mine.check_ready, lambda: mine.adopt(authority.grant())):
        with pytest.raises(Misconfigured):
            way()
    assert len(authority.revoked) == 1


def test_a_login_over_a_damaged_file_ends_the_one_that_was_in_it_and_so_does_a_logout(authority, path):
    first, second = authority.grant(), authority.grant()
    logins.signed_in(path, first)
    path.write_bytes(b"[]")
    mine = logins.session(path)
    assert mine.state().api_url == authority.url
    assert "no object" in mine.state().reason
    mine.adopt(second)
    path.write_bytes(b"torn")
    out = logins.session(path).logout()
    assert (out.api_url, out.told) == (authority.url, True)
    assert authority.revoked == [first.refresh_token.reveal(), second.refresh_token.reveal()]
    assert logins.session(path).logout().api_url is None


PROXIES = [
    Said(200, b"<html>sign in to the wifi</html>", "text/html"),
    Said(200, b'{"ok": true}'),
    Said(302, b"", "text/html", {"Location": "http://portal/"}),
    Said(401, b"<html>proxy</html>", "text/html"),
    Said(403, b"Forbidden", "text/plain"),
    Said(403, b'{"code": "forbidden", "message": "no"}'),
    Said(400, b'{"error": {"invalid_grant": true}}'),
    Said(400, b'["invalid_grant"]'),
    Said(400, b'{"error": "invalid_request"}'),
    Said(407, b"", "text/plain"),
    Said(429, b'{"error": "slow_down"}'),
    Said(500, b"oops", "text/plain"),
    Said(503, b'{"error": "temporarily_unavailable"}'),
]


@pytest.mark.parametrize("said", PROXIES, ids=lambda said: f"{said.status} {said.body[:20]!r}")
def test_nothing_but_a_json_error_word_ends_a_login(authority, path, said):
    authority.instead = lambda _: said
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    with pytest.raises(Unavailable) as caught:
        mine.token()
    assert "cld_" not in str(caught.value)
    assert not (path.parent / "cloud-credentials.verdict").exists()
    authority.instead = lambda _: None
    assert mine.token()
    assert authority.outcomes() == {"rotated": 1}


def test_a_pause_that_the_server_asks_for_is_kept_by_every_process(authority, path):
    authority.instead = lambda _: Said(429, b'{"error": "slow_down"}', headers={"Retry-After": "7"})
    mine = logins.signed_in(path, authority.grant(expires_in_s=0), limits=Limits(holder_s=0.5))
    with pytest.raises(Unavailable) as caught:
        mine.token()
    assert caught.value.retry_after_s == 7
    asked = authority.requests["/oauth/token"]
    with pytest.raises(Unavailable) as caught:
        logins.session(path).token()
    assert caught.value.code == "auth_paused"
    assert authority.requests["/oauth/token"] == asked
    authority.instead = lambda _: None
    assert logins.session(path, clock=Turned(boot=8)).token()


def test_a_dead_login_is_presented_once_remembered_and_mended_by_a_login(authority, path):
    grant = authority.grant(expires_in_s=0)
    mine = logins.signed_in(path, grant)
    authority.families[grant.family].alive = False
    with pytest.raises(LoginRequired) as caught:
        mine.token()
    assert caught.value.hint == f"run `relayfile login {authority.url}`"
    assert caught.value.details["reason"] == "rejected"
    state = mine.state()
    assert (state.phase, state.code, state.reason) == ("auth-failed", "invalid_grant", "rejected")
    for other in (mine, logins.session(path), logins.session(path, clock=Turned(wall=90_000, boot=90_000))):
        with pytest.raises(LoginRequired):
            other.token()
    assert len(authority.presented) == 1
    logins.session(path).adopt(authority.grant())
    assert mine.token()
    assert mine.state().phase == "valid"


def test_a_refused_client_is_told_to_upgrade(authority, path):
    authority.instead = lambda _: Said(401, b'{"error": "invalid_client"}')
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    with pytest.raises(LoginRequired):
        mine.token()
    assert mine.state().phase == "client-rejected"


def test_a_token_the_server_refuses_is_renewed_once_and_fresh_ones_it_refuses_are_not(authority, path):
    mine = logins.signed_in(path, authority.grant())
    first = mine.token()
    second = mine.renew_now(first)
    assert second != first
    assert mine.renew_now(first) == second, "word about a token that was replaced is old news"
    with pytest.raises(Unavailable) as caught:
        logins.session(path).renew_now(second)
    assert caught.value.code == "token_rejected"
    assert authority.outcomes() == {"rotated": 1}


# ------------------------------------------------------------------------------------------------ foreign writers


def test_a_foreign_login_is_adopted_as_it_is_and_renewed_in_its_turn(authority, path):
    mine = logins.signed_in(path, authority.grant())
    theirs = authority.grant()
    write_as_v1(path, theirs)
    assert mine.token() == theirs.access_token
    assert mine.state().generation is None
    authority_grant = replace(theirs, access_expires_at=time.time() - 1, issued_at=time.time() - 100)
    write_as_v1(path, authority_grant)
    assert mine.token().reveal().startswith(f"cld_at_{theirs.family}.2.")
    assert mine.state().generation == 2


def test_a_consumed_token_that_a_foreign_writer_puts_back_is_never_presented(authority, path):
    said = []
    grant = authority.grant(expires_in_s=0)
    mine = logins.signed_in(path, grant, notice=said.append)
    newest = mine.token()
    write_as_v1(path, grant)
    assert mine.token() == newest
    assert len(authority.presented) == 1
    assert any("already renewed" in line for line in said)
    assert json.loads(path.read_bytes())["rtFp"] != fingerprint(grant.refresh_token)


def test_a_foreign_pair_that_comes_just_after_a_rejection_is_adopted(authority, path):
    grant = authority.grant(expires_in_s=0)
    mine = logins.signed_in(path, grant, limits=Limits(rereads_s=(0.2, 0.9)))
    theirs = authority.grant()
    authority.families[grant.family].alive = False
    late = threading.Timer(0.4, write_as_v1, (path, theirs))
    late.start()
    assert mine.token() == theirs.access_token
    late.join()
    assert len(authority.presented) == 1


def test_a_login_by_a_foreign_writer_during_a_renewal_stays(authority, path):
    theirs = authority.grant()

    def meanwhile(point):
        if point == "FP8 answer read":
            write_as_v1(path, theirs)

    logins.signed_in(path, authority.grant(expires_in_s=0))
    mine = logins.session(path, reach=meanwhile)
    assert mine.token() == theirs.access_token
    assert json.loads(path.read_bytes())["refreshToken"] == theirs.refresh_token.reveal()


def test_a_file_removed_during_a_renewal_stays_removed(authority, path):
    def meanwhile(point):
        if point == "FP8 answer read":
            path.unlink()

    logins.signed_in(path, authority.grant(expires_in_s=0))
    with pytest.raises(LoginRequired):
        logins.session(path, reach=meanwhile).token()
    assert not path.exists()


def test_an_extra_field_counts_only_while_it_belongs_to_the_token_beside_it(authority, path):
    mine = logins.signed_in(path, authority.grant())
    fields = json.loads(path.read_bytes())
    path.write_text(json.dumps({**fields, "generation": 99}))
    assert mine.state().generation is None, "the sum covers it"
    path.write_text(json.dumps({**fields, "refreshToken": authority.grant().refresh_token.reveal()}))
    assert mine.state().family != fields["family"], "rtFp names another token"
    path.write_text(json.dumps({**fields, "someone": "else"}))
    assert mine.state().generation == 1, "names that are not ours do not matter"


def test_a_server_of_v1_only_is_asked_at_its_own_door(authority, path):
    authority.oauth = False
    mine = logins.signed_in(path, replace(authority.grant(expires_in_s=0), family=None, generation=None))
    assert mine.token().reveal().split(".")[1] == "2"
    assert authority.requests == {METADATA_PATH: 1, V1_PATH: 1}


def test_a_renewal_is_one_request_also_of_a_process_that_never_met_the_server(authority, path):
    logins.signed_in(path, authority.grant(expires_in_s=0))
    assert logins.session(path).token().reveal().split(".")[1] == "2"
    assert authority.requests == {OAUTH_PATH: 1}


@pytest.mark.parametrize("said", [Said(404, b"<html>no such page</html>", "text/html"), Said(405, b"{}")])
def test_a_server_that_gave_up_its_oauth_door_is_asked_again_what_it_speaks_and_signs_nobody_out(
    authority, path, said
):
    logins.signed_in(path, authority.grant(expires_in_s=0))
    authority.oauth, authority.closed = False, {OAUTH_PATH: said}
    mine = logins.session(path)
    assert mine.token().reveal().split(".")[1] == "2"
    assert authority.requests == {OAUTH_PATH: 1, METADATA_PATH: 1, V1_PATH: 1}
    assert mine.state().phase == "valid"


def test_a_process_that_lives_on_after_its_v1_server_was_upgraded_finds_the_new_door(authority, path):
    authority.oauth = False
    mine = logins.signed_in(path, replace(authority.grant(expires_in_s=0), family=None, generation=None))
    mine.token()
    authority.oauth, authority.closed = True, {V1_PATH: Said(404, b"{}")}
    assert mine.renew_now(mine.token()).reveal().split(".")[1] == "3"
    assert authority.requests == {METADATA_PATH: 2, V1_PATH: 2, OAUTH_PATH: 1}


def test_a_door_that_is_said_to_be_there_and_is_not_is_trouble_that_may_pass(authority, path):
    mine = logins.signed_in(path, authority.grant(expires_in_s=0), limits=Limits(holder_s=0.5))
    authority.closed = {OAUTH_PATH: Said(404, b"{}")}
    with pytest.raises(Unavailable):
        mine.token()
    assert authority.requests[V1_PATH] == 0, "it is no server of v1"
    authority.closed = {}
    assert mine.token()
    assert authority.outcomes() == {"rotated": 1}


# ------------------------------------------------------------------------------------------- login and logout


def test_logout_leaves_nothing_that_could_come_back_and_tells_the_server(authority, path):
    grant = authority.grant(expires_in_s=0)
    mine = logins.signed_in(path, grant)
    mine.token()
    newest = json.loads(path.read_bytes())["refreshToken"]
    assert mine.logout().told
    assert authority.revoked == [newest]
    assert mine.state().phase == "logged-out"
    everything = b"".join(entry.read_bytes() for entry in path.parent.iterdir())
    assert b"cld_" not in everything
    write_as_v1(path, replace(grant, refresh_token=Secret(newest)))
    with pytest.raises(LoginRequired):
        mine.renew_now(grant.access_token)
    assert len(authority.presented) == 1


def test_logout_works_without_the_server_and_without_a_login(place, path):
    with Authority() as authority:
        mine = logins.signed_in(path, authority.grant())
    assert not mine.logout().told
    assert not path.exists()
    assert not mine.logout().told


def test_a_login_revokes_the_one_it_replaces_and_another_server_is_refused(authority, path):
    first, second = authority.grant(), authority.grant()
    mine = logins.signed_in(path, first)
    mine.adopt(second, scope="fs:read")
    assert authority.revoked == [first.refresh_token.reveal()]
    elsewhere = replace(authority.grant(), api_url="http://127.0.0.1:1")
    with pytest.raises(UsageError) as caught:
        mine.adopt(elsewhere)
    assert caught.value.code == "other_server"
    assert "--replace" in caught.value.hint
    mine.adopt(elsewhere, replace=True)
    assert mine.api_url() == "http://127.0.0.1:1"


# ----------------------------------------------------------------------------------------------------- clocks


@pytest.mark.parametrize("jump_s", [3600, -3600, 3.2e7, -3.2e7])
def test_a_wall_clock_that_jumps_causes_no_renewal_and_ends_no_login(authority, path, jump_s):
    clock = Turned()
    mine = logins.signed_in(path, authority.grant(), clock=clock)
    clock.wall_off = jump_s
    assert mine.token().reveal().split(".")[1] == "1"
    assert logins.session(path, clock=Turned(wall=jump_s)).token()
    assert not authority.presented
    clock.boot_off = 1790
    assert mine.token().reveal().split(".")[1] == "2"
    assert mine.token().reveal().split(".")[1] == "2"
    assert len(authority.presented) == 1


def test_a_sleep_of_hours_is_counted_although_the_wall_clock_does_not_show_it(authority, path):
    mine = logins.signed_in(path, authority.grant(), clock=Turned(boot=0))
    mine.clock.boot_off = 8 * 3600
    assert mine.token().reveal().split(".")[1] == "2"


def test_a_clock_that_is_off_is_said(authority, path):
    mine = logins.signed_in(path, authority.grant(expires_in_s=0), clock=Turned(wall=600))
    mine.renew_now(mine.current() or Secret(json.loads(path.read_bytes())["accessToken"]))
    assert mine.state().clock_skew_s == pytest.approx(600, abs=3)


def test_no_secret_is_in_what_people_and_programs_see(authority, path):
    mine = logins.signed_in(path, authority.grant())
    shown = text(mine.state()) + json.dumps(as_fields(mine.state())) + repr(mine.state()) + repr(mine.token())
    assert "cld_" not in shown
