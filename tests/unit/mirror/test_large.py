"""Large contents, never whole in memory: down in parts on the disk, resumed, verified, placed; up piece by piece."""

import asyncio
import errno

import pytest

from relayfile.errors import Unavailable
from relayfile.mirror import parts as module
from relayfile.mirror.parts import LocalParts
from relayfile.mirror.ports import LARGE_BYTES, Changed, Fetched, Lost, Place, Unfit
from relayfile.model import TreePath
from simulation.live import LiveMirror
from simulation.world import SimServer, digest_of
from unit.mirror.conftest import version_of

BIG = bytes(range(256)) * 5_000  # more than one piece
assert len(BIG) > LARGE_BYTES


def equal(picture):
    return picture.equal is True and picture.state == "live"


def refused(picture):
    return bool(picture.not_kept)


async def test_a_large_content_is_asked_for_by_itself_and_goes_on_where_it_was_cut(tmp_path):
    server = SimServer()
    server.write("big", BIG)
    async with LiveMirror(tmp_path / "s", server) as mirror:
        mirror.api.cut_pieces_after = 4
        await mirror.until(equal)
        assert mirror.disk.text() == {"big": BIG}
        assert mirror.api.ranges == [(digest_of(BIG), 0), (digest_of(BIG), 1_200_000)]
        assert mirror.api.blobs_sent == 0
        assert mirror.disk.parts == {}


async def test_what_a_process_left_of_it_is_not_asked_for_again(tmp_path):
    server = SimServer()
    server.write("big", BIG)
    mirror = LiveMirror(tmp_path / "s", server)
    mirror.disk.parts[digest_of(BIG)] = BIG[:700_000]
    async with mirror:
        await mirror.until(equal)
        assert mirror.disk.text() == {"big": BIG}
        assert mirror.api.ranges == [(digest_of(BIG), 700_000)]


async def test_what_was_left_of_it_and_spoilt_is_thrown_away_and_fetched_anew(tmp_path):
    server = SimServer()
    server.write("big", BIG)
    mirror = LiveMirror(tmp_path / "s", server)
    mirror.disk.parts[digest_of(BIG)] = bytes(len(BIG))
    async with mirror:
        await mirror.until(equal)
        assert mirror.disk.text() == {"big": BIG}
        assert mirror.api.ranges == [(digest_of(BIG), 0)]
        assert mirror.engine.picture().traffic.damaged == 1


async def test_a_content_that_is_another_is_never_placed_counted_and_stops_only_its_path(tmp_path):
    server = SimServer()
    server.write("big", BIG)
    server.write("other", BIG + b"other")
    async with LiveMirror(tmp_path / "s", server) as mirror:
        mirror.api.forged[digest_of(BIG)] = BIG[::-1]
        picture = await mirror.until(lambda seen: refused(seen) and "other" in mirror.disk.text())
        assert [name for name, _ in picture.not_kept] == ["big"]
        assert "thrown away" in picture.not_kept[0][1]
        assert mirror.disk.text() == {"other": BIG + b"other"}
        assert (mirror.disk.parts, picture.traffic.damaged) == ({}, 1)
        mirror.api.forged.clear()
        await mirror.until(equal)
        assert mirror.disk.text() == server.text()


async def test_a_full_disk_stops_only_the_content_that_does_not_fit(tmp_path):
    server = SimServer()
    server.write("big", BIG)
    server.write("small", b"1")
    mirror = LiveMirror(tmp_path / "s", server)
    mirror.disk.room = 1_000
    async with mirror:
        await mirror.until(lambda seen: refused(seen) and "small" in mirror.disk.text())
        assert mirror.api.ranges == []
        mirror.disk.room = 1 << 40
        await mirror.until(equal)
        assert mirror.disk.text() == server.text()


async def test_a_content_that_is_not_wanted_any_more_is_not_kept(tmp_path):
    server = SimServer()
    server.write("big", BIG)
    server.write("stays", BIG + b"1")
    mirror = LiveMirror(tmp_path / "s", server)
    mirror.disk.parts[digest_of(b"long ago")] = b"long"
    async with mirror:
        mirror.api.hold_pieces = True
        async with asyncio.timeout(10):
            await mirror.api.held.acquire()
            await mirror.api.held.acquire()
        assert mirror.disk.parts.keys() <= {digest_of(BIG), digest_of(BIG + b"1")}
        mirror.api.server.delete("big")
        mirror.api.announce()
        await mirror.until(lambda picture: picture.observed == 3)
        mirror.api.hold_pieces = False
        mirror.api.announce()
        await mirror.until(equal)
        assert mirror.disk.text() == {"stays": BIG + b"1"}
        assert mirror.disk.parts == {}


async def test_many_small_contents_are_fetched_a_few_errands_at_once_and_no_more(tmp_path):
    server = SimServer(inline=10)
    for number in range(60):
        server.write(f"f{number}", b"%d" % number * 400_000)
    async with LiveMirror(tmp_path / "s", server) as mirror:
        await mirror.until(equal)
        assert mirror.disk.text() == server.text()
        assert mirror.api.blobs_sent == 60
        assert 1 < mirror.api.most_at_once <= 3


async def test_a_large_file_goes_up_piece_by_piece_once(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)
        mirror.api.push_fails.append(Unavailable("lost"))
        read = []
        mirror.disk.before_piece.append(lambda at, first: read.append(first))
        mirror.edit("big", BIG)
        await mirror.until(lambda picture: picture.observed == 1 and equal(picture))
        assert mirror.server.text() == {"big": BIG}
        assert read == [0, LARGE_BYTES], "an attempt that never began read nothing"


async def test_a_large_file_that_is_written_while_it_is_sent_is_never_sent_torn(tmp_path):
    async with LiveMirror(tmp_path / "s") as mirror:
        await mirror.until(equal)

        def writes(_, first):
            if first and not mirror.server.position and mirror.disk.text()["big"] == BIG:
                mirror.edit("big", BIG + b"more")

        mirror.disk.before_piece.append(writes)
        mirror.edit("big", BIG)
        await mirror.until(lambda picture: picture.observed == 1 and equal(picture))
        assert mirror.server.text() == {"big": BIG + b"more"}
        assert digest_of(BIG) not in mirror.server.bodies


# ---------------------------------------------------------------------------------------- on a real file system


@pytest.fixture
def parts(ground):
    return LocalParts(ground.beneath)


def there(ground):
    return {one.name: one.read_bytes() for one in (ground.root / ".relay" / "parts").iterdir()}


def brought(parts, body=BIG, size=None):
    digest = digest_of(body)
    assert parts.begin(digest, size or len(body)) == 0
    assert parts.append(digest, 0, body[:LARGE_BYTES]) is None
    assert parts.append(digest, LARGE_BYTES, body[LARGE_BYTES:]) is None
    return digest


def last(found):
    return list(found)[-1]


def test_a_part_lies_where_only_its_owner_looks_and_is_verified_whole(ground, parts):
    digest = brought(parts)
    assert (ground.root / ".relay" / "parts").stat().st_mode & 0o777 == 0o700
    assert (parts.begin(digest, len(BIG)), last(parts.verify(digest))) == (len(BIG), True)
    (ground.root / ".relay" / "parts" / digest.hex()).write_bytes(BIG[:-1] + b"?")
    assert last(parts.verify(digest)) is False
    assert there(ground) == {}


def test_a_piece_takes_the_place_of_what_lay_behind_it(ground, parts):
    digest = brought(parts, BIG[:900_000])
    assert parts.append(digest, 500_000, BIG[500_000:600_000]) is None
    assert there(ground) == {digest.hex(): BIG[:600_000]}


def test_a_part_that_was_removed_is_not_begun_in_its_middle(ground, parts):
    digest = brought(parts)
    parts.keep_only(())
    assert parts.append(digest, 5, b"more").code == "unwanted"
    assert there(ground) == {}


def test_no_part_is_kept_where_the_disk_has_no_room_for_the_whole(ground):
    free = 3 * module.SPARE_BYTES
    parts = LocalParts(ground.beneath, lambda _: free)
    digest = brought(parts)
    free = module.SPARE_BYTES + len(BIG) // 2
    assert parts.begin(digest, len(BIG)) == len(BIG), "what lies there already needs no room"
    assert parts.begin(digest, 2 * len(BIG)).code == "disk_full"
    assert there(ground) == {}


def test_a_disk_that_fills_up_meanwhile_keeps_nothing_of_it(ground, parts, monkeypatch):
    digest = brought(parts)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "pwrite", full)
    assert parts.append(digest, len(BIG), b"more") == Lost(
        "disk_io", "the disk does not take it: No space left on device"
    )
    assert there(ground) == {}


def fetched(at, body, expected=None, mode="644"):
    return Place(TreePath(at), version_of(body, mode), Fetched(), expected)


@pytest.mark.parametrize("mode", ["644", "755"])
def test_a_part_becomes_the_file_itself(ground, parts, mode):
    digest = brought(parts)
    ino = (ground.root / ".relay" / "parts" / digest.hex()).stat().st_ino
    small = ground.put("small", b"1")
    replacing, new = ground.disk.execute([fetched("small", BIG, small, mode), fetched("new", BIG)])
    assert (replacing.stat.ino, replacing.stat.size, replacing.stat.mode) == (ino, len(BIG), mode)
    assert new == Unfit("new"), "a part can be placed once"
    assert ground.files() == {"small": BIG}
    assert replacing.stat == ground.stat("small")
    assert (there(ground), ground.staged()) == ({}, [])


def test_a_part_that_was_not_published_is_a_part_again(ground, parts):
    digest = brought(parts)
    stat = ground.put("a", b"1")
    (ground.root / "a").write_bytes(b"edited by its owner")
    assert ground.disk.execute([fetched("a", BIG, stat)]) == [Changed("a")]
    assert there(ground) == {digest.hex(): BIG}
    assert ground.staged() == []


def test_a_file_is_read_in_pieces_only_while_it_is_what_it_was(ground):
    stat, digest = ground.put("a", BIG), digest_of(BIG)
    assert b"".join(ground.disk.pieces(TreePath("a"), stat, digest)) == BIG
    assert list(ground.disk.pieces(TreePath("a"), stat, digest_of(b"other")))[-1] is None
    reading = ground.disk.pieces(TreePath("a"), stat, digest)
    assert next(reading) == BIG[:LARGE_BYTES]
    with (ground.root / "a").open("ab") as file:
        file.write(b"more")
    assert list(reading) == [None]
    assert list(ground.disk.pieces(TreePath("a"), stat, digest)) == [None]
    (ground.root / "a").unlink()
    assert list(ground.disk.pieces(TreePath("a"), stat, digest)) == [None]


class DiedError(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("over", [False, True])
def test_wherever_a_process_dies_while_it_places_one_the_content_is_at_hand_or_in_place(ground, parts, over):
    points = []
    for moment in range(20):
        digest = brought(parts)
        stat = ground.put("a", b"1") if over else None
        reached = iter(range(100))

        def reach(name, reached=reached, moment=moment):
            points.append(name)
            if next(reached) == moment:
                raise DiedError

        dying = type(ground.disk)(ground.beneath, "box", ground.now, reach)
        step = fetched("a", BIG, stat)
        try:
            dying.execute([step])
        except DiedError:
            assert ground.disk.recover({step.path: step.version}) == []
            placed = (ground.root / "a").read_bytes() if (ground.root / "a").exists() else None
            assert placed in ({BIG, b"1"} if over else {BIG, None})
            assert (placed == BIG) or there(ground) == {digest.hex(): BIG}
            assert ground.staged() == []
            (ground.root / "a").unlink(missing_ok=True)
            parts.keep_only(())
        else:
            assert moment > 2
            return
    raise AssertionError(points)
