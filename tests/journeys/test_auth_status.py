"""`relayfile auth status`: each way a sign-in can be, told by its cause, with the exit code that says what to do."""

import json
import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from people import Person
from servers import PASSWORD, Server
from waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the tests that leave it as they found it."""
    with tempfile.TemporaryDirectory(prefix="rf-") as folder:
        shared = Server(Path(folder).resolve()).start()
        yield shared
        shared.stop()
        assert not shared.warnings()


@pytest.fixture
def foreign_page():
    """The address of something that answers everything with a page of HTML."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<html><body>Welcome to this hotel.</body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name http.server calls

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def status(machine, *options, code=0):
    """What it tells a program; the exit code is `code`, in the answer too."""
    told = machine.run("auth", "status", "--json", *options, exit_code=code).json
    assert told["exit"] == code
    return told


def said(machine, *options, code=0):
    """What it tells a person."""
    return machine.run("auth", "status", *options, exit_code=code).out


def presenting(machine) -> str:
    """The refresh token that the machine would present next."""
    return json.loads(machine.credentials.read_text())["refreshToken"]


def elsewhere(machine, url):
    """The machine's sign-in is at another address, and its access token has ended: it must be renewed there."""
    held = json.loads(machine.credentials.read_text())
    v1 = {name: held[name] for name in ("accessToken", "refreshToken", "refreshTokenExpiresAt")}
    machine.credentials.write_text(
        json.dumps({**v1, "apiUrl": url, "accessTokenExpiresAt": "2020-01-01T00:00:00Z", "updatedAt": None})
    )


def test_a_sign_in_that_works_is_told_with_its_times_its_server_and_its_processes(machine, server, place):
    machine.run("workspace", "create", "acme")
    machine.run("mount", "acme", place / "root", "--shared-login")
    told = status(machine)
    assert (told["state"], told["account"], told["server"]) == ("valid", "owner", server.url)
    assert told["reachable"] is True
    assert told["at_expires_in"] > 60
    assert told["rt_expires_at"] > told["last_renewal"]
    assert told["last_failure"] is None
    assert abs(told["clock_skew"]) < 2
    [daemon] = told["daemons"]
    assert daemon["pid"] in machine.daemons()
    assert daemon["directory"] == os.path.realpath(place / "root")
    assert [one["client"].split()[1] for one in told["processes"]] == ["cli"]
    text = said(machine)
    for part in (
        "owner at",
        "signed in",
        "ends in",
        "until 20",
        "(at the sign-in)",
        "none known",
        "answers, relayfile",
    ):
        assert part in text
    assert presenting(machine) not in text + json.dumps(told)


def test_it_renews_what_has_ended_and_names_every_process_that_did(new_machine, start_server):
    server = start_server(access_ttl="1s", refresh_overlap="0s")
    machine = new_machine()
    machine.login(server)
    until(lambda: said(machine, "--offline").find("has ended") > 0, within_s=5, what="the access token ends")
    told = status(machine)
    assert (told["state"], told["generation"]) == ("valid", 2)
    assert len({one["pid"] for one in told["processes"]}) == 2
    assert {one["host"] for one in told["processes"]} == {socket.gethostname()}
    assert "(number 1)" in said(machine, "--offline")


def test_offline_asks_nobody(new_machine, start_server):
    server, machine = start_server(), new_machine()
    machine.login(server)
    server.stop()
    told = status(machine, "--offline")
    assert (told["state"], told["reachable"], told["processes"]) == ("valid", None, [])


def test_nobody_ever_signed_in(new_machine):
    machine = new_machine()
    told = status(machine, code=4)
    assert (told["state"], told["last_failure"]["cause"]) == ("no-session", "never signed in here")
    assert "relayfile login" in said(machine, code=4)


def test_somebody_signed_out(machine):
    machine.run("logout")
    told = status(machine, code=4)
    assert (told["state"], told["last_failure"]["cause"]) == ("logged-out", "signed out here")
    assert datetime.fromisoformat(told["last_failure"]["at"]) <= datetime.now(UTC)


def test_a_revoked_sign_in_names_whose_hand_it_was(new_machine, server):
    machine, other = new_machine(), new_machine()
    machine.login(server)
    other.login(server)
    family = json.loads(machine.credentials.read_text())["family"]
    other.run("auth", "revoke", family)
    cause = status(machine, code=4)["last_failure"]["cause"]
    assert cause == f"revoked by owner from {socket.gethostname()}"
    text = said(machine, code=4)
    assert "auth-failed: needs re-login" in text
    assert f"next: run `relayfile login {server.url}`" in text


def test_a_token_used_twice_is_reuse_detected(new_machine, start_server):
    server = start_server(refresh_overlap="0s")
    machine = new_machine()
    machine.login(server)
    thief = Person(server)
    stolen = presenting(machine)
    thief.renew(thief.renew(stolen).json["refresh_token"])
    held = json.loads(machine.credentials.read_text())
    thief.renew(stolen)
    assert held["refreshToken"] == stolen
    cause = status(machine, code=4)["last_failure"]["cause"]
    assert cause.startswith("reuse detected")
    thief.http.close()


def test_a_sign_in_nobody_used_for_too_long_has_expired(new_machine, start_server):
    server = start_server(access_ttl="300ms", refresh_overlap="0s", options=("--refresh-ttl", "800ms"))
    machine = new_machine()
    machine.login(server)
    until(
        lambda: (
            datetime.fromisoformat(machine.try_("auth", "status", "--offline", "--json").json["rt_expires_at"])
            < datetime.now(UTC)
        ),
        within_s=5,
        what="the refresh token ends",
    )
    assert status(machine, code=4)["last_failure"]["cause"].startswith("expired")


def test_a_server_that_is_down_is_unreachable_and_the_sign_in_is_not_blamed(new_machine, start_server):
    server, machine = start_server(), new_machine()
    machine.login(server)
    server.stop()
    told = status(machine, code=75)
    assert (told["state"], told["reachable"], told["unreachable_kind"]) == ("valid", False, "unreachable")
    assert "server unreachable" in said(machine, code=75)
    server.start()
    assert status(machine)["reachable"] is True


def test_a_name_that_does_not_resolve_is_dns(machine):
    elsewhere(machine, "http://no-such-host.invalid")
    told = status(machine, code=75)
    assert told["unreachable_kind"] == "dns"
    assert told["last_failure"]["cause"].startswith("DNS: the name of the server cannot be resolved")


def test_something_else_at_the_address_is_a_wrong_service(machine, foreign_page):
    elsewhere(machine, foreign_page)
    told = status(machine, code=76)
    assert told["unreachable_kind"] == "wrong_service"
    assert "not relayfile" in said(machine, code=76)
    assert foreign_page in machine.run("whoami", exit_code=76).err


def test_the_cause_of_a_failed_renewal_outlives_the_command_that_met_it(new_machine, start_server):
    server = start_server(access_ttl="1s", refresh_overlap="0s")
    machine = new_machine()
    machine.login(server)
    until(lambda: "has ended" in said(machine, "--offline"), within_s=5, what="the access token ends")
    server.stop()
    assert machine.try_("whoami").code == 75
    failure = status(machine, "--offline")["last_failure"]
    assert failure["cause"].startswith("server unreachable")
    assert failure["mended"] is False
    server.start()
    status(machine)
    assert status(machine, "--offline")["last_failure"]["mended"] is True
    assert "(renewed since)" in said(machine)


def test_a_damaged_file_is_put_back_from_its_history_and_without_one_a_sign_in_is_asked_for(machine, server):
    held = json.loads(machine.credentials.read_text())
    machine.credentials.write_text("no json")
    told = status(machine, "--offline", code=78)
    assert (told["state"], told["server"], told["hint"]) == (
        "config-error",
        server.url,
        f"run `relayfile login {server.url}`",
    )
    assert status(machine)["state"] == "valid"
    assert presenting(machine) == held["refreshToken"]
    machine.credentials.write_text("no json")
    machine.credentials.with_suffix(".history").unlink()
    told = status(machine, code=78)
    assert (told["state"], told["hint"]) == ("config-error", "run `relayfile login URL`")


def test_a_revocation_is_told_at_once_also_after_a_renewal_that_a_401_caused(machine, server, new_machine):
    other = new_machine()
    other.login(server)
    held = json.loads(machine.credentials.read_text())
    v1 = {name: held[name] for name in ("apiUrl", "accessToken", "accessTokenExpiresAt", "updatedAt")}
    machine.credentials.write_text(json.dumps({**v1, "refreshToken": held["refreshToken"], "accessToken": "bogus"}))
    machine.run("whoami")
    other.run("auth", "revoke", held["family"])
    told = status(machine, code=4)
    assert (told["state"], told["reason"]) == ("auth-failed", "revoked")
    assert [one["event"] for one in server.audit() if one["family"] == held["family"]].count("rejected") == 1


def test_a_sign_in_whose_end_has_come_is_not_called_signed_in_also_when_nobody_is_asked(new_machine, start_server):
    server = start_server(access_ttl="300ms", refresh_overlap="0s", options=("--refresh-ttl", "800ms"))
    machine = new_machine()
    machine.login(server)
    until(lambda: machine.try_("auth", "status", "--offline").code == 4, within_s=10, what="the refresh token ends")
    told = status(machine, "--offline", code=4)
    assert told["ran_out"] is True
    text = said(machine, "--offline", code=4)
    assert "ran out: needs re-login" in text
    assert "renews" not in text
    assert f"next: run `relayfile login {server.url}`" in text


def test_an_end_that_no_renewal_moves_is_said(new_machine, start_server):
    near = start_server(options=("--absolute-ttl", "1h"))
    machine = new_machine()
    machine.login(near)
    assert "at the latest" in said(machine)
    assert "later with each renewal" not in said(machine)
    far = new_machine()
    far.login(start_server())
    assert re.search(r"until \S+ \S+, later with each renewal, \S+ \S+ at the latest", said(far))
    assert status(far)["ends_at"] > status(far)["rt_expires_at"]


def test_which_of_several_sign_ins_is_meant_is_asked_by_every_command(new_machine, server):
    machine = new_machine()
    for name in ("one", "two"):
        machine.login(server, "--profile", name)
    for words in (("whoami",), ("auth", "status"), ("logout",), ("login",)):
        ran = machine.run(*words, exit_code=4)
        assert "which sign-in?" in ran.err
        assert "--profile one" in ran.err
    machine.run("logout", "--profile", "one")
    assert status(machine)["profile"] == "two"


def test_other_profiles_are_named(machine, server):
    machine.run(
        "login", server.url, "--username", "owner", "--password-stdin", "--profile", "work", stdin=PASSWORD + "\n"
    )
    assert status(machine)["other_profiles"] == ["work"]
    told = status(machine, "--profile", "work")
    assert (told["profile"], told["other_profiles"]) == ("work", ["default"])


def test_of_a_machine_token_it_tells_what_it_may_and_why_it_is_refused(machine, place):
    file = Path(place / "token")
    machine.run("token", "create", "--name", "ci", "--scope", "fs:read:/docs", "--save", file)
    told = status(machine, "--token-file", file)
    assert (told["state"], told["token"], told["scope"]) == ("valid", "ci", "relayfile:fs:read:/docs/**")
    machine.run("token", "revoke", "ci")
    told = status(machine, "--token-file", file, code=4)
    assert (told["state"], told["code"]) == ("refused", "token_revoked")
    assert "revoked by owner" in said(machine, "--token-file", file, code=4)


def test_a_machine_token_is_not_used_offline_and_not_called_refused_where_nobody_answers(
    new_machine, start_server, place, foreign_page
):
    server, machine, file = start_server(), new_machine(), Path(place / "token")
    machine.login(server)
    machine.run("token", "create", "--name", "ci", "--scope", "fs:read:/docs", "--save", file)
    server.stop()
    assert status(machine, "--token-file", file, "--offline")["state"] == "not-asked"
    assert status(machine, "--token-file", file, code=75)["state"] == "unreachable"
    file.write_text(f"{file.read_text().splitlines()[0]}\n{foreign_page}\n")
    assert status(machine, "--token-file", file, code=76)["state"] == "unreachable"


@pytest.mark.parametrize("words", [("auth", "status", "--offline"), ("auth", "status", "--offline", "--json")])
def test_it_says_nothing_secret(machine, words):
    held = json.loads(machine.credentials.read_text())
    ran = machine.run(*words)
    for secret in (held["refreshToken"], held["accessToken"]):
        assert secret not in ran.out + ran.err
