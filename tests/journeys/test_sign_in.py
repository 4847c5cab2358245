"""Signing in as a person and as a script: the right address, wrong ones, and files that are not what they were."""

import json
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


@pytest.mark.parametrize(
    "content",
    [b"", b'{"apiUrl": "htt', b"not json", b"[]", b'{"version": 99, "schema": 99}', b"\xff\xfe\x00"],
    ids=["empty", "truncated", "text", "list", "newer", "bytes"],
)
def test_a_credential_file_that_is_no_longer_one_is_named_and_never_presented(machine, server, content):
    machine.credentials.write_bytes(content)
    before = len(server.audit())
    ran = machine.try_("whoami")
    assert ran.code in {0, 4, 70, 76, 78}, ran
    if ran.code:
        assert "cloud-credentials" in ran.err or "relayfile login" in ran.err, ran
        assert "Traceback" not in ran.err
    assert not [event for event in server.audit()[before:] if event["event"] == "rejected"]
    machine.login(server, *(["--replace"] if machine.try_("whoami").code else []))
    machine.run("whoami")


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
    machine.login(server)
    machine.run("whoami")
    assert machine.credentials.is_symlink()
    assert json.loads(elsewhere.read_text())["refreshToken"]


def test_fields_of_others_in_the_credential_file_are_kept(machine, server):
    held = json.loads(machine.credentials.read_text())
    machine.credentials.write_text(json.dumps({**held, "theirField": {"a": 1}}))
    machine.login(server)
    assert json.loads(machine.credentials.read_text())["theirField"] == {"a": 1}
