"""A mirror where nobody signed in: it lives on a machine token, parks when that ends, and wakes on another."""

from pathlib import Path

import pytest

from machines import Machine, files_below
from waiting import until


@pytest.fixture
def robot(new_machine):
    """A machine without a sign-in."""
    return new_machine()


@pytest.fixture
def workspace(machine):
    machine.run("workspace", "create", "acme")
    machine.run("write", "acme", "/docs/a.md", stdin="a\n")
    return "acme"


def new_token(machine, file, name, *scopes, **options):
    """The file holds a fresh token and its server."""
    file.unlink(missing_ok=True)
    words = [word for scope in scopes or ("fs:read", "fs:write") for word in ("--scope", scope)]
    words += [word for option, value in options.items() for word in (f"--{option}", value)]
    machine.run("token", "create", "--name", name, "--save", file, *words)


def test_a_mirror_lives_on_a_token_across_restarts_and_wakes_on_another(machine, robot, workspace, place):
    file, root = place / "token", place / "root"
    new_token(machine, file, "first")
    robot.run("mount", workspace, root, "--token-file", file)
    picture = robot.until_live(root)
    assert (picture["login"]["credential"], picture["login"]["state"]) == ("token", "valid")
    (root / "docs" / "b.md").write_text("b\n")
    robot.run("pull", root)
    assert machine.run("read", workspace, "/docs/b.md").out == "b\n"
    robot.run("restart", root)
    robot.until_live(root)
    assert not robot.credentials.exists()

    machine.run("token", "revoke", "first")
    machine.run("write", workspace, "/docs/c.md", stdin="c\n")
    robot.expected += ["auth-failed", "login:"]
    dead = robot.until_mirror(root, lambda one: one["state"] == "auth-failed", within_s=20, what="it is parked")
    assert "'first' was revoked by owner" in dead["login"]["reason"]
    assert str(file) in dead["login"]["hint"]
    assert robot.try_("status", "--check").code == 4
    (root / "docs" / "d.md").write_text("d\n")

    new_token(machine, file, "second")
    robot.until_live(root)
    assert set(files_below(root)) == {"docs/a.md", "docs/b.md", "docs/c.md", "docs/d.md"}
    assert machine.run("read", workspace, "/docs/d.md").out == "d\n"


def test_a_token_of_a_variable_is_kept_for_the_mirror_alone(machine, workspace, place, server):
    class Ci(Machine):
        def environment(self):
            return super().environment() | {"RELAYFILE_TOKEN": token, "RELAYFILE_SERVER": server.url}

    token = machine.run("token", "create", "--name", "ci", "--scope", "fs:read").out.strip()
    ci, root = Ci(place / "ci"), place / "root"
    try:
        ci.run("mount", workspace, root)
        ci.until_live(root)
        [daemon] = ci.daemons()
        assert token.encode() not in Path(f"/proc/{daemon}/environ").read_bytes()
        token, kept = "", token
        ci.run("restart", root)
        ci.until_live(root)
        held = [path for path in ci.home.rglob("*") if path.is_file() and kept.encode() in path.read_bytes()]
        assert [path.name for path in held] == ["token"]
        assert held[0].stat().st_mode & 0o777 == 0o600
    finally:
        ci.close()


def test_a_token_that_may_only_read_part_mirrors_that_part_and_sends_nothing(machine, robot, workspace, place):
    file, root = place / "token", place / "root"
    machine.run("write", workspace, "/other/x.md", stdin="x\n")
    new_token(machine, file, "reader", "fs:read:/docs", workspace=workspace)
    robot.run("mount", workspace, root, "--token-file", file)
    robot.until_live(root)
    assert set(files_below(root)) == {"docs/a.md"}
    (root / "docs" / "mine.md").write_text("mine\n")
    until(
        lambda: "mine.md" in str(robot.mirror(root)), within_s=20, what="the refusal is told", evidence=robot.evidence
    )
    assert (root / "docs" / "mine.md").read_text() == "mine\n"
    assert machine.try_("read", workspace, "/docs/mine.md").code == 1


def test_a_token_inside_the_directory_is_not_uploaded(machine, robot, workspace, place):
    root = place / "root"
    root.mkdir()
    new_token(machine, root / "token", "inside")
    ran = robot.try_("mount", workspace, root, "--token-file", root / "token")
    assert ran.code == 78, ran
    assert "would be uploaded" in ran.err


def test_a_stopped_mirror_tells_the_token_it_will_live_on_and_that_it_is_gone(machine, robot, workspace, place):
    file, root = place / "token", place / "root"
    new_token(machine, file, "ci")
    robot.run("mount", workspace, root, "--token-file", file)
    robot.run("stop", root)
    assert robot.mirror(root)["login"]["credential"] == "token"
    file.unlink()
    assert robot.mirror(root)["login"]["state"] == "config-error"
    assert robot.try_("mount", root).code == 78
