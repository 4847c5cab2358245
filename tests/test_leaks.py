"""The finder of secrets knows every kind that we issue, and what the fixtures of the suite look at is looked at."""

import json
import os
import subprocess
import sys

import pytest

from leaks import FORMS, leaks, seen_in, shown_by, written_below
from machines import Machine
from people import Person
from plain_http import Answer
from servers import Server

ACCESS = "cld_at_" + "a1B2_-" * 7
REFRESH = f"cld_rt_0123456789abcdef.12.{'x' * 43}"


def test_every_kind_of_secret_that_is_issued_is_known_by_its_form(server, machine, place):
    machine.run("workspace", "create", "w")
    machine.run("mount", "w", place / "root")
    machine.run("token", "create", "--name", "ci", "--scope", "fs:read", "--save", place / "ci.token")
    person = Person(server)
    grant, v1 = person.sign_in(), person.sign_in_as_v1()
    (row,) = machine.run("workspace", "list", "--json").json
    joined = person.http.ok("POST", f"/api/v1/workspaces/{row['workspaceId']}/join", body={"agentName": "a"})
    person.http.close()
    (own,) = machine.home.glob("mirrors/*/credential.json")
    issued = {
        "a refresh token": (grant["refresh_token"], v1["refreshToken"], json.loads(own.read_bytes())["refreshToken"]),
        "an access token": (grant["access_token"], v1["accessToken"], json.loads(own.read_bytes())["accessToken"]),
        "a machine token": ((place / "ci.token").read_text(),),
        "a signed token": (joined["token"],),
        "a private key": ((own.parent / "key.pem").read_text(), (server.data / "keys" / "signing.pem").read_text()),
    }
    assert set(issued) == set(FORMS)
    for what, examples in issued.items():
        for example in examples:
            assert seen_in(f'{{"path": "/x?token={example}&y=1"}}') == [what], what


def test_what_may_be_told_of_a_token_is_no_leak():
    for told in ("cld_rt_0123456789abcdef.12", "family 0123456789abcdef", "cld_at_…", "-----BEGIN PUBLIC KEY-----"):
        assert seen_in(told) == []


@pytest.mark.parametrize("name", ["server.log", "data/access.log", "data/core", "data/blobs/ab/abcd"])
def test_a_server_that_wrote_a_token_down_is_found(place, name):
    server = Server(place / "server")
    (server.folder / name).parent.mkdir(parents=True)
    (server.folder / name).write_text(f"one line\nrenewed {REFRESH}\n")
    assert server.leaks() == [f"a refresh token in {server.folder / name}"]


@pytest.mark.parametrize(
    "name", ["mirrors/m1/log", "mirrors/m1/last.json", "cloud-credentials.trouble", "cloud-credentials.lock"]
)
def test_a_machine_that_wrote_a_token_down_is_found(place, name):
    machine = Machine(place / "m")
    (machine.home / name).parent.mkdir(parents=True)
    (machine.home / name).write_text(f"Bearer {ACCESS}")
    assert machine.leaks() == [f"an access token in {machine.home / name}"]


def test_a_token_in_what_a_mirror_shows_to_others_is_found(place):
    machine, shown = Machine(place / "m"), place / "root" / ".relay" / "state.json"
    shown.parent.mkdir(parents=True)
    shown.write_text(json.dumps({"token": ACCESS}))
    (machine.home / "mirrors" / "m1").mkdir(parents=True)
    (machine.home / "mirrors" / "m1" / "mirror.json").write_text(json.dumps({"directory": str(place / "root")}))
    assert machine.leaks() == [f"an access token in {shown}"]


def test_the_places_of_secrets_and_the_drafts_renamed_over_them_may_hold_them(place):
    for name in ("cloud-credentials.json", "cloud-credentials.history.tmp", "m/key.pem", "s/keys/signing.pem"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(REFRESH)
    assert leaks(written_below(place)) == []
    (place / "cloud-credentials.json.bak").write_text(REFRESH)
    assert len(leaks(written_below(place))) == 1


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_that_says_a_token_fails_its_test(place, stream):
    with pytest.raises(AssertionError, match=f"an access token in {stream}"):
        Saying(place, f"import sys; print({ACCESS!r}, file=sys.{stream})").try_("status", "--json")


def test_a_command_that_is_given_a_token_in_its_words_fails_its_test(place):
    with pytest.raises(AssertionError, match="an access token in its words"):
        Saying(place, "").try_("tree", "w", "--token", ACCESS)


@pytest.mark.parametrize("place_of_it", ["cmdline", "environ"])
def test_a_process_that_shows_a_token_is_found(place, place_of_it):
    word, extra = (ACCESS, {}) if place_of_it == "cmdline" else ("", {"RELAYFILE_TOKEN": ACCESS})
    words, given = [sys.executable, "-c", "print('here', flush=True); input()", word], {**os.environ, **extra}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=given) as it:
        assert it.stdout.readline() == b"here\n"
        found = leaks(shown_by(it.pid))
        it.communicate(b"\n")
    assert found == [f"an access token in /proc/{it.pid}/{place_of_it}"]


def test_a_refusal_that_repeats_a_token_fails_its_test():
    Answer(200, {}, ACCESS.encode()).check()
    with pytest.raises(AssertionError, match="repeats"):
        Answer(404, {}, f"no {ACCESS} here".encode()).check()


class Saying(Machine):
    """Its commands run a program of the test's own, whatever their words."""

    def __init__(self, place, program):
        super().__init__(place / "m")
        self.program = program

    def command(self, *args):
        return [sys.executable, "-c", self.program, *map(str, args)]
