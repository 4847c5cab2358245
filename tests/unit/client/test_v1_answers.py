"""What a v1 answer says of time: moments of the server's clock, which may not be ours (B.4)."""

import email.utils
import json
from datetime import UTC, datetime

import pytest

from relayfile.client.answers import Answer
from relayfile.client.carrier import Received
from relayfile.client.exchange import _v1_grant

SENT, TOOK = 1_800_000_000.7, 0.2


def end_of_grant(*, server_ahead_s, lives_s, date_late_s=0.0):
    """When an access token of `lives_s` ends by our clock, which the server's is ahead of."""
    server_now = SENT + server_ahead_s
    body = {
        "accessToken": "cld_at_x",
        "refreshToken": "cld_rt_x",
        "accessTokenExpiresAt": datetime.fromtimestamp(server_now + lives_s, UTC).isoformat(),
    }
    date = email.utils.formatdate(int(server_now - date_late_s), usegmt=True)
    answer = Answer(200, {"date": date}, json.dumps(body).encode())
    grant, _ = _v1_grant(Received(answer, 500.0, SENT, 500.0 + TOOK))
    return grant.access_expires_at - SENT


@pytest.mark.parametrize("date_late_s", [0.0, 0.9])
def test_a_short_life_is_not_taken_for_longer_because_a_date_tells_whole_seconds(date_late_s):
    assert end_of_grant(server_ahead_s=0.0, lives_s=2.0, date_late_s=date_late_s) == pytest.approx(2.0)


@pytest.mark.parametrize("server_ahead_s", [-86_400.0, -3600.0, -61.3, 61.3, 3600.0, 86_400.0])
@pytest.mark.parametrize("date_late_s", [0.0, 0.9])
def test_a_clock_that_is_off_moves_the_end_to_ours_and_never_past_it(server_ahead_s, date_late_s):
    lives = end_of_grant(server_ahead_s=server_ahead_s, lives_s=1800.0, date_late_s=date_late_s)
    assert 1800.0 - 2.1 <= lives <= 1800.0
