"""What a mirror's disk lost to the workspace comes back by a command; and what a mirror may take of the network."""

import json
import os
import time

import pytest

from journeys_support import Mirrors
from machines import files_below
from relayfile.client.bandwidth import STEP_BYTES
from waiting import until


@pytest.fixture
def pair(server, new_machine, place) -> Mirrors:
    """Two machines with a mirror each of one workspace."""
    return Mirrors.of(server, [new_machine(), new_machine()], place)


def test_what_another_machine_deleted_or_replaced_is_listed_and_comes_back(pair):
    (a, root_a), (b, root_b) = pair.both
    everything = {f"docs/{number}.md": b"text %d" % number for number in range(40)}
    everything |= {"tool": b"#!old", "other/kept.md": b"kept"}
    for name, body in everything.items():
        (root_a / name).parent.mkdir(exist_ok=True)
        (root_a / name).write_bytes(body)
    (root_a / "tool").chmod(0o755)
    pair.until_equal(everything.keys())
    assert "nothing is kept" in a.run("restore", root_a).err

    # another machine replaces a file, and then deletes a folder
    (root_b / "tool").write_bytes(b"#!broken")
    b.run("pull")
    a.run("pull")
    for path in (root_b / "docs").iterdir():
        path.unlink()
    b.run("pull")
    pair.until_equal({"tool", "other/kept.md"})

    listed = a.run("restore", root_a, "--json").json
    assert {one["path"]: one["why"] for one in listed} == {"/tool": "replaced"} | {
        f"/{name}": "deleted" for name in everything if name.startswith("docs/")
    }
    assert [(one["size"], one["mode"], one["taken_at"][-1]) for one in listed if one["path"] == "/tool"] == [
        (5, "755", "Z")
    ]
    assert "docs/7.md" in a.run("restore", "--list", root_a / "docs").out

    # all of the folder comes back by its name, from inside the mirror, to both machines
    told = a.run("restore", "docs", "--since", "1h", "--json", cwd=root_a).json
    assert len(told) == 40
    assert {one["code"] for one in told} == {None}
    pair.until_equal(everything.keys())
    assert files_below(root_b)["docs/7.md"] == b"text 7"
    assert len(a.run("restore", "docs", "--json", cwd=root_a).json) == 40, "to repeat it changes nothing"

    # and one file, to its own path and to another
    a.run("restore", "/tool", "--to", "old/tool", cwd=root_a)
    refused = a.run("restore", root_a / "tool", "--to", root_a / "other/kept.md", exit_code=2)
    assert "--to" in refused.err
    a.run("restore", root_a / "tool")
    both = pair.until_equal({*everything, "old/tool"})
    assert both == everything | {"old/tool": b"#!old"}
    assert (root_b / "tool").stat().st_mode & 0o100
    [newest] = [one for one in a.run("restore", "--json", root_a).json if one["why"] == "restored"]
    a.run("restore", "--id", newest["id"], root_a)
    assert pair.until_equal(None)["tool"] == b"#!broken"

    # a new life of the daemon, without its memory of before, lists and gives back the same
    a.run("restore", root_a / "tool", "--at", "1h")
    assert pair.until_equal(None)["tool"] == b"#!old"
    before = a.run("restore", "--json", root_a).json
    a.run("stop", root_a)
    assert "relayfile mount" in a.run("restore", root_a, exit_code=75).err
    for state in a.home.glob("mirrors/*/state.db*"):
        state.unlink()
    a.run("mount", root_a)
    until(lambda: a.mirror(root_a)["equal"], within_s=20, what="equal again", evidence=pair.evidence)
    assert a.run("restore", "--json", root_a).json == before

    missing = a.run("restore", root_a / "other/none.md", exit_code=1)
    assert "/tool" in missing.err
    assert "is no moment" in a.run("restore", root_a / "tool", "--at", "soon", exit_code=2).err
    a.run("mount", root_a, "--keep-trash", "0s", "--trash-size", "0")
    record = json.loads(next(a.home.glob("mirrors/*/mirror.json")).read_text())
    assert (record["keep_trash_s"], record["trash_bytes"]) == (0, 0)


def test_a_mirror_keeps_to_its_bandwidth_in_both_directions(pair):
    """How long it takes at least is all that is asked: a slow machine cannot fail this."""
    (a, root_a), (_, root_b) = pair.both
    (root_b / "before").write_bytes(b"1")
    pair.until_equal({"before"})
    begun = a.run("mount", root_a, "--bandwidth", "200k/300k")
    assert "begins again" in begun.err
    a.until_live(root_a)
    assert a.mirror(root_a)["bandwidth"] == {"up": 200_000, "down": 300_000}
    assert "0.20 MB/s up, 0.30 MB/s down" in a.run("status").out

    sent, spare = os.urandom(900_000), STEP_BYTES * 4
    since_s = time.monotonic()
    (root_a / "up").write_bytes(sent)
    pair.until_equal({"before", "up"})
    assert time.monotonic() - since_s >= (900_000 - 200_000 - spare) / 200_000
    since_s = time.monotonic()
    (root_b / "down").write_bytes(sent[::-1])
    for number in range(40):
        (root_b / f"small{number}").write_bytes(sent[number : number + 10_000])
    both = pair.until_equal({"before", "up", "down", *(f"small{number}" for number in range(40))})
    assert time.monotonic() - since_s >= (1_300_000 - 300_000 - spare) / 300_000
    assert (both["up"], both["down"]) == (sent, sent[::-1])

    a.run("mount", root_a, "--bandwidth", "unlimited")
    assert a.mirror(root_a)["bandwidth"] == {"up": None, "down": None}
    assert "too little" in a.run("mount", root_a, "--bandwidth", "5", exit_code=2).err
