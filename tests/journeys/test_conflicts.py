"""Conflicts as people meet them: listed, shown and settled by commands, with real daemons on both sides."""

import shutil
import subprocess

import pytest

from journeys_support import Mirrors
from machines import files_below
from waiting import until


@pytest.fixture
def pair(server, new_machine, place) -> Mirrors:
    """Two machines with a mirror each of one workspace."""
    return Mirrors.of(server, [new_machine(), new_machine()], place)


def clash(pair: Mirrors, sides: dict[str, tuple[bytes, bytes]]) -> None:
    """In the first mirror each path holds theirs (the first), and mine (the second) lies in a copy."""
    (a, root_a), (b, root_b) = pair.both
    for path in sides:
        (root_a / path).parent.mkdir(parents=True, exist_ok=True)
        (root_a / path).write_bytes(b"\0base of " + path.encode())
    pair.until_equal(set(sides))
    a.run("stop", root_a)
    for path, (theirs, mine) in sides.items():
        (root_b / path).write_bytes(theirs)
        (root_a / path).write_bytes(mine)
    b.run("pull")
    a.run("restart", root_a)
    until(lambda: len(files_below(root_b)) == 2 * len(sides), within_s=20, what="copies", evidence=pair.evidence)
    pair.until_equal(None)


def test_a_conflict_is_listed_shown_and_settled_with_mine(pair, place):
    (a, root_a), (b, root_b) = pair.both
    clash(pair, {"notes/plan.md": (b"one\ntheirs\n", b"one\nmine\n")})
    (root_a / "notes/tool").write_bytes(b"#!")
    [one] = a.run("conflicts", root_a, "--json").json
    assert (one["path"], one["directory"]) == ("/notes/plan.md", str(root_a))
    assert one["copy"].startswith("/notes/plan (conflict ")
    assert one["made_at"].endswith("Z")
    assert one["revision"].startswith("rev_")
    assert (one["theirs"]["size"], one["mine"]["size"]) == (11, 9)
    shown = a.run("conflicts")
    assert "notes/plan.md" in shown.out
    assert "relayfile resolve PATH --keep mine|theirs|both" in shown.err
    assert "relayfile conflicts" in a.mirror(root_a)["cause"]["message"]

    for word in ("plan.md", root_a / one["copy"][1:], one["copy"]):
        differ = a.run("diff", word, cwd=root_a / "notes", exit_code=1)
        assert differ.out.startswith("--- a/notes/plan.md\n+++ b/notes/plan (conflict ")
        assert differ.out.endswith("\n one\n-theirs\n+mine\n")

    (root_a / one["copy"][1:]).chmod(0o755)
    a.run("resolve", "plan.md", "--keep", "mine", cwd=root_a / "notes")
    both = pair.until_equal({"notes/plan.md", "notes/tool"})
    assert both["notes/plan.md"] == b"one\nmine\n"
    assert (root_b / "notes/plan.md").stat().st_mode & 0o100
    a.until_live(root_a)
    assert a.run("conflicts", "--json").json == []
    assert not b.run("conflicts", "--json").json


def test_theirs_both_and_all_settle_as_they_say_and_what_is_no_conflict_is_refused(pair):
    a, root_a = pair.both[0]
    sides = {name: (b"\0theirs " + name.encode(), b"mine\n" * 3) for name in ("a.bin", "b.bin", "c.bin", "d.bin")}
    clash(pair, sides)
    copies = {one["path"][1:]: one["copy"][1:] for one in a.run("conflicts", "--json").json}
    assert a.run("diff", root_a / "a.bin", exit_code=1).out == "binary, 13 and 15 bytes\n"

    refused = a.run("resolve", root_a / "none.txt", "--keep", "mine", exit_code=1)
    assert "/none.txt is no conflict" in refused.err
    assert "/a.bin, /b.bin, /c.bin, /d.bin" in refused.err

    a.run("resolve", root_a / "a.bin", "--keep", "theirs")
    assert not (root_a / copies["a.bin"]).exists()
    assert b"mine\n" * 3 in [one.read_bytes() for one in (root_a / ".relay/trash").glob("*/*")], "not gone"
    a.run("resolve", root_a / copies["b.bin"], "--keep", "both")
    assert a.run("resolve", root_a / "b.bin", "--keep", "both", exit_code=1).out == ""
    told = a.run("resolve", "--all", root_a, "--keep", "mine", "--json").json
    assert [(one["path"], one["code"]) for one in told] == [("/c.bin", None), ("/d.bin", None)]
    both = pair.until_equal({*sides, copies["b.bin"]})
    assert both["a.bin"] == sides["a.bin"][0]
    assert (both["b.bin"], both[copies["b.bin"]]) == sides["b.bin"]
    assert both["c.bin"] == both["d.bin"] == b"mine\n" * 3
    assert "no conflict" in a.run("resolve", "--all", root_a, "--keep", "mine").err
    a.until_live(root_a)

    a.run("stop", root_a)
    stopped = a.run("conflicts", exit_code=75)
    assert "relayfile mount" in stopped.err


def test_edits_of_different_lines_end_in_one_file_and_make_no_copy(pair):
    (a, root_a), (b, root_b) = pair.both
    lines = [f"line {number}\n" for number in range(20)]
    for name in ("live.md", "later.md"):
        (root_a / name).write_text("".join(lines))
    pair.until_equal({"live.md", "later.md"})

    mine, theirs = ["mine\n", *lines[1:]], [*lines[:-1], "theirs\n"]
    (root_a / "live.md").write_text("".join(mine))
    (root_b / "live.md").write_text("".join(theirs))
    a.run("pull")
    b.run("pull")
    a.run("stop", root_a)
    (root_a / "later.md").write_text("".join(mine))
    (root_b / "later.md").write_text("".join(theirs))
    b.run("pull")
    a.run("restart", root_a)

    merged = "".join(["mine\n", *lines[1:-1], "theirs\n"]).encode()
    want = {"live.md": merged, "later.md": merged}
    until(
        lambda: files_below(root_a) == files_below(root_b) == want,
        within_s=20,
        what="both edits in both mirrors",
        evidence=pair.evidence,
    )
    assert pair.until_equal({"live.md", "later.md"}) == want
    assert a.run("conflicts", "--json").json == b.run("conflicts", "--json").json == []


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
def test_a_link_is_shown_by_its_target_and_a_diff_can_be_applied(pair):
    a, root_a = pair.both[0]
    clash(pair, {"text.txt": (b"one\ntwo\nthree\n", b"one\n2\nthree\nfour"), "link": (b"file\n", b"other\n")})
    said = a.run("diff", root_a / "text.txt", exit_code=1)
    made = subprocess.run(
        ["patch", "--output=-", root_a / "text.txt"], input=said.out.encode(), capture_output=True, check=True
    )
    assert made.stdout == b"one\n2\nthree\nfour"
    (root_a / "link").unlink()
    (root_a / "link").symlink_to("text.txt")
    said = a.run("diff", root_a / "link", exit_code=1)
    assert "-symbolic link to text.txt\n" in said.out
    assert said.out.startswith("mode 120000 of link, 644 of link (conflict ")
    a.run("pull")
    a.run("resolve", "--all", root_a, "--keep", "theirs")
    pair.until_equal({"text.txt", "link"})
