"""`verify`: equality is recomputed, and bytes that changed without an edit are found, listed, never sent, mended."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from relayfile.errors import LoginRequired
from relayfile.mirror import audit, verify
from relayfile.mirror.picture import Progress
from relayfile.mirror.ports import Refused, Trouble
from relayfile.mirror.verify import Verdict
from simulation.live import LiveMirror
from simulation.world import SimServer, digest_of, path


async def verdict(mirror, *, deep=False, mend=False, deadline_s=200.0):
    """The steps of a verification, and its last word as it travels."""
    steps = [one async for one in verify.verify(mirror.engine, deadline_s, deep=deep, mend=mend)]
    assert all(isinstance(one, Progress) for one in steps[:-1])
    assert isinstance(steps[-1], Verdict)
    return steps[:-1], verify.ended(steps[-1])


def served(count=3):
    server = SimServer()
    for number in range(count):
        server.write(f"f{number}", b"%d" % number)
    return server


def equal(picture):
    return picture.equal is True


async def test_equality_is_proven_for_the_head_and_nothing_is_read(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        _, ended = await verdict(mirror)
        assert (ended["exit"], ended["equal_to"], ended["files_read"]) == (0, 3, None)
        assert ended["message"] == "equal to evt_3"


async def test_a_sum_that_drifted_is_made_anew_from_the_rows_and_said(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        await mirror.engine.between(
            lambda _: mirror.state._db.execute("UPDATE mirror SET local_sum = ?", (b"x" * 32,))
        )
        _, ended = await verdict(mirror)
        assert (ended["exit"], ended["sum_mended"]) == (0, True)
        assert "was wrong, and was put right" in ended["message"]
        assert not (await verdict(mirror))[1]["sum_mended"]


async def test_an_answer_of_the_server_that_the_mirror_had_overtaken_is_asked_for_again(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        stale = await mirror.api.digest()
        mirror.api.write("f3", b"3")
        await mirror.until(lambda picture: picture.observed == 4 and equal(picture))
        answer, asked = mirror.api.digest, []

        async def digest():
            asked.append(1)
            return stale if len(asked) == 1 else await answer()

        mirror.api.digest = digest
        _, ended = await verdict(mirror)
        assert (ended["exit"], ended["equal_to"]) == (0, 4)
        assert len(asked) > 1


async def test_it_asks_the_server_anew_although_the_mirror_believes_itself_equal(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.server.digest = lambda: b"f" * 32
        _, ended = await verdict(mirror)
        assert ended["exit"] == 6
        assert ended["equal_to"] is None
        assert "both sides were read again and still differ" in ended["message"]


async def test_a_rotten_file_is_listed_with_both_sides_and_not_sent(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.disk.rot("f1", b"?")
        assert (await verdict(mirror))[1]["exit"] == 0, "rows alone cannot tell"
        steps, ended = await verdict(mirror, deep=True)
        assert steps[-1].files_done <= 3
        assert (ended["exit"], ended["files_read"], ended["bytes_read"], ended["differences_count"]) == (6, 3, 3, 1)
        (one,) = ended["differences"]
        assert (one["path"], one["disk"]["digest"]) == ("/f1", digest_of(b"?").hex())
        assert (one["server"]["digest"], one["server"]["revision"]) == (digest_of(b"1").hex(), 2)
        assert "without an edit" in one["why"]
        picture = await mirror.until(equal)
        assert dict(picture.not_kept) == {"f1": one["why"]}
        assert (await verdict(mirror))[1]["exit"] == 6, "what is known to have rotted stays known"
        mirror.engine._inbox.sweep = True
        mirror.edit("other", b"x")
        await mirror.until(lambda picture: picture.observed == 4 and equal(picture))
        assert mirror.server.text()["f1"] == b"1"
        assert mirror.disk.text()["f1"] == b"?"


async def test_mending_takes_the_servers_content_back_and_keeps_the_rotten_bytes_as_a_conflict_copy(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.disk.rot("f1", b"?")
        _, ended = await verdict(mirror, deep=True, mend=True)
        assert (ended["exit"], ended["mended"], ended["differences"]) == (0, 1, [])
        files = mirror.disk.text()
        assert files["f1"] == b"1"
        assert [body for name, body in files.items() if "conflict" in name] == [b"?"]
        assert mirror.server.text() == files
        account = await mirror.engine.between(lambda cycle: cycle.account(path("f1")))
        assert [one.did for _, one in account.past] == ["placed", "set_aside", "mended", "rotted", "placed"]


@pytest.mark.parametrize("deleted", [False, True])
async def test_rotten_bytes_survive_what_the_server_does_and_are_never_sent_over_it(tmp_path, deleted):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.disk.rot("f1", b"?")
        await verdict(mirror, deep=True)
        if deleted:
            mirror.server.delete("f1")
            mirror.api.announce()
        else:
            mirror.api.write("f1", b"theirs")
        await mirror.until(lambda picture: picture.observed >= 4 and equal(picture))
        assert mirror.server.text().get("f1") == (None if deleted else b"theirs")
        assert b"?" in mirror.disk.text().values()
        assert ("f1" in dict(mirror.engine.picture().not_kept)) is deleted
        assert (await verdict(mirror))[1]["exit"] == (6 if deleted else 0)


async def test_an_edit_of_its_owner_ends_the_rot(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.disk.rot("f1", b"?")
        await verdict(mirror, deep=True)
        mirror.edit("f1", b"mine")
        await mirror.until(lambda picture: picture.observed == 4 and equal(picture))
        assert mirror.server.text()["f1"] == b"mine"
        assert (await verdict(mirror, deep=True))[1]["exit"] == 0


async def test_bytes_that_come_back_are_no_rot_any_more(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.disk.rot("f1", b"?")
        assert (await verdict(mirror, deep=True))[1]["exit"] == 6
        mirror.disk.rot("f1", b"1")
        assert (await verdict(mirror, deep=True))[1]["exit"] == 0
        assert not mirror.engine.picture().not_kept


async def test_a_file_that_is_written_while_it_is_read_is_an_edit_and_no_rot(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.disk.before_reread = [lambda at: at == "f1" and mirror.disk.write("f1", b"edited")]
        _, ended = await verdict(mirror, deep=True)
        assert (ended["exit"], ended["differences"]) == (0, [])
        assert mirror.server.text()["f1"] == b"edited"


async def test_a_file_that_cannot_be_read_is_a_difference(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.disk.unreadable.add(path("f2"))
        _, ended = await verdict(mirror, deep=True)
        assert (ended["exit"], ended["differences_count"]) == (6, 1)
        assert (ended["differences"][0]["path"], ended["differences"][0]["disk"]) == ("/f2", None)
        assert "Input/output" in ended["differences"][0]["why"]


async def test_deletions_that_wait_for_a_person_are_listed(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        for number in range(3):
            mirror.server.delete(f"f{number}")
        mirror.api.announce()
        await mirror.until(lambda picture: picture.held_deletions)
        _, ended = await verdict(mirror, deep=True)
        assert (ended["exit"], ended["differences_count"], ended["files_read"]) == (6, 3, 3)
        assert [one["server"] for one in ended["differences"]] == [None] * 3
        assert "wait for a decision" in ended["message"]


async def test_paths_that_are_left_out_are_counted_and_are_no_difference(tmp_path):
    server = served()
    server.write("long", b"x")
    mirror = LiveMirror(tmp_path / "s", server)
    mirror.disk.refuse[path("long")] = Refused(path("long"), "name too long", lasting=True)
    async with mirror:
        _, ended = await verdict(mirror, deep=True)
        assert (ended["exit"], ended["message"]) == (0, "equal to evt_4 (1 path not kept here); 3 files read again")


async def test_the_mirror_goes_on_while_it_reads_and_a_piece_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "PIECE_FILES", 4)
    monkeypatch.setattr(audit, "PIECE_BYTES", 100_000)
    server = served(40)
    server.write("big", b"b" * 1_000_000)
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        seen = []
        async for step in verify.verify(mirror.engine, 200.0, deep=True, mend=False):
            if isinstance(step, Progress):
                if step.files_total in {41, 42}:
                    seen.append(step)
                if len(seen) == 5:  # another's write arrives long before the pass is over
                    mirror.api.write("meanwhile", b"m")
                    async with asyncio.timeout(10):
                        while "meanwhile" not in mirror.disk.text():
                            await mirror.engine.changed(mirror.engine.picture())
                    seen.append(replace(step, rate=1.0))
            else:
                last = verify.ended(step)
        assert (last["exit"], last["equal_to"], last["files_read"] >= 41) == (0, 42, True)
        steps = [one.bytes_done for one in seen]
        assert max(b - a for a, b in pairwise(steps)) <= 100_000 + 65_536
        assert len(seen) >= 15


async def test_a_dead_login_ends_it(tmp_path):
    async with LiveMirror(tmp_path / "s", served()) as mirror:
        await mirror.until(equal)
        mirror.api.up.clear()
        mirror.login = Trouble("auth-failed", "token_revoked", "the sign-in was revoked; run `relayfile login`")
        with pytest.raises(LoginRequired):
            await verdict(mirror, deep=True)
