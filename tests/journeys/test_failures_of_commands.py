"""What a command that cannot do its work says: what happened, what was not harmed, and what to do next."""

import json
import re

import pytest

from servers import OWNER
from waiting import until


@pytest.fixture
def workspace(machine) -> str:
    machine.run("workspace", "create", "w")
    return "w"


def test_every_failure_of_a_command_names_a_next_step(machine, workspace, server, place):
    (place / "file").write_text("mine")
    table = [
        (
            ("login", server.url, "--username", OWNER, "--password-stdin", "--replace"),
            4,
            "check the name and the password",
        ),
        (("read", "w", "/absent"), 1, "relayfile tree"),
        (("read", "w", "a//b"), 2, "/notes/today.md"),
        (("read", "nowhere", "/a"), 1, "relayfile workspace create"),
        (("rm", "w", "/absent"), 1, "relayfile tree"),
        (("rm", "w", "/", "--recursive"), 2, "--yes"),
        (("tree", "w", "/absent"), 1, "relayfile tree"),
        (("tree", "w", "--depth", "-1"), 2, "tree --help"),
        (("write", "w", "/c.txt", place / "absent"), 2, "name a file that exists"),
        (("write", "w", "/c.txt", place), 2, "relayfile seed"),
        (("workspace", "create", "../bad"), 2, "another name"),
        (("workspace", "create", ""), 2, "workspace create plans"),
        (("workspace", "create", "  "), 2, "workspace create plans"),
        (("workspace", "current"), 1, "workspace use"),
        (("mount", "w", place / "file"), 2, "name a directory"),
        (("mount", "w", place / "file" / "below"), 2, "another place"),
        (("mount", "w"), 2, "mount w DIR"),
        (("pull",), 1, "relayfile mount"),
        (("logs", "--lines", "-3"), 2, "logs --help"),
        (("auth", "log", "--after", "-1"), 2, "log --help"),
        (("auth", "revoke", "absent"), 1, "auth sessions"),
        (("token", "revoke", "absent"), 1, "token list"),
        (("nonsense",), 2, "relayfile --help"),
    ]
    wrong = []
    for words, code, step in table:
        ran = machine.try_(*words, stdin="wrong password\n")
        told = ran.err.partition("  next: ")[2]
        if ran.code != code or step not in told:
            wrong.append(f"wanted exit {code}, and {step!r} as the next step\n{ran}")
    assert not wrong, "\n".join(wrong)
    assert [one["name"] for one in machine.run("workspace", "list", "--json").json] == ["w"], "nothing was made"
    assert (place / "file").read_text() == "mine"


def test_a_workspace_without_files_is_listed_as_that(machine, workspace):
    assert machine.run("tree", workspace).out == ""
    assert machine.run("tree", workspace, "/", "--json").json == []


def test_a_deleted_workspace_halts_its_mirror_with_a_next_step_and_frees_its_name(machine, workspace, server, place):
    machine.expected.append("was deleted")
    root = place / "mirror"
    machine.run("mount", workspace, root)
    machine.run("workspace", "delete", workspace, "--yes")
    halted = machine.until_mirror(root, lambda one: one["state"] == "halted", within_s=20, what="it halted")
    assert "relayfile mount WORKSPACE DIR --new" in halted["cause"]["message"]
    assert "relayfile mount WORKSPACE DIR --new" in machine.run("pull", exit_code=6).err
    last = machine.home / "mirrors" / halted["mirror"] / "last.json"
    until(lambda: json.loads(last.read_text())["state"] == "halted", within_s=5, what="the daemon wrote it down")

    machine.login(server, "--profile", "b")
    machine.run("workspace", "create", workspace, "--profile", "b")
    machine.run("workspace", "use", workspace, "--profile", "b")
    machine.run("write", workspace, "/there.txt", stdin="text\n")
    assert machine.run("read", workspace, "/there.txt", "--profile", "b").out == "text\n"


def test_a_pull_of_several_mirrors_keeps_the_next_step_of_each(machine, workspace, place):
    machine.run("workspace", "create", "v")
    machine.run("mount", workspace, place / "one")
    machine.run("mount", "v", place / "two")
    machine.run("stop", place / "two")
    ran = machine.run("pull", "--json", exit_code=75)
    hints = {row["directory"]: row["hint"] for row in ran.json}
    assert hints == {
        str(place / "one"): None,
        str(place / "two"): f"`relayfile mount {place / 'two'}` starts it again",
    }
    assert f"next: `relayfile mount {place / 'two'}`" in machine.run("pull", exit_code=75).err


def test_a_refused_second_mount_writes_nothing_into_the_log_of_the_mirror_that_runs(machine, workspace, place):
    machine.run("mount", workspace, place / "mirror")
    machine.until_live(place / "mirror")
    (log,) = machine.logs()
    before = log.read_text()
    ran = machine.run("mount", place / "mirror", exit_code=7)
    assert "already keeps" in ran.err
    assert "keeps" not in log.read_text().removeprefix(before)


def test_resume_says_that_nothing_was_held_back(machine, workspace, place):
    machine.run("mount", workspace, place / "mirror")
    for decision in ("--restore", "--accept-deletes"):
        ran = machine.run("resume", place / "mirror", decision, "--json")
        assert ran.json["deletes"] is None
        assert "no deletion is held back" in ran.err


def test_a_log_for_programs_is_one_object_a_line(machine, workspace, place):
    machine.run("mount", workspace, place / "mirror")
    (log,) = machine.logs()
    with log.open("a") as file:
        file.write("said by something else\n")
    rows = [json.loads(line) for line in machine.run("logs", "--json").out.splitlines()]
    assert all(row.keys() == {"at", "level", "logger", "message"} for row in rows)
    assert any(row["level"] == "INFO" and "keeps" in row["message"] for row in rows)
    assert rows[-1] == {"at": None, "level": None, "logger": None, "message": "said by something else"}


def test_choosing_a_workspace_says_which_commands_will_mean_it(machine, workspace, server):
    machine.login(server, "--profile", "b")
    assert "commands that name no workspace" in machine.run("workspace", "use", workspace).err
    said = machine.run("workspace", "use", workspace, "--profile", "b").err
    assert "commands with --profile b that name no workspace" in said


def test_the_list_of_sign_ins_says_under_which_name_each_machine_keeps_it(machine, server):
    machine.login(server, "--profile", "b")
    profiles = [row["profile"] for row in machine.run("auth", "sessions", "--json").json if row["host"]]
    assert sorted(profiles) == ["b", "default"]


def test_every_moment_in_json_is_rfc_3339_in_utc(machine, workspace, place):
    machine.run("write", workspace, "/a.txt", stdin="a\n")
    machine.run("mount", workspace, place / "mirror")
    machine.until_live(place / "mirror")
    commands = (
        ("status",),
        ("whoami",),
        ("auth", "status"),
        ("auth", "sessions"),
        ("workspace", "list"),
        ("tree", workspace),
        ("read", workspace, "/a.txt"),
    )
    seen = {words: dict(_moments(machine.run(*words, "--json").json)) for words in commands}
    assert all(seen.values()), seen
    for words, moments in seen.items():
        wrong = {name: value for name, value in moments.items() if not _is_moment(value)}
        assert not wrong, (words, wrong)


def _moments(value: object) -> list[tuple[str, object]]:
    """The fields below `value` that name a moment, as far as they are filled."""
    if isinstance(value, list):
        return [found for one in value for found in _moments(one)]
    if not isinstance(value, dict):
        return []
    named = [(name, one) for name, one in value.items() if re.search(r"(_at|[a-z]At|^since|^at|renewal)$", name)]
    return [found for found in named if found[1] is not None] + [
        found for one in value.values() for found in _moments(one)
    ]


def _is_moment(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value) is not None
