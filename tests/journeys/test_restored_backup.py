"""The server is put back from a backup while mirrors hold what is newer (R24): compared, not conflicted."""

import shutil

from machines import difference, files_below


def test_what_two_mirrors_hold_and_the_backup_lacks_comes_back_and_conflicts_with_nothing(server, machine, place):
    server.expected.append("this is taken for a backup that was put back")
    machine.run("workspace", "create", "w")
    one, two = place / "one", place / "two"
    for name in ("same", "edited", "deleted"):
        machine.run("write", "w", f"/{name}.txt", stdin=f"{name}\n")
    for root in (one, two):
        machine.run("mount", "w", root)
        machine.until_live(root)
    server.stop()
    backup = place / "backup"
    shutil.copytree(server.data, backup, ignore=shutil.ignore_patterns("high-water"))
    server.start()
    (one / "edited.txt").write_text("edited after the backup\n")
    (one / "new.txt").write_text("made after the backup\n")
    (one / "deleted.txt").unlink()
    machine.run("pull", one)
    machine.run("pull", two)
    newer = files_below(one)
    assert not difference(newer, files_below(two))

    server.stop()
    high_water = (server.data / "high-water").read_bytes()
    shutil.rmtree(server.data)
    shutil.copytree(backup, server.data)
    (server.data / "high-water").write_bytes(high_water)
    before = len(server.access_log())
    server.start()
    for root in (one, two):
        machine.run("pull", root)
        assert machine.until_live(root)["conflicts"] == 0

    wanted = newer | {"deleted.txt": b"deleted\n"}  # nobody deleted it, as far as this log knows
    workspace = machine.mirror(one)["workspace"]
    for held in (files_below(one), files_below(two), server.observer().tree(workspace)):
        assert not difference(held, wanted)
    fetched = [entry for entry in server.access_log()[before:] if entry["path"].endswith("/fs/blobs")]
    assert not fetched, "what lies here is not fetched again"
    said = machine.run("why", one / "edited.txt").out + machine.run("why", two / "edited.txt").out
    assert "not in the backup that was put back" in said
