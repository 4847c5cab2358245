"""The one public picture: for people, for programs, for readers outside, and of a mirror that is stopped."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import get_args

import pytest

from relayfile.credentials.home import Home
from relayfile.errors import Halted
from relayfile.mirror import registry, status
from relayfile.mirror.picture import Cause, Picture, Progress, StateWord
from relayfile.mirror.registry import Record
from relayfile.wire import state_file
from relayfile.wire.control import Fragment

RECORD = Record("m1", "rw_1", "acme", "/work/acme", "http://one")
LOGIN = {"profile": "default", "state": "valid", "text": "signed in"}
LIVE = Picture("live", head=41, observed=41, applied=41, equal=True, proven_at=1_800_000_000.25, connection="live")


def drawn(picture, **choices):
    return status.fragment(RECORD, picture, LOGIN, pid=7, **choices)


def test_equality_is_said_with_its_position_and_what_is_not_kept():
    left = tuple((f"a:{number}", "no such name") for number in range(7))
    seen = drawn(Picture("live", observed=41, equal=True, proven_at=time.time(), not_kept=left, not_kept_count=1_200))
    text = status.text(seen)
    assert "live · equal to evt_41, proven " in text
    assert "(1,200 paths not kept here)" in text
    assert "1,195 more" in text
    assert "a:4 (no such name)" in text


def test_a_limit_on_contents_is_said_for_each_direction():
    assert drawn(LIVE)["bandwidth"] == {"up": None, "down": None}
    limited = status.fragment(replace(RECORD, up_rate=500_000), LIVE, LOGIN, pid=7)
    assert limited["bandwidth"] == {"up": 500_000, "down": None}
    assert "contents are kept to 0.50 MB/s up\n" in status.text(limited)


def test_equality_is_never_said_when_it_is_not_proven():
    assert "equal to" not in status.text(drawn(Picture("catching-up", head=9, observed=9, applied=4)))
    assert "at evt_4 of evt_9" in status.text(drawn(Picture("catching-up", head=9, observed=9, applied=4)))
    assert "not equal to evt_9" in status.text(drawn(Picture("damaged", head=9, observed=9, applied=9, equal=False)))


def test_a_cause_with_the_command_that_mends_it_is_shown_whole_however_narrow_the_terminal():
    cause = Cause("invalid_grant", "auth-failed: needs re-login · run `relayfile login http://one`")
    text = status.text(drawn(Picture("auth-failed", cause)), width=30)
    assert "auth-failed · " in text
    assert cause.sentence in text


def test_progress_edits_and_conflicts_are_counted():
    picture = Picture(
        "bootstrapping", pending_edits=2, conflicts=1, progress=Progress(1200, 4000, 1_200_000, 4_000_000, 812.4)
    )
    text = status.text(drawn(picture))
    assert "1,200 of 4,000 files, 1.2 of 4.0 MB, 812 files/s" in text
    assert "2 edits still to be sent, 1 conflict kept as a copy" in text


def test_digests_that_differed_are_told_with_how_often_and_when_last():
    seen = drawn(replace(LIVE, mismatches=2, mismatched_at=1_800_000_000.25))
    assert (seen["mismatches"], seen["mismatched_at"]) == (2, "2027-01-15T08:00:00.250Z")
    assert "the digests of both sides differed 2 times, last at 2027-01-15T08:00:00.250Z" in status.text(seen)
    assert "differed" not in status.text(drawn(LIVE))


def test_colour_only_when_asked():
    assert "\x1b[" not in status.text(drawn(LIVE))
    assert "\x1b[32mlive" in status.text(drawn(LIVE), colour=True)


def test_a_fragment_is_json_with_the_names_scripts_know():
    seen = json.loads(json.dumps(drawn(LIVE)))
    assert seen.keys() == Fragment.__annotations__.keys()
    assert seen["proven_at"] == "2027-01-15T08:00:00.250Z"


@pytest.mark.parametrize(("pid", "code"), [(None, "stopped"), (7, "ended_unexpectedly")])
def test_a_stopped_mirror_says_what_its_daemon_last_knew_and_claims_nothing(tmp_path, pid, code):
    home = Home(tmp_path / "home")
    record = replace(RECORD, directory=str(tmp_path), root_ino=tmp_path.stat().st_ino)
    registry.save(home, record)
    seen = drawn(LIVE)
    seen["pid"] = pid
    status.save_last(home, seen)
    stopped = status.stopped(home, record)
    assert (stopped["state"], stopped["equal"], stopped["observed"], stopped["pid"]) == ("stopped", None, 41, None)
    assert stopped["cause"]["code"] == code
    assert f"relayfile mount {tmp_path}" in status.text(stopped)


@pytest.mark.parametrize("ended_as", [None, "root_replaced"])
def test_a_stopped_mirror_whose_directory_is_gone_says_so_and_no_more_once_it_was_put_back(tmp_path, ended_as):
    home = Home(tmp_path / "home")
    record = replace(RECORD, directory=str(tmp_path / "acme"), root_ino=tmp_path.stat().st_ino)
    registry.save(home, record)
    seen = drawn(LIVE)
    seen["pid"] = None
    if ended_as:
        seen["cause"] = status.ending(Halted("it was moved to /elsewhere", code=ended_as))
    status.save_last(home, seen)
    gone = status.stopped(home, record)["cause"]
    assert gone["code"] == "root_replaced"
    assert ("moved to /elsewhere" if ended_as else f"relayfile mount acme {tmp_path}/acme") in gone["message"]
    back = status.stopped(home, replace(record, directory=str(tmp_path)))
    assert (back["cause"]["code"], back["directory"]) == ("stopped", str(tmp_path))


def test_a_mirror_whose_daemon_could_not_go_on_says_why_as_long_as_it_is_stopped(tmp_path):
    home = Home(tmp_path / "home")
    registry.save(home, RECORD)
    seen = drawn(LIVE)
    gone = Halted("/work/acme is gone", code="root_replaced", hint="put it back")
    seen["pid"], seen["cause"] = None, status.ending(ExceptionGroup("", [ValueError(), ExceptionGroup("", [gone])]))
    status.save_last(home, seen)
    stopped = status.stopped(home, RECORD)
    assert stopped["cause"]["code"] == "root_replaced"
    assert "no daemon keeps it: /work/acme is gone · put it back" in status.text(stopped)
    assert status.ending(KeyboardInterrupt()) is status.ending(None) is None


def test_a_mirror_that_never_ran_or_left_rubbish_can_be_drawn(tmp_path):
    home = Home(tmp_path / "home")
    assert status.stopped(home, RECORD)["state"] == "stopped"
    registry.save(home, RECORD)
    for rubbish in ("", "[]", "{"):
        (home.mirror("m1") / status.LAST).write_text(rubbish)
        assert status.stopped(home, RECORD)["observed"] == 0


def test_drawing_a_stopped_mirror_loads_nothing_heavy():
    heavy = "{'asyncio', 'aiohttp', 'msgspec', 'ssl', 'http.client', 'apsw'}"
    code = f"import sys, relayfile.mirror.status; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def outside(picture, succeeded_at="2027-01-15T08:00:00.000Z"):
    return state_file.content(
        drawn(picture), now="now", succeeded_at=succeeded_at, succeeded_age_s=1.0, started_at="then"
    )


def test_every_state_word_has_a_status_outside_readers_know():
    known = {"offline", "writeback-needs-attention", "conflict", "writeback-pending", "syncing", "stale", "ready"}
    assert set(state_file.STATUS) == set(get_args(StateWord))
    assert set(state_file.STATUS.values()) <= known | {"bootstrapping"}


def test_a_live_mirror_passes_the_barrier_outside_readers_wait_at():
    content = outside(LIVE)
    assert content["bootstrap"] is None
    assert content["lastSuccessfulReconcileAt"]
    assert content["status"] == "ready"
    assert content["eventListener"] == {"status": "listening"}


def test_a_first_filling_does_not_pass_it():
    content = outside(Picture("bootstrapping", progress=Progress(1, 4)), succeeded_at=None)
    assert content["bootstrap"]["filesTotal"] == 4
    assert content["lastSuccessfulReconcileAt"] == ""
    assert content["status"] == "bootstrapping"
