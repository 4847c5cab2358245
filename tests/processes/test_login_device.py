"""`relayfile login URL` as a person meets it: a code in the terminal, a page in the browser, then a login."""

import contextlib
import re
import subprocess

from plain_http import PlainHttp
from servers import OWNER, PASSWORD, clean_environment


def begin(machine, server, *options):
    """The command, waiting; and the page address and the code that it showed."""
    process = subprocess.Popen(
        machine.command("login", server.url, "--no-browser", *options),
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
    return process, re.search(r"Open +http://[^/]+(/\S+)", shown)[1], re.search(r"code +([\w-]+)", shown)[1]


def answer(server, target, code, verdict):
    """A person opens the page and answers it."""
    with contextlib.closing(PlainHttp(server.url)) as http:
        page = http.ask("GET", target)
        cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
        mark = re.search(r'name="mark" value="([\w-]+)"', page.body.decode())[1]
        form = {"mark": mark, "user_code": code, "username": OWNER, "password": PASSWORD, "answer": verdict}
        assert http.ask("POST", "/device", form=form, headers=cookie).status == 200


def test_a_person_approves_in_a_browser_and_the_command_is_signed_in(new_machine, server):
    machine = new_machine()
    process, target, code = begin(machine, server, "--json")
    answer(server, target, code, "approve")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert f'"server": "{server.url}"' in out
    assert machine.run("whoami", "--json").json["username"] == OWNER


def test_a_person_who_says_no_is_obeyed(new_machine, server):
    machine = new_machine()
    process, target, code = begin(machine, server, "--quiet")
    answer(server, target, code, "deny")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 4, err
    assert not machine.credentials.exists()
    assert not out


def test_a_sign_in_that_is_still_good_is_named_and_kept_unless_asked_otherwise(machine, server):
    kept = machine.credentials.read_bytes()
    told = machine.run("login", server.url)
    assert f"already signed in at {server.url} as {OWNER}" in told.err
    assert machine.credentials.read_bytes() == kept
    process, target, code = begin(machine, server, "--replace")
    answer(server, target, code, "approve")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert machine.credentials.read_bytes() != kept
