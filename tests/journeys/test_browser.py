"""Signing in as a person does: a command, a link, a page in a real browser, an answer."""

import contextlib
import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from browsers import chromium
from people import Person
from relayfile.server.store.database import connect
from servers import OWNER, PASSWORD, clean_environment
from waiting import until

HERE = re.compile(r"http://(127\.0\.0\.1|localhost):\d+/")
PICTURES = os.environ.get("RELAYFILE_TEST_PICTURES")
"""A folder for pictures of the pages, for whoever wants to look at them."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture
def page(browser):
    """A page on which nothing goes wrong: no script error, no refused resource, no request to elsewhere."""
    context = browser.new_context(viewport={"width": 900, "height": 900})
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None)
    made.on("request", lambda request: wrong.append(request.url) if not HERE.match(request.url) else None)
    yield made
    context.close()
    assert not wrong


def picture(page, name):
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES, f"{name}.png")), full_page=True)


@pytest.fixture
def waiting(new_machine, server):
    """`relayfile login URL`, waiting for a person; the link it printed, and the code."""
    machine = new_machine()
    process = subprocess.Popen(
        machine.command("login", server.url),
        env=clean_environment(machine.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shown = ""
    while "Ctrl-C" not in shown:
        line = process.stderr.readline()
        assert line, f"it ended: {shown}"
        shown += line
    yield machine, process, re.search(r"Open +(\S+)", shown)[1], re.search(r"code +([\w-]+)", shown)[1]
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.communicate()


def sign_in(page, password=PASSWORD):
    page.get_by_label("User name").fill(OWNER)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Approve").click()


def test_a_person_opens_the_link_approves_and_the_command_is_signed_in(page, waiting, server):
    machine, process, link, code = waiting
    page.goto(link)
    assert page.get_by_label("code", exact=True).inner_text() == code
    assert "read files in your workspaces" in page.content()
    picture(page, "approve")
    sign_in(page, "not my password")
    assert page.get_by_role("alert").inner_text() == "Wrong user name or password."
    assert page.get_by_label("User name").input_value() == OWNER
    assert page.get_by_label("Password").input_value() == "", "never sent back"
    picture(page, "wrong-password")
    sign_in(page)
    assert page.get_by_role("heading").inner_text() == "Approved"
    picture(page, "approved")
    assert process.wait(30) == 0, process.stderr.read()
    assert machine.run("whoami", "--json").json["username"] == OWNER
    page.goto(link)
    assert "No sign-in waits under this code" in page.get_by_role("alert").inner_text(), "a code is good once"


def test_a_person_types_the_code_and_says_no(page, waiting, server):
    machine, process, _, code = waiting
    page.goto(server.url + "/device")
    picture(page, "code")
    page.get_by_label("Code").fill(code.lower().replace("-", " "))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Deny").click()
    assert page.get_by_role("heading").inner_text() == "Denied"
    picture(page, "denied")
    assert process.wait(30) == 4
    assert "said no" in process.stderr.read()
    assert not machine.credentials.exists()


def test_a_code_whose_time_is_over_is_told_to_the_person_and_to_the_command(page, waiting, server):
    machine, process, link, _ = waiting
    page.goto(link)
    with contextlib.closing(connect(next(server.data.glob("*.db")))) as connection, connection:
        connection.execute("UPDATE device_code SET expires_at = 1")
    sign_in(page)
    assert "No sign-in waits under this code" in page.get_by_role("alert").inner_text()
    picture(page, "expired")
    assert process.wait(30) == 4
    assert "expired" in process.stderr.read()
    assert not machine.credentials.exists()


@pytest.mark.parametrize("mark", ["", "x" * 43], ids=["none", "wrong"])
def test_a_form_that_this_browser_was_not_given_approves_nothing(page, waiting, mark):
    machine, process, link, _ = waiting
    page.goto(link)
    page.locator("input[name=mark]").evaluate("(field, value) => { field.value = value }", mark)
    sign_in(page)
    assert "did not come from this server's own page" in page.get_by_role("alert").inner_text()
    picture(page, "foreign")
    assert process.poll() is None
    assert not machine.credentials.exists()
    sign_in(page)  # the page that came back is good
    assert page.get_by_role("heading").inner_text() == "Approved"
    assert process.wait(30) == 0


def test_a_form_sent_a_second_time_and_one_from_another_browser_approve_nothing(browser, page, waiting, server):
    _, process, link, code = waiting
    page.goto(link)
    mark = page.locator("input[name=mark]").input_value()
    with browser.new_context() as other:
        stranger = other.new_page()
        stranger.goto(link)
        stranger.locator("input[name=mark]").evaluate("(field, value) => { field.value = value }", mark)
        sign_in(stranger)
        assert "did not come from" in stranger.get_by_role("alert").inner_text()
    sign_in(page)
    assert process.wait(30) == 0
    families = len(sessions_of(server))
    form = {"mark": mark, "user_code": code, "username": OWNER, "password": PASSWORD, "answer": "approve"}
    again = page.request.post(server.url + "/device", form=form)
    assert again.status == 404
    assert len(sessions_of(server)) == families + 1, "only the one that looked"


def sessions_of(server):
    person = Person(server)
    person.sign_in()
    try:
        return person.sessions()
    finally:
        person.http.close()


class Returned(BaseHTTPRequestHandler):
    """The program on the person's machine that waits for its tokens, as v1's does."""

    def do_GET(self):
        self.server.told.append(parse_qs(urlsplit(self.path).query))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *args):
        pass


@pytest.fixture
def program():
    listening = HTTPServer(("127.0.0.1", 0), Returned)
    listening.told = []
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    yield listening
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_a_program_of_the_older_protocol_gets_its_tokens_by_its_loopback_address(page, server, program):
    back = f"http://127.0.0.1:{program.server_port}/callback"
    page.goto(f"{server.url}/api/v1/cli/login?redirect_uri={back}&state=mine")
    picture(page, "loopback")
    page.get_by_label("User name").fill(OWNER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    until(lambda: program.told, within_s=10, what="the program hears")
    [told] = [one for one in program.told if one]
    assert told["state"] == ["mine"]
    person = Person(server)
    assert person.whoami(told["access_token"][0]).status == 200
    person.http.close()


def test_a_person_cancels_at_the_page_of_the_older_protocol(page, server, program):
    back = f"http://localhost:{program.server_port}/callback"
    page.goto(f"{server.url}/api/v1/cli/login?redirect_uri={back}&state=mine")
    with contextlib.suppress(Exception):  # the name may not resolve to where the program listens
        page.get_by_role("button", name="Cancel").click()
    until(lambda: program.told, within_s=10, what="the program hears")
    assert json.dumps(program.told[0], sort_keys=True) == '{"error": ["access_denied"], "state": ["mine"]}'


def test_the_page_fits_a_phone_and_the_dark(browser, waiting):
    _, _, link, _ = waiting
    with browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark") as context:
        page = context.new_page()
        page.goto(link)
        picture(page, "phone-dark")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, "nothing to scroll sideways"
