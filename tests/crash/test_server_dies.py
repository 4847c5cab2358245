"""The server dies around the commit of a renewal, or its answer breaks off (4-sessions SP1 to SP3).

A busy database (SP4) is `tests/unit/server/test_grants.py`; a server that comes back without its last commit (SP5)
is explored by `tests/model` and played in `test_found_by_the_model.py`.
"""

import json
import multiprocessing

import pytest

import fake_authority
import logins
from crash import dying_server
from crash.dying_server import AFTER_COMMIT, BEFORE_COMMIT
from fake_authority import Authority
from relayfile.core.families import Outcome

spawn = multiprocessing.get_context("spawn")
NONCE = "0" * 32


@pytest.mark.parametrize(
    ("point", "then", "events"),
    [
        (BEFORE_COMMIT, Outcome.ROTATED, ["issued", "rotated"]),
        (AFTER_COMMIT, Outcome.RETRY, ["issued", "rotated", "replayed"]),
    ],
)
def test_a_server_that_dies_around_the_commit_answers_the_same_attempt_with_the_one_successor(
    place, point, then, events
):
    token = dying_server.signed_in(place)
    dying = spawn.Process(target=dying_server.renewed, args=(place, token, NONCE, point))
    dying.start()
    dying.join(60)
    assert dying.exitcode == 86, f"it never came to {point}"
    again = dying_server.renewed(place, token, NONCE)
    assert (again.outcome, again.stored.family.generation) == (then, 2)
    assert dying_server.audited(place) == events, "what is on record is what was committed"
    after = dying_server.renewed(place, again.refresh.reveal(), "1" * 32)
    assert (after.outcome, after.stored.family.generation) == (Outcome.ROTATED, 3)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99], ids="{:.0%} of the body".format)
def test_an_answer_that_breaks_off_is_no_answer_and_is_asked_for_again(place, monkeypatch, part):
    path, said = place / "cloud-credentials.json", []
    whole = fake_authority._Door.say

    def half(door, what):
        if door.path == "/oauth/token" and not said:
            said.append(what)
            body = what.body[: int(len(what.body) * part)]
            door.send_response(what.status)
            door.send_header("Content-Type", what.content_type)
            door.send_header("Content-Length", str(len(what.body)))
            door.end_headers()
            door.wfile.write(body)
            door.close_connection = True
        else:
            whole(door, what)

    monkeypatch.setattr(fake_authority._Door, "say", half)
    with Authority() as authority:
        logins.signed_in(path, authority.grant(expires_in_s=0.0))
        token = logins.session(path).token()
        assert authority.outcomes() == {"rotated": 1, "replayed": 1}
    assert said
    assert json.loads(path.read_bytes())["accessToken"] == token.reveal()
    assert json.loads(path.read_bytes())["generation"] == 2
