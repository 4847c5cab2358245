"""A process dies at each named point of a renewal (4-sessions T04): the next goes on, and nobody signs in again."""

import multiprocessing

import pytest

import logins
from fake_authority import Authority
from logins import POINTS
from relayfile.credentials.clock import SystemClock
from relayfile.wire.credentials import fingerprint

spawn = multiprocessing.get_context("spawn")


@pytest.mark.parametrize("point", POINTS)
def test_the_next_process_has_a_token_after_a_death_at_any_point(place, point):
    path = place / "cloud-credentials.json"
    with Authority() as authority:
        grant = authority.grant(expires_in_s=0.0)
        logins.signed_in(path, grant)
        dying = spawn.Process(target=logins.renew_and_die, args=(path, point))
        dying.start()
        dying.join(60)
        assert dying.exitcode == 86, f"it never reached {point}"

        after = logins.session(path)
        began = SystemClock().boottime()
        token = after.token()
        assert SystemClock().boottime() - began < 5

        assert token.reveal().startswith(f"cld_at_{grant.family}.2.")
        outcomes = authority.outcomes()
        assert outcomes["rotated"] == 1
        assert outcomes["replayed"] <= 1
        assert not outcomes["rejected"]
        assert not outcomes["reused"]
        assert len({one.nonce for one in authority.presented}) == 1, "the nonce of a generation never changes (I2)"
        assert after.state().generation == 2
        intent = place / "cloud-credentials.intent"
        if intent.exists():
            # A promise about a consumed token may stay; it is keyed by that token and replaced by the next one.
            assert fingerprint(grant.refresh_token) in intent.read_text()


def test_every_point_is_reached_in_order_by_one_renewal(place):
    path, reached = place / "cloud-credentials.json", []
    with Authority() as authority:
        logins.signed_in(path, authority.grant(expires_in_s=0.0))
        logins.session(path, reach=reached.append).token()
    assert list(dict.fromkeys(reached)) == list(POINTS)
