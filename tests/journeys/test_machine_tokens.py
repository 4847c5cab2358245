"""Machine tokens as CI uses them: commands as real processes that know a token and no person."""

import json
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from machines import Machine, Ran
from servers import OWNER, PASSWORD, Server, clean_environment


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A short-named folder for what the tests of this file share."""
    with tempfile.TemporaryDirectory(prefix="rf-") as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="module")
def server(home) -> Iterator[Server]:
    """One server for all tests of this file: none of them disturbs it."""
    shared = Server(home / "server").start()
    yield shared
    shared.stop()
    assert not shared.warnings()


@pytest.fixture(scope="module")
def machine(home, server) -> Machine:
    """A person's machine, signed in."""
    signed_in = Machine(home / "person")
    signed_in.login(server)
    return signed_in


@pytest.fixture(scope="module")
def workspace(machine) -> str:
    machine.run("workspace", "create", "acme")
    machine.run("write", "acme", "/docs/a.md", stdin="a\n")
    machine.run("write", "acme", "/other/b.md", stdin="b\n")
    return "acme"


@pytest.fixture
def ci(place, server):
    """Runs a command on a machine where nobody ever signed in; `variables` are what CI sets."""
    folder = place / "ci"
    folder.mkdir()

    def run(*args, stdin="", **variables) -> Ran:
        words = [str(arg) for arg in args]
        done = subprocess.run(
            [sys.executable, "-m", "relayfile", *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=clean_environment(folder, **variables),
            cwd=folder,
            timeout=60,
            check=False,
        )
        return Ran(tuple(words), done.returncode, done.stdout, done.stderr)

    return run


def names_of(machine) -> set[str]:
    """Of the living tokens."""
    return {row["name"] for row in machine.run("token", "list", "--json").json}


def token_of(machine, *scopes, name, **options) -> str:
    """A fresh token."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    words += [word for option, value in options.items() for word in (f"--{option}", value)]
    return machine.run("token", "create", "--name", name, *words).out.strip()


def test_a_token_in_the_environment_does_the_work_of_a_sign_in(machine, server, workspace, ci, place):
    token = token_of(machine, "fs:read", "fs:write:/docs", name="worker")
    variables = {"RELAYFILE_TOKEN": token, "RELAYFILE_SERVER": server.url}
    assert ci("tree", workspace, **variables).out.split() == ["/docs/", "/docs/a.md", "/other/", "/other/b.md"]
    assert ci("read", workspace, "/docs/a.md", **variables).out == "a\n"
    assert ci("write", workspace, "/docs/c.md", stdin="c\n", **variables).code == 0
    source = place / "source" / "docs"
    source.mkdir(parents=True)
    (source / "d.md").write_text("d\n")
    assert ci("seed", workspace, source.parent, **variables).code == 0
    assert ci("rm", workspace, "/docs/c.md", **variables).code == 0
    assert machine.run("read", workspace, "/docs/d.md").out == "d\n"
    machine.run("rm", workspace, "/docs/d.md")
    assert ci("workspace", "use", workspace, **variables).code == 0
    assert ci("read", "/docs/a.md", **variables).out == "a\n"
    who = ci("whoami", **variables)
    assert "machine token 'worker' of owner" in who.out
    assert token not in who.out + who.err
    refused = ci("write", workspace, "/other/x.md", stdin="x", **variables)
    assert refused.code == 77, refused
    assert "fs:write" in refused.err


def test_a_saved_token_names_its_server_and_only_its_owner_can_read_it(machine, workspace, ci, place):
    file = place / "agent.token"
    ran = machine.run("token", "create", "--name", "agent", "--scope", "fs:read:/docs", "--save", file, "--json")
    assert "cld_mt_" not in ran.out + ran.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ci("tree", workspace, "--token-file", file).out.split() == ["/docs/", "/docs/a.md"]
    assert ci("--token-file", file, "read", workspace, "/docs/a.md").out == "a\n"
    assert ci("read", workspace, "/docs/a.md", RELAYFILE_TOKEN_FILE=str(file)).out == "a\n"
    assert ci("read", workspace, "/other/b.md", "--token-file", file).code in {1, 77}
    elsewhere = ci("tree", workspace, "--token-file", file, RELAYFILE_SERVER="http://127.0.0.1:9")
    assert elsewhere.code == 2, elsewhere
    assert "holds a token for" in elsewhere.err
    file.chmod(0o644)
    assert "can be read by others" in ci("tree", workspace, "--token-file", file).err


def test_a_file_that_is_there_is_never_overwritten_and_its_token_does_not_stay_alive(machine, place):
    file = place / "taken"
    file.write_text("mine\n")
    ran = machine.try_("token", "create", "--name", "lost", "--scope", "fs:read", "--save", file)
    assert ran.code == 2, ran
    assert file.read_text() == "mine\n"
    assert "lost" not in names_of(machine)


def test_a_revoked_token_is_refused_with_by_whom_and_what_to_do(machine, server, workspace, ci):
    token = token_of(machine, "fs:read", name="doomed")
    variables = {"RELAYFILE_TOKEN": token, "RELAYFILE_SERVER": server.url}
    assert ci("tree", workspace, **variables).code == 0
    machine.run("token", "revoke", "doomed")
    ran = ci("tree", workspace, **variables)
    assert ran.code == 4, ran
    assert "'doomed' was revoked by owner from" in ran.err
    assert "RELAYFILE_TOKEN" in ran.err
    assert token not in ran.err
    told = json.loads(ci("tree", workspace, "--json", **variables).err)["error"]
    assert told["code"] == "token_revoked"
    assert machine.try_("token", "revoke", "doomed").code == 1


def test_an_expired_token_is_refused_with_when_it_ended(machine, server, workspace, ci):
    token = token_of(machine, "fs:read", name="brief", ttl="1ms")
    ran = ci("tree", workspace, RELAYFILE_TOKEN=token, RELAYFILE_SERVER=server.url)
    assert ran.code == 4, ran
    assert "'brief' expired at 20" in ran.err


def test_tokens_are_listed_with_their_uses_and_their_end(machine, server, workspace, ci):
    token = token_of(machine, "fs:read:/docs", name="nightly", workspace=workspace)
    [row] = [line for line in machine.run("token", "list").out.splitlines() if line.startswith("nightly")]
    assert "never" in row
    ci("tree", workspace, RELAYFILE_TOKEN=token, RELAYFILE_SERVER=server.url)
    [row] = [line for line in machine.run("token", "list").out.splitlines() if line.startswith("nightly")]
    assert all(word in row for word in ("mt_", "fs:read:/docs", "rw_"))
    assert "never" not in row
    machine.run("token", "revoke", "nightly")
    assert "nightly" not in machine.run("token", "list").out
    assert "revoked" in machine.run("token", "list", "--all").out


def test_a_token_stands_before_the_sign_in_and_a_named_profile_before_the_token(machine, workspace, place):
    file = place / "token"
    machine.run("token", "create", "--name", "narrow", "--scope", "fs:read:/docs", "--save", file)
    assert "machine token" in machine.run("whoami", "--token-file", file).out
    assert "machine token" not in machine.run("whoami", "--profile", "default").out
    assert machine.try_("whoami", "--profile", "default", "--token-file", file).code == 2
    refused = machine.try_("token", "list", "--token-file", file)
    assert refused.code == 77, refused
    assert "--profile default" in refused.err


@pytest.mark.parametrize("content", ["", "\n\n", "two words\n", "a\nb\nc\n", "é\n"])
def test_a_file_without_a_token_is_named_and_nothing_is_sent(ci, place, content):
    file = place / "token"
    file.write_text(content)
    ran = ci("tree", "acme", "--token-file", file)
    assert ran.code == 78, ran
    assert str(file) in ran.err


@pytest.mark.parametrize("path", ["nothing-here", "."])
def test_a_file_that_is_not_there_is_named(ci, path):
    assert ci("tree", "acme", "--token-file", path).code == 78


def test_who_signs_in_beside_a_token_is_told_which_of_the_two_is_used(ci, server):
    words = ("login", server.url, "--username", OWNER, "--password-stdin")
    said = ci(*words, stdin=PASSWORD + "\n", RELAYFILE_TOKEN="cld_mt_x")
    assert said.code == 0, said
    assert "commands use the machine token of RELAYFILE_TOKEN and not this sign-in" in said.err
    assert "machine token" not in ci(*words, stdin=PASSWORD + "\n").err


def test_without_a_server_the_token_stays_at_home(ci):
    ran = ci("tree", "acme", RELAYFILE_TOKEN="cld_mt_x")
    assert ran.code == 2, ran
    assert "RELAYFILE_SERVER" in ran.err


def test_a_variable_with_no_token_in_it_is_said(ci):
    assert ci("tree", "acme", RELAYFILE_TOKEN="two words").code == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--scope", "account:manage"), 2, "account:manage"),
        (("--scope", "fs:fly"), 2, "fs:fly"),
        (("--scope", "fs:read", "--ttl", "2y"), 2, "duration"),
        (("--scope", "fs:read", "--ttl", "900d"), 2, "366"),
        (("--scope", "fs:read", "--workspace", "nope"), 1, "nope"),
    ],
)
def test_what_no_token_can_be_is_refused_in_words(machine, words, code, said):
    ran = machine.try_("token", "create", "--name", "x", *words)
    assert ran.code == code, ran
    assert said in ran.err
    assert "x" not in names_of(machine)


def test_no_token_stands_in_a_log_a_database_or_a_state_file(machine, server, workspace, ci, place):
    file = place / "token"
    machine.run("token", "create", "--name", "hidden", "--scope", "fs:read", "--save", file)
    token = file.read_text().split()[0]
    ci("tree", workspace, "--token-file", file)
    ci("read", workspace, "/docs/a.md", RELAYFILE_TOKEN=token, RELAYFILE_SERVER=server.url)
    kept = [path for folder in (place, server.folder.parent) for path in Path(folder).rglob("*") if path.is_file()]
    assert [path for path in kept if token.encode() in path.read_bytes()] == [file]
