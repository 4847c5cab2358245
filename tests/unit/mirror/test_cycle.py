"""The cycle against a simulated disk and server: one turn after another, without a loop or a thread."""

import pytest

from relayfile.mirror.fetch import MISSING
from relayfile.mirror.ports import Refused
from simulation.world import Died, SimDisk, SimMirror, SimServer, path


@pytest.fixture
def server():
    return SimServer()


@pytest.fixture
def mirror(tmp_path, server):
    mirror = SimMirror(tmp_path, server)
    yield mirror
    mirror.state.close()


def assert_equal(mirror, server):
    assert mirror.disk.text() == server.text()
    assert mirror.last.report.equal is True
    assert mirror.last.report.pending.nothing


def test_an_empty_folder_is_filled_and_proven_equal(mirror, server):
    for number in range(1_200):
        server.write(f"d{number % 7}/f{number}", b"%d" % number)
    mirror.run()
    assert_equal(mirror, server)
    assert server.puts == 0


def test_a_second_run_writes_nothing_anywhere(mirror, server):
    server.write("a", b"1")
    mirror.edit("b", b"2")
    mirror.run()
    steps, puts = mirror.disk.steps, server.puts
    before = mirror.state._db.total_changes()
    mirror.turn(batches=server.delta(mirror.last.report.stream.cursor, None))
    assert (mirror.disk.steps, server.puts) == (steps, puts)
    assert mirror.state._db.total_changes() == before


def test_local_files_go_up_only_after_the_first_observation_has_ended(mirror, server):
    mirror.edit("mine", b"1")
    done = mirror.turn()
    assert not done.parcel.pushes
    assert done.report.pending.edits == 1
    mirror.run()
    assert server.text() == {"mine": b"1"}
    assert_equal(mirror, server)


def test_on_a_first_mount_equal_files_are_adopted_and_different_ones_kept_beside(mirror, server):
    server.write("same", b"1", "755")
    server.write("other", b"theirs")
    mirror.edit("same", b"1")
    mirror.edit("other", b"mine")
    mirror.edit("only", b"here")
    mirror.run()
    copies = [name for name in server.text() if "(conflict host " in name]
    assert len(copies) == 1
    assert server.text()[copies[0]] == b"mine"
    assert mirror.disk.files[path("other")][0] == b"theirs"
    assert mirror.disk.files[path("same")][1].mode == "755"
    assert server.text()["only"] == b"here"
    assert mirror.last.report.conflicts == 1
    assert_equal(mirror, server)


def test_both_edited_ends_with_theirs_at_the_path_and_ours_beside_it_on_both_sides(mirror, server):
    server.write("f.txt", b"base")
    mirror.run()
    server.write("f.txt", b"theirs")
    mirror.edit("f.txt", b"mine")
    mirror.run()
    assert sorted(server.text().values()) == [b"mine", b"theirs"]
    assert server.text()["f.txt"] == b"theirs"
    assert_equal(mirror, server)


def test_a_copy_that_lies_in_the_directory_at_a_first_mount_is_no_conflict_of_this_mirror(mirror, server):
    for side in (server.write, mirror.edit):
        side("a", b"1")
        side("a (conflict host 2023-11-14 7902699b)", b"2")
    mirror.run()
    assert_equal(mirror, server)
    assert mirror.last.report.conflicts == 0


def test_a_copy_that_another_mirror_of_this_machine_made_of_the_same_content_is_not_in_the_way(
    tmp_path, mirror, server
):
    other = SimMirror(tmp_path, server, name="other")
    server.write("a", b"theirs")
    for one in (other, mirror):
        one.edit("a", b"mine")
        one.run()
    assert not mirror.last.report.refused
    assert_equal(mirror, server)
    assert sorted(server.text().values()) == [b"mine", b"theirs"]
    other.state.close()


def test_an_edit_beats_a_delete_either_way(mirror, server):
    server.write("a", b"1")
    server.write("b", b"1")
    server.write("c", b"1")
    mirror.run()
    server.delete("a")
    mirror.edit("a", b"mine")
    server.write("b", b"theirs")
    mirror.remove("b")
    mirror.run()
    assert server.text() == {"a": b"mine", "b": b"theirs", "c": b"1"}
    assert_equal(mirror, server)


def test_offline_edits_and_offline_deletes_are_found_by_the_sweep_of_a_restart(mirror, server):
    for name in "abcd":
        server.write(name, b"1")
    mirror.run()
    mirror.disk.write("a", b"2")
    mirror.disk.delete("b")
    mirror.kill()
    mirror.run()
    assert server.text() == {"a": b"2", "c": b"1", "d": b"1"}
    assert_equal(mirror, server)
    assert mirror.last.report.counters.engine_starts == 2


def test_an_edit_that_was_sent_is_not_sent_twice_when_the_answer_was_lost(mirror, server):
    server.write("a", b"1")
    mirror.run()
    mirror.edit("a", b"2")
    done = mirror.turn()
    server.push(done.parcel.pushes)
    server.write("a", b"3")
    mirror.kill()
    mirror.run()
    assert server.text() == {"a": b"3"}, "theirs came after ours: no conflict copy is needed"
    assert server.puts == 1
    assert_equal(mirror, server)


def test_an_edit_over_one_whose_answer_was_lost_makes_no_conflict_copy(mirror, server):
    server.write("a", b"1")
    mirror.run()
    mirror.edit("a", b"2")
    server.push(mirror.turn().parcel.pushes)
    mirror.disk.write("a", b"3")
    mirror.kill()
    mirror.run()
    assert server.text() == {"a": b"3"}
    assert_equal(mirror, server)


def test_a_later_edit_waits_for_the_one_on_its_way(mirror, server):
    mirror.run()
    mirror.edit("a", b"1")
    first = mirror.turn()
    mirror.edit("a", b"2")
    second = mirror.turn()
    assert [push.body for push in first.parcel.pushes] == [b"1"]
    assert not second.parcel.pushes
    assert second.report.pending.edits == 1
    mirror.turn(answer=(first.parcel, server.push(first.parcel.pushes)))
    mirror.carry(mirror.last)
    mirror.kill()
    mirror.run()
    assert server.text() == {"a": b"2"}


def test_an_expired_cursor_observes_again_and_keeps_base(mirror, server):
    for name in "abc":
        server.write(name, name.encode() * 70_000)
    mirror.run()
    fetched = server.fetched
    server.write("d", b"1")
    server.delete("a")
    del server.nodes[path("a")]  # its tombstone is pruned
    mirror.edit("b", b"mine")
    done = mirror.turn(reset="expired", may_push=False)
    assert done.reread
    assert done.report.stream.open
    mirror.run()
    assert sorted(server.text()) == ["b", "c", "d"]
    assert server.text()["b"] == b"mine"
    assert server.fetched == fetched, "bodies only where digests differ"
    assert_equal(mirror, server)


def test_another_log_begins_a_new_generation(mirror, server):
    server.write("a", b"1")
    mirror.run()
    server.epoch = "e2"
    server.position += 1_000
    server.write("b", b"2")
    mirror.run()
    assert_equal(mirror, server)
    assert mirror.last.report.stream.epoch == "e2"


def test_paths_a_view_no_longer_shows_stay_on_the_disk_unsynced_and_listed(mirror, server):
    server.write("open", b"1")
    server.write("secret", b"2")
    mirror.run()
    hidden = server.nodes.pop(path("secret"))
    mirror.turn(reset="view")
    mirror.run()
    assert mirror.disk.text() == {"open": b"1", "secret": b"2"}
    assert [(one.path, one.code) for one in mirror.last.report.refused] == [("secret", "view")]
    assert mirror.last.report.equal is True
    mirror.edit("secret", b"mine")
    mirror.run()
    assert server.text() == {"open": b"1"}, "an edit of it is kept, not sent"
    server.position += 1
    server.nodes[path("secret")] = (server.position, hidden[1])
    mirror.run()
    assert_equal(mirror, server)
    assert sorted(server.text().values()) == [b"1", b"2", b"mine"]


def test_a_mass_deletion_waits_for_a_person_while_the_rest_goes_on(mirror, server):
    for number in range(100):
        server.write(f"f{number}", b"%d" % number)
    mirror.run()
    for number in range(60):
        server.delete(f"f{number}")
    server.write("new", b"new")
    mirror.turn(batches=server.delta(mirror.last.report.stream.cursor, None))
    assert mirror.last.report.halts["local"].count == 60
    assert len(mirror.disk.files) == 101
    mirror.turn(orders=["accept_deletes"])
    mirror.run()
    assert_equal(mirror, server)
    assert not mirror.last.report.halts


def test_a_local_mass_deletion_can_be_undone(mirror, server):
    for number in range(100):
        server.write(f"f{number}", b"%d" % number)
    mirror.run()
    for number in range(60):
        mirror.remove(f"f{number}")
    mirror.edit("z", b"new")
    mirror.turn()
    mirror.turn(**mirror.carry(mirror.last))
    assert mirror.last.report.halts["remote"].count == 60
    assert len(server.text()) == 101, "the new file went up all the same"
    mirror.turn(orders=["restore_deletes"])
    mirror.run()
    assert_equal(mirror, server)
    assert len(server.text()) == 101


def test_renaming_a_large_folder_is_no_mass_deletion(mirror, server):
    for number in range(100):
        server.write(f"old/f{number}", b"%d" % number)
    mirror.run()
    mirror.clock.at += 1_000
    for number in range(100):
        mirror.remove(f"old/f{number}")
        mirror.edit(f"new/f{number}", b"%d" % number)
    mirror.run()
    assert sorted(server.text()) == sorted(f"new/f{number}" for number in range(100))
    assert_equal(mirror, server)


def test_whoever_follows_a_renamed_folder_never_takes_it_for_a_mass_deletion(tmp_path, mirror, server):
    follower = SimMirror(tmp_path, server, name="follower")
    for number in range(900):
        mirror.edit(f"a/{number}", b"%d" % number)
    mirror.run()
    follower.run()
    for number in range(900):
        mirror.disk.files[path(f"b/{number}")] = mirror.disk.files.pop(path(f"a/{number}"))
        mirror.hints |= {path(f"a/{number}"), path(f"b/{number}")}
    done = mirror.turn()
    while done.parcel.pushes or done.report.more:
        carried = mirror.carry(done)
        follower.run()  # between any two parcels
        assert not follower.last.report.halts
        done = mirror.turn(**carried)
    mirror.run()
    follower.run()
    assert_equal(follower, server)
    assert len(follower.disk.files) == 900
    follower.state.close()


def test_a_folder_emptied_at_once_halts(mirror, server):
    server.write("a", b"1")
    server.write("b", b"2")
    mirror.run()
    mirror.disk.files.clear()
    mirror.kill()
    mirror.turn()
    mirror.turn(batches=server.delta(mirror.last.report.stream.cursor, None))
    assert mirror.last.report.halts["remote"].emptied
    assert server.text() == {"a": b"1", "b": b"2"}


def test_a_refused_path_stops_nothing_else_and_is_left_out_of_the_proof(mirror, server):
    server.write("a", b"1")
    server.write("bad", b"2")
    server.write("node_modules/x", b"3")
    mirror.disk.refuse[path("bad")] = Refused(path("bad"), "this name cannot exist here", lasting=True)
    mirror.run()
    assert mirror.disk.text() == {"a": b"1"}
    assert mirror.last.report.equal is True
    assert {one.path for one in mirror.last.report.refused} == {"bad", "node_modules/x"}


def test_what_a_full_disk_refused_is_tried_again(mirror, server):
    server.write("a", b"1")
    server.write("b", b"2")
    mirror.disk.refuse[path("b")] = Refused(path("b"), "disk full")
    mirror.turn()
    mirror.turn(batches=server.delta(mirror.last.report.stream.cursor, None))
    assert mirror.last.report.pending.down == 1
    assert mirror.last.report.equal is None
    mirror.disk.refuse.clear()
    mirror.turn(retry=True)
    mirror.run()
    assert_equal(mirror, server)


def test_a_file_of_ours_that_was_deleted_before_the_log_was_ever_seen_is_heard_of(mirror, server):
    mirror.run()  # an empty workspace: the cursor stays at 0
    mirror.edit("a", b"1")
    mirror.turn(**mirror.carry(mirror.turn()))
    assert server.text() == {"a": b"1"}
    server.delete("a")
    mirror.kill()
    mirror.run()
    assert mirror.disk.text() == server.text() == {}
    assert mirror.last.report.equal is True


def test_what_was_sent_while_the_log_was_read_from_0_is_not_taken_for_gone(mirror, server):
    mirror.run()
    read = server.delta(mirror.last.report.stream.cursor, None)  # still empty, and on its way
    mirror.edit("a", b"1")
    mirror.turn(**mirror.carry(mirror.turn()))
    mirror.turn(batches=read)
    assert mirror.disk.text() == {"a": b"1"}
    steps = mirror.disk.steps
    mirror.run()
    assert_equal(mirror, server)
    assert mirror.disk.steps == steps, "nothing was taken away and brought back"


def test_an_edit_of_a_file_that_was_deleted_before_the_log_was_ever_seen_wins(mirror, server):
    mirror.run()
    mirror.edit("a", b"1")
    mirror.turn(**mirror.carry(mirror.turn()))
    server.delete("a")
    mirror.edit("a", b"2")
    mirror.kill()
    mirror.run()
    assert mirror.disk.text() == server.text() == {"a": b"2"}


def test_a_path_that_waited_for_an_answer_which_never_came_goes_on_by_itself(mirror, server):
    mirror.run()
    mirror.edit("a", b"1")
    mirror.turn()  # sent; the server never heard of it
    server.write("a", b"theirs")
    mirror.disk.write("a", b"theirs")
    mirror.kill()
    done = mirror.turn()
    done = mirror.turn(batches=server.delta(done.report.stream.cursor, None))
    while done.report.more:
        done = mirror.turn()
    assert done.report.pending.nothing
    assert done.report.equal is True


def test_a_write_that_races_with_a_download_is_kept(mirror, server):
    server.write("a", b"1")
    mirror.run()
    server.write("a", b"2")
    mirror.disk.before_execute.append(lambda: mirror.edit("a", b"mine"))
    mirror.run()
    assert sorted(server.text().values()) == [b"2", b"mine"]
    assert_equal(mirror, server)


def test_large_bodies_are_fetched_apart(mirror, server):
    for number in range(40):
        server.write(f"big{number}", b"%d" % number * 70_000)
    mirror.run()
    assert server.fetched >= 40
    assert_equal(mirror, server)


def test_a_version_the_server_no_longer_has_is_waited_out(mirror, server):
    server.write("a", b"x" * 70_000)
    body = server.bodies.pop(server.nodes[path("a")][1].digest)
    server.inline = -1
    server.bodies[server.nodes[path("a")][1].digest] = body
    mirror.turn()
    done = mirror.turn(batches=server.delta(mirror.last.report.stream.cursor, None))
    mirror.turn(bodies=dict.fromkeys(done.wants, MISSING))
    assert [one.code for one in mirror.last.report.refused] == ["missing"]
    server.write("a", b"y")
    mirror.run()
    assert_equal(mirror, server)


def test_a_false_digest_is_reread_then_observed_again_then_reported(mirror, server, monkeypatch):
    server.write("a", b"1")
    mirror.run()
    server.write("a", b"2")
    true = server.digest
    monkeypatch.setattr(server, "digest", lambda: b"\x01" * 32)
    seen = []
    for _ in range(6):
        stream = mirror.last.report.stream
        done = mirror.turn(batches=server.delta(stream.cursor, stream.start))
        seen.append((done.reread, done.report.stream.open, done.report.damaged))
    assert seen[0] == (True, False, False)
    assert seen[1] == (True, True, False)
    assert seen[2][2] is True
    assert done.report.equal is False
    counters = done.report.counters
    assert (counters.mismatches, counters.mismatched_at is not None) == (1, True)
    mirror.kill()
    monkeypatch.setattr(server, "digest", true)
    mirror.turn(batches=server.delta(mirror.last.report.stream.cursor, None))
    assert mirror.last.report.equal is True
    assert not mirror.last.report.damaged
    assert mirror.last.report.counters.mismatches == 1, "it was counted, and a restart does not forget it"


def test_its_own_sum_is_mended_before_the_server_is_blamed(mirror, server):
    server.write("a", b"1")
    mirror.run()
    mirror.state._db.execute("UPDATE mirror SET local_sum = zeroblob(32)")
    server.write("b", b"1")
    mirror.run()
    assert_equal(mirror, server)


def test_a_file_takes_the_place_of_a_folder_and_back(mirror, server):
    server.write("a/b", b"1")
    server.write("k", b"1")
    mirror.run()
    server.delete("a/b")
    server.write("a", b"2")
    mirror.run()
    assert_equal(mirror, server)


def test_a_mirror_of_the_same_disk_and_another_state_adopts_everything(tmp_path, mirror, server):
    for number in range(30):
        server.write(f"f{number}", b"%d" % number)
    mirror.run()
    again = SimMirror(tmp_path, server, SimDisk(files=dict(mirror.disk.files), ticks=10_000), name="two")
    again.run()
    assert again.disk.steps == 0
    assert_equal(again, server)
    again.state.close()


def test_a_chmod_travels(mirror, server):
    server.write("a", b"1")
    server.write("b", b"1")
    mirror.run()
    mirror.edit("a", b"1", "755")
    server.write("b", b"1", "755")
    mirror.run()
    assert server.nodes[path("a")][1].mode == "755"
    assert mirror.disk.files[path("b")][1].mode == "755"
    assert_equal(mirror, server)


def test_where_the_server_has_a_file_and_a_folder_of_one_name_the_folder_lies_here_and_the_file_is_listed(
    mirror, server
):
    server.write("a", b"file")
    mirror.run()
    server.write("a/b", b"inside")
    mirror.run()
    assert mirror.disk.text() == {"a/b": b"inside"}
    assert [(one.path, one.code) for one in mirror.last.report.refused] == [("a", "overlap")], "a path is listed once"
    assert mirror.last.report.refused_count == 1
    assert mirror.last.report.equal is True
    assert server.text() == {"a": b"file", "a/b": b"inside"}


def test_a_file_comes_back_when_nothing_lies_in_the_folder_of_its_name_any_more(mirror, server):
    server.write("a/b", b"inside")
    server.write("a", b"file")
    mirror.run()
    mirror.remove("a/b")
    mirror.run()
    assert mirror.disk.text() == server.text() == {"a": b"file"}
    assert not mirror.last.report.refused
    assert_equal(mirror, server)


def test_an_edited_file_that_makes_way_for_a_folder_is_set_aside(mirror, server):
    server.write("a", b"file")
    mirror.run()
    server.write("a", b"theirs")
    server.write("a/b", b"inside")
    mirror.edit("a", b"mine")
    mirror.run()
    copies = [name for name in server.text() if name.startswith("a (conflict host ")]
    assert len(copies) == 1
    assert server.text() == {"a": b"theirs", "a/b": b"inside", copies[0]: b"mine"}
    assert mirror.disk.text() == {"a/b": b"inside", copies[0]: b"mine"}
    assert mirror.last.report.equal is True


def test_a_local_folder_where_they_made_a_file_goes_up_and_the_file_is_listed(mirror, server):
    mirror.run()
    mirror.edit("a/b", b"inside")
    server.write("a", b"file")
    mirror.run()
    assert server.text() == {"a": b"file", "a/b": b"inside"}
    assert mirror.disk.text() == {"a/b": b"inside"}
    assert mirror.last.report.equal is True


TEXT = [f"line {number}\n" for number in range(9)]


def text_with(**changed):
    return "".join(changed.get(f"at{number}", line) for number, line in enumerate(TEXT)).encode()


def both_edit(mirror, server, theirs, mine, mode="644"):
    server.write("f.txt", text_with())
    mirror.run()
    server.write("f.txt", theirs)
    mirror.edit("f.txt", mine, mode)
    return mirror.run()


@pytest.mark.parametrize("inline", [65_536, 0])
def test_edits_of_different_lines_are_merged_and_no_copy_is_made(mirror, server, inline):
    server.inline = inline
    both_edit(mirror, server, text_with(at1="theirs\n"), text_with(at7="mine\n"), mode="755")
    assert server.text() == {"f.txt": text_with(at1="theirs\n", at7="mine\n")}
    assert mirror.disk.files[path("f.txt")][1].mode == "755"
    assert text_with(at7="mine\n") in mirror.disk.trash
    assert_equal(mirror, server)
    assert mirror.last.report.conflicts == 0


@pytest.mark.parametrize("mine", [{"at7": "mine\n"}, {"at1": "theirs\n", "at7": "mine\n"}])
def test_a_merge_is_followed_by_the_turn_that_sends_it(mirror, server, mine):
    server.write("f.txt", text_with())
    mirror.run()
    stream = mirror.last.report.stream
    server.write("f.txt", text_with(at1="theirs\n"))
    mirror.edit("f.txt", text_with(**mine))
    done = mirror.turn(batches=server.delta(stream.cursor, None))
    done = mirror.turn(**mirror.carry(done))
    if not done.parcel.pushes:  # what was placed is sent by the next turn
        assert done.report.more
        done = mirror.turn()
    assert [push.over for push in done.parcel.pushes] == [2]


def test_edits_of_the_same_line_stay_a_conflict_copy(mirror, server):
    both_edit(mirror, server, text_with(at1="theirs\n"), text_with(at1="mine\n", at7="mine\n"))
    assert server.text()["f.txt"] == text_with(at1="theirs\n")
    assert mirror.last.report.conflicts == 1
    assert_equal(mirror, server)


def test_an_edit_that_holds_theirs_already_is_only_sent(mirror, server):
    mine = text_with(at1="theirs\n", at7="mine\n")
    both_edit(mirror, server, text_with(at1="theirs\n"), mine)
    assert server.text() == {"f.txt": mine}
    assert mirror.disk.trash == []
    assert_equal(mirror, server)


def test_without_the_base_two_edits_are_a_conflict_copy(mirror, server):
    server.write("f.txt", text_with())
    mirror.run()
    base = server.nodes[path("f.txt")][1].digest
    server.write("f.txt", text_with(at1="theirs\n"))
    mirror.edit("f.txt", text_with(at7="mine\n"))
    del server.bodies[base]
    mirror.run()
    assert len(server.text()) == 2
    assert mirror.last.report.conflicts == 1
    assert_equal(mirror, server)


def test_what_is_written_while_a_merge_is_made_is_merged_too(mirror, server):
    server.write("f.txt", text_with())
    mirror.run()
    server.write("f.txt", text_with(at1="theirs\n"))
    mirror.edit("f.txt", text_with(at7="mine\n"))
    mirror.disk.before_execute.append(lambda: mirror.edit("f.txt", text_with(at4="later\n", at7="mine\n")))
    mirror.run()
    assert server.text() == {"f.txt": text_with(at1="theirs\n", at4="later\n", at7="mine\n")}
    assert_equal(mirror, server)


def test_wherever_it_dies_a_merge_loses_no_line(tmp_path):
    for steps in range(14):
        server = SimServer()
        mirror = SimMirror(tmp_path, server, name=f"m{steps}")
        server.write("f.txt", text_with())
        mirror.run()
        server.write("f.txt", text_with(at1="theirs\n"))
        mirror.edit("f.txt", text_with(at7="mine\n"))
        mirror.disk.die_in = steps
        try:
            mirror.run()
        except Died:
            mirror.kill()
        mirror.disk.die_in = None
        mirror.run()
        assert server.text() == {"f.txt": text_with(at1="theirs\n", at7="mine\n")}
        assert_equal(mirror, server)
        mirror.state.close()


def test_wherever_it_dies_a_merge_between_lines_that_repeat_makes_no_conflict_copy(tmp_path):
    """Both edits in one text are all changed against the base: it could not be merged with theirs once more."""
    between = b"same\n" * 5
    for steps in range(14):
        server = SimServer()
        mirror = SimMirror(tmp_path, server, name=f"m{steps}")
        server.write("f.txt", b"first\n" + between + b"last\n")
        mirror.run()
        server.write("f.txt", b"theirs\n" + between + b"last\n")
        mirror.edit("f.txt", b"first\n" + between + b"mine\n")
        mirror.disk.die_in = steps
        try:
            mirror.run()
        except Died:
            mirror.kill()
        mirror.disk.die_in = None
        mirror.run()
        assert server.text() == {"f.txt": b"theirs\n" + between + b"mine\n"}, f"died at step {steps}"
        assert_equal(mirror, server)
        mirror.state.close()


def test_many_merges_at_once_all_end_merged(mirror, server):
    server.inline = 0
    for number in range(700):
        server.write(f"f{number}", text_with(at4=f"{number}\n"))
    mirror.run()
    for number in range(700):
        server.write(f"f{number}", text_with(at4=f"{number}\n", at1="theirs\n"))
        mirror.edit(f"f{number}", text_with(at4=f"{number}\n", at7="mine\n"))
    mirror.run()
    assert set(server.text()) == {f"f{number}" for number in range(700)}
    assert server.text()["f699"] == text_with(at4="699\n", at1="theirs\n", at7="mine\n")
    assert_equal(mirror, server)
