"""Signing in as a person and as a script: the right address, wrong ones, and files that are not what they were."""

import contextlib
import fcntl
import json
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from servers import OWNER, PASSWORD


@pytest.fixture
def proxy_page():
    """A server that is not relayfile: it answers everything with a page of HTML."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<html><body>Please accept the terms of this hotel.</body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815 - the names http.server calls

        def log_message(self, *args):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_a_script_signs_in_and_whoami_says_who_and_where(machine, server):
    who = machine.run("whoami", "--json").json
    assert OWNER in json.dumps(who)
    assert server.url in machine.run("whoami").out
    held = json.loads(machine.credentials.read_text())
    assert {"apiUrl", "accessToken", "refreshToken", "accessTokenExpiresAt", "refreshTokenExpiresAt"} <= held.keys()
    assert machine.credentials.stat().st_mode & 0o777 == 0o600
    assert machine.home.stat().st_mode & 0o777 == 0o700


def test_a_wrong_password_says_so_and_leaves_no_file(new_machine, server):
    machine = new_machine()
    ran = machine.try_("login", server.url, "--username", OWNER, "--password-stdin", stdin="wrong\n")
    assert ran.code == 4, ran
    assert not machine.credentials.exists()
    assert "wrong\n" not in ran.err


def test_a_wrong_address_is_told_apart_from_a_server_that_is_not_relayfile(new_machine, proxy_page):
    machine = new_machine()
    nobody = machine.try_("login", "http://127.0.0.1:9", "--username", "u", "--password-stdin", stdin="p\n")
    assert nobody.code == 75, nobody
    html = machine.try_("login", proxy_page, "--username", "u", "--password-stdin", stdin="p\n")
    assert html.code == 76, html
    assert "relayfile" in html.err
    nonsense = machine.try_("login", "not an address", "--username", "u", "--password-stdin", stdin="p\n")
    assert nonsense.code == 2, nonsense
    assert not machine.credentials.exists()


def test_a_proxy_that_answers_html_never_ends_a_sign_in(machine, proxy_page):
    held = json.loads(machine.credentials.read_text())
    machine.credentials.write_text(json.dumps({**held, "apiUrl": proxy_page}))
    ran = machine.try_("tree", "w", "/")
    assert ran.code in {75, 76}, ran
    assert json.loads(machine.credentials.read_text())["refreshToken"] == held["refreshToken"]


def test_signing_in_to_another_server_does_not_replace_a_login_unasked(machine, start_server):
    other = start_server()
    ran = machine.try_("login", other.url, "--username", OWNER, "--password-stdin", stdin=PASSWORD + "\n")
    assert ran.code == 2, ran
    assert "--profile" in ran.err
    assert "--replace" in ran.err
    machine.login(other, "--profile", "second")
    assert machine.run("workspace", "list", "--json", "--profile", "second").json == []


def test_logout_ends_the_sign_in_on_the_server_and_keeps_other_fields_nowhere(machine, server):
    old = json.loads(machine.credentials.read_text())
    machine.run("logout")
    ran = machine.try_("whoami")
    assert ran.code == 4
    assert "relayfile login" in ran.err
    http = server.observer()
    http.credentials = None
    http.token = old["accessToken"]
    assert http.ask("GET", "/api/v1/auth/whoami").status == 401
    machine.login(server)
    machine.run("whoami")


def test_a_person_sees_the_sign_ins_ends_one_and_reads_what_happened(machine, server, new_machine):
    other = new_machine()
    other.login(server)
    mine, theirs = (json.loads(one.credentials.read_text())["family"] for one in (machine, other))
    sessions = {one["id"]: one for one in machine.run("auth", "sessions", "--json").json}
    assert {mine, theirs} <= sessions.keys()
    assert sessions[mine]["current"] is True
    assert sessions[theirs]["current"] is False
    machine.run("auth", "revoke", theirs)
    assert other.try_("whoami").code == 4
    rows = [json.loads(line) for line in machine.run("auth", "log", "--json").out.splitlines()]
    events = [row["event"] for row in rows if row["family"] == theirs]
    assert events == ["issued", "revoked", "rejected"], "it was presented once more, and refused"
    assert other.try_("whoami").code == 4
    assert [row["event"] for row in server.audit() if row["family"] == theirs] == events, "and never again"


def begun(server) -> int:
    """How many sign-ins commands have begun."""
    return sum(one["event"] == "issued" and one["client"].endswith(" cli") for one in server.audit())


DAMAGED = pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b'{"apiUrl": "htt', "it is not JSON"),
        (b"not json", "it is not JSON"),
        (b"[]", "it is JSON, but no object"),
        (b"\xff\xfe\x00", "it is not JSON"),
    ],
    ids=["empty", "truncated", "text", "list", "bytes"],
)


@DAMAGED
def test_a_command_puts_a_damaged_credential_file_back_from_its_history(machine, server, content, what):
    held = json.loads(machine.credentials.read_text())
    machine.credentials.write_bytes(content)
    before = len(server.audit())
    ran = machine.run("whoami")
    assert "the newest login was put back" in ran.err
    assert json.loads(machine.credentials.read_text()) == held
    assert not [event for event in server.audit()[before:] if event["event"] == "rejected"]


@DAMAGED
def test_a_damaged_file_without_a_history_asks_for_a_sign_in_which_mends_it(machine, server, content, what):
    machine.credentials.write_bytes(content)
    machine.credentials.with_suffix(".history").unlink()
    for words in (("whoami",), ("tree", "acme", "/")):
        ran = machine.run(*words, exit_code=78)
        assert what in ran.err
        assert "next: run `relayfile login URL`" in ran.err
    machine.login(server)
    machine.run("whoami")


def test_a_credential_file_of_a_newer_relayfile_asks_for_an_upgrade_and_is_left_alone(machine, server):
    newer = b'{"schemaVersion": 99, "accessToken": "a", "refreshToken": "r", "apiUrl": "http://h"}'
    machine.credentials.write_bytes(newer)
    for words in (("whoami",), ("tree", "acme", "/"), ("auth", "status")):
        ran = machine.run(*words, exit_code=78)
        assert "next: upgrade relayfile" in ran.err + ran.out
    before = begun(server)
    ran = machine.try_("login", server.url, "--username", OWNER, "--password-stdin", stdin=PASSWORD + "\n")
    assert ran.code == 78, ran
    assert "upgrade relayfile" in ran.err
    assert begun(server) == before, "nobody was signed in for nothing"
    assert machine.credentials.read_bytes() == newer


def test_a_login_without_an_address_knows_that_of_a_damaged_file(machine, server):
    machine.credentials.write_bytes(b"torn")
    ran = machine.run("login", "--username", OWNER, "--password-stdin", stdin=PASSWORD + "\n")
    assert f"already signed in at {server.url} as {OWNER}" in ran.err


def test_a_logout_over_a_damaged_file_names_the_server_whose_sign_in_it_ends(machine, server):
    family = json.loads(machine.credentials.read_text())["family"]
    machine.credentials.write_bytes(b"torn")
    told = machine.run("logout", "--json").json
    assert (told["server"], told["server_told"]) == (server.url, True)
    assert [one["event"] for one in server.audit() if one["family"] == family][-1] == "revoked"


def test_the_same_password_sign_in_twice_keeps_the_first(machine, server):
    kept = machine.credentials.read_bytes()
    ran = machine.login(server, "--json")
    assert ran.json["already"] is True
    assert "already signed in" in ran.err
    assert machine.credentials.read_bytes() == kept
    assert machine.login(server, "--json", "--replace").json["already"] is False
    assert machine.credentials.read_bytes() != kept


def test_a_sign_in_behind_a_renewal_that_hangs_says_whom_it_waits_for(machine, server):
    held = json.loads(machine.credentials.read_text())
    v1 = {name: held[name] for name in ("apiUrl", "accessToken", "refreshToken")}
    machine.credentials.write_text(json.dumps({**v1, "accessTokenExpiresAt": "2020-01-01T00:00:00Z"}))
    lock = machine.credentials.with_suffix(".lock")
    with (
        lock.open("r+b") as holding,
        subprocess.Popen(
            machine.command("login", server.url, "--username", OWNER, "--password-stdin"),
            env=machine.environment(),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as waiting,
    ):
        fcntl.flock(holding, fcntl.LOCK_EX)
        waiting.stdin.write(PASSWORD + "\n")
        waiting.stdin.close()
        assert waiting.stderr.readline().startswith("waiting for process ")
        fcntl.flock(holding, fcntl.LOCK_UN)
        assert f"already signed in at {server.url}" in waiting.stderr.read()
        assert waiting.wait() == 0


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_home_that_others_may_enter_is_closed_with_a_notice(machine, mode):
    machine.home.chmod(mode)
    assert "its mode is 0700 now" in machine.run("whoami").err
    assert machine.home.stat().st_mode & 0o777 == 0o700
    assert not machine.run("whoami").err, "one notice, not one each time"


def test_a_home_that_is_a_file_is_said_to_be_one(new_machine, server):
    machine = new_machine()
    machine.home.write_text("no folder")
    ran = machine.try_("login", server.url, "--username", OWNER, "--password-stdin", stdin=PASSWORD + "\n")
    assert ran.code == 78, ran
    assert "Not a directory" in ran.err
    assert "renew" not in ran.err
    assert not begun(server)


def test_an_address_that_is_no_place_for_a_name_or_that_answers_nonsense_is_said_as_such(new_machine, server):
    machine = new_machine()
    named = machine.run("login", server.url.replace("://", "://ada:secret@"), exit_code=2)
    assert "holds no name and no password" in named.err
    assert f"relayfile login {server.url}" in named.err
    assert "secret" not in named.err
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = f"127.0.0.1:{listening.getsockname()[1]}"

        def nonsense():
            with contextlib.suppress(OSError):  # it is shut down when nobody asks any more
                while True:
                    answered, _ = listening.accept()
                    with answered:
                        answered.recv(65536)
                        answered.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=nonsense)
        thread.start()
        try:
            assert place in machine.run("login", f"http://{place}", exit_code=75).err
            assert f"try http://{place}" in machine.run("login", f"https://{place}", exit_code=75).err
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_status_check_without_a_mirror_tells_of_the_sign_in(machine):
    machine.run("status", "--check")
    machine.run("logout")
    machine.run("status", "--check", exit_code=4)


def test_what_a_signed_out_mirror_is_told_to_do_names_its_server(machine, server, place):
    machine.expected.append("signed out")
    machine.run("workspace", "create", "acme")
    machine.run("mount", "acme", place / "root", "--shared-login")
    machine.run("logout")
    told = machine.until_mirror(
        place / "root", lambda one: one["state"] == "auth-failed", within_s=15, what="it says auth-failed"
    )
    assert told["login"]["hint"] == f"run `relayfile login {server.url}`"
    machine.run("stop", place / "root")
    assert machine.mirror(place / "root")["login"]["hint"] == f"run `relayfile login {server.url}`"
    assert f"run `relayfile login {server.url}`" in machine.run("mount", place / "root", exit_code=4).err


def test_a_world_readable_credential_file_is_mended_with_a_notice(machine):
    machine.credentials.chmod(0o644)
    ran = machine.run("whoami")
    assert "0600" in ran.err or "readable" in ran.err, ran
    assert machine.credentials.stat().st_mode & 0o777 == 0o600
    assert not machine.run("whoami").err, "one notice, not one each time"


def test_a_credential_file_that_is_a_link_stays_a_link(machine, server, place):
    elsewhere = place / "elsewhere.json"
    machine.credentials.rename(elsewhere)
    machine.credentials.symlink_to(elsewhere)
    machine.login(server, "--replace")
    machine.run("whoami")
    assert machine.credentials.is_symlink()
    assert json.loads(elsewhere.read_text())["refreshToken"]


def test_fields_of_others_in_the_credential_file_are_kept(machine, server):
    held = json.loads(machine.credentials.read_text())
    machine.credentials.write_text(json.dumps({**held, "theirField": {"a": 1}}))
    machine.login(server, "--replace")
    assert json.loads(machine.credentials.read_text())["theirField"] == {"a": 1}
