"""Which directories may be roots, which mirror a directory is, and who holds it (R33)."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from relayfile.credentials.home import Home, mark_secrets
from relayfile.errors import LeaseHeld, Misconfigured, UsageError
from relayfile.mirror import lease, registry, root
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.lease import Lease

ACME = {"workspace": "rw_1", "workspace_name": "acme", "api_url": "http://one", "profile": "default"}
OTHER = {**ACME, "workspace": "rw_2", "workspace_name": "other"}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "work" / "acme"


def test_a_missing_directory_is_made_and_repeating_changes_nothing(home, directory):
    first = root.prepare(home, directory, **ACME)
    assert directory.is_dir()
    assert root.prepare(home, directory, **ACME) == first
    assert registry.all(home) == [first]
    assert registry.find(home, directory / "sub" / "deeper") == first
    assert (home.mirror(first.id) / "mirror.json").stat().st_mode & 0o777 == 0o600


def test_the_private_folder_is_closed_but_for_the_state_file(home, directory):
    root.prepare(home, directory, **ACME)
    private = directory / ".relay"
    assert {name: (private / name).stat().st_mode & 0o777 for name in ("stage", "trash", "id", "lock")} == {
        "stage": 0o700,
        "trash": 0o700,
        "id": 0o600,
        "lock": 0o600,
    }


@pytest.mark.parametrize("below", ["", "inside"])
def test_a_file_in_the_way_is_refused(home, tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="not a directory"):
        root.prepare(home, tmp_path / "file" / below, **ACME)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("where", ["home", "home/inner", ".", "link"])
def test_places_of_secrets_are_refused_from_every_side_and_stay_as_they_were(home, tmp_path, where):
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    with pytest.raises(Misconfigured, match="sign-ins or keys"):
        root.prepare(home, tmp_path / where, **ACME)
    assert not list((tmp_path / "home").iterdir())


@pytest.mark.parametrize("where", ["srv/keys", "srv/keys/inner", "srv", "."])
def test_a_folder_that_says_that_it_holds_secrets_is_refused_from_every_side(home, tmp_path, where):
    around = tmp_path / "around"
    (around / "srv" / "keys").mkdir(parents=True)
    mark_secrets(around / "srv" / "keys")
    with pytest.raises(Misconfigured, match=r"srv/keys holds sign-ins or keys"):
        root.prepare(home, around / where, **ACME)
    assert not (around / where / ".relay").exists()


def test_a_mirror_around_that_of_another_home_is_refused(home, directory, tmp_path):
    root.prepare(Home(tmp_path / "second"), directory / "deep" / "er", **ACME)
    with pytest.raises(Misconfigured, match="around the mirror") as refused:
        root.prepare(home, directory, **ACME)
    assert str(directory / "deep" / "er" / ".relay") in refused.value.hint
    assert not (directory / ".relay").exists()


@pytest.mark.parametrize("where", ["sub", ".."])
def test_a_mirror_inside_or_around_another_is_refused(home, directory, where):
    root.prepare(home, directory, **ACME)
    with pytest.raises(Misconfigured, match=str(directory)):
        root.prepare(home, directory / where, **OTHER)


def test_a_mirror_inside_that_of_another_home_is_refused(home, directory, tmp_path):
    root.prepare(home, directory, **ACME)
    with pytest.raises(Misconfigured, match="inside the mirror"):
        root.prepare(Home(tmp_path / "second"), directory / "sub", **ACME)


def test_another_workspace_needs_a_word_of_its_own_and_then_gets_a_new_identity(home, directory):
    first = root.prepare(home, directory, **ACME)
    with pytest.raises(Misconfigured, match="acme"):
        root.prepare(home, directory, **OTHER)
    second = root.prepare(home, directory, **OTHER, new=True)
    assert second.id != first.id
    assert registry.all(home) == [second]
    assert json.loads((directory / ".relay" / "id").read_text()) == {"id": second.id}


def test_a_copy_of_a_root_is_a_new_mirror_and_the_old_one_stays(home, directory, tmp_path):
    first = root.prepare(home, directory, **ACME)
    shutil.copytree(directory, tmp_path / "copy")
    second = root.prepare(home, tmp_path / "copy", **ACME)
    assert second.id != first.id
    assert [record.id for record in registry.all(home) if record.directory == str(directory)] == [first.id]
    assert root.prepare(home, directory, **ACME) == first


@pytest.mark.parametrize("moved", [True, False])
def test_a_root_that_was_moved_to_another_inode_keeps_its_identity_only_when_told(home, directory, tmp_path, moved):
    first = root.prepare(home, directory, **ACME)
    shutil.copytree(directory, tmp_path / "there")
    shutil.rmtree(directory)
    second = root.prepare(home, tmp_path / "there", **ACME, moved=moved)
    assert (second.id == first.id) is moved
    if moved:
        assert (second.first_dev, second.first_ino) == (first.root_dev, first.root_ino), "its state still knows it"


def test_a_root_that_was_only_renamed_is_the_same(home, directory, tmp_path):
    first = root.prepare(home, directory, **ACME)
    directory.rename(tmp_path / "renamed")
    second = root.prepare(home, tmp_path / "renamed", **ACME)
    assert second.id == first.id
    assert second.directory == str(tmp_path / "renamed")
    assert registry.all(home) == [second]


def test_a_root_that_was_moved_is_found_by_its_mark_and_the_next_start_keeps_the_place(home, directory, tmp_path):
    first = root.prepare(home, directory, **ACME)
    (directory / "sub").mkdir()
    moved = tmp_path / "moved"
    directory.rename(moved)
    root.prepare(home, directory, **OTHER)  # another mirror takes the old name
    there = registry.find(home, moved / "sub")
    assert there == replace(first, directory=str(moved))
    assert registry.find(home, directory).workspace == OTHER["workspace"]
    root.settle(home, there)
    assert registry.load(home, first.id) == there
    assert registry.find(home, moved) == there


def test_a_copy_of_a_root_is_not_found_as_the_mirror_that_it_is_a_copy_of(home, directory, tmp_path):
    root.prepare(home, directory, **ACME)
    shutil.copytree(directory, tmp_path / "copy")
    assert registry.find(home, tmp_path / "copy") is None
    shutil.rmtree(directory)
    assert registry.find(home, tmp_path / "copy") is None, "only `--moved` says that it takes its place"


def test_a_root_that_was_moved_to_where_none_may_be_is_not_settled(home, directory, tmp_path):
    first = root.prepare(home, directory, **ACME)
    outer = root.prepare(home, tmp_path / "outer", **OTHER)
    inner = tmp_path / "outer" / "inner"
    directory.rename(inner)
    with pytest.raises(Misconfigured) as refused:
        root.settle(home, registry.find(home, inner))
    assert refused.value.code == "nested_mirror"
    assert registry.load(home, first.id) == first
    assert registry.find(home, tmp_path / "outer") == outer


@pytest.mark.parametrize("mark", ["", "[]", '{"id": 7}', '{"id": "../x"}', "fifo", "link"])
def test_a_mark_that_is_not_ours_is_of_no_mirror(home, directory, tmp_path, mark):
    root.prepare(home, directory, **ACME)
    (tmp_path / "other" / ".relay").mkdir(parents=True)
    at = tmp_path / "other" / ".relay" / "id"
    if mark == "fifo":
        os.mkfifo(at)
    elif mark == "link":
        at.symlink_to(directory / ".relay" / "id")
    else:
        at.write_text(mark)
    assert registry.find(home, tmp_path / "other") is None


def test_a_private_folder_that_leads_elsewhere_is_refused(home, directory, tmp_path):
    directory.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (directory / ".relay").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misconfigured) as refused:
        root.prepare(home, directory, **ACME)
    assert "ordinary folder" in refused.value.hint
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_daemon_refuses_a_root_that_is_not_the_one_that_was_mounted(home, directory):
    record = root.prepare(home, directory, **ACME)
    with Beneath(str(directory)) as beneath:
        root.verify(beneath, record)
        (directory / ".relay" / "id").unlink()
        root.verify(beneath, record)
        assert root.identity(beneath) == record.id, "a mark that a clean-up removed is there again"
    directory.rename(directory.with_name("old"))
    directory.mkdir()
    with Beneath(str(directory)) as beneath, pytest.raises(Misconfigured, match="not the directory"):
        root.verify(beneath, record)


def test_a_mirror_of_another_home_is_not_taken_over_while_its_daemon_lives(home, directory, tmp_path):
    record = root.prepare(home, directory, **ACME)
    with Beneath(str(directory)) as beneath, Lease(beneath.root, beneath.private, str(directory)):
        with pytest.raises(LeaseHeld, match=str(os.getpid())) as held:
            root.prepare(Home(tmp_path / "second"), directory, **ACME)
        assert held.value.pid == os.getpid()
        assert root.identity(beneath) == record.id


HOLDER = """
import sys, time
from relayfile.mirror.beneath import Beneath
from relayfile.mirror.lease import Lease
with Beneath(sys.argv[1]) as beneath, Lease(beneath.root, beneath.private, sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lease_dies_with_its_holder_even_by_kill(tmp_path):
    (tmp_path / "r").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "r")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    with Beneath(str(tmp_path / "r")) as beneath:
        assert lease.held_by(beneath.root, beneath.private) == process.pid
        with pytest.raises(LeaseHeld), Lease(beneath.root, beneath.private, "r"):
            pass
        process.kill()
        process.communicate()
        assert lease.held_by(beneath.root, beneath.private) is None
        with Lease(beneath.root, beneath.private, "r") as mine:
            assert mine.held()


def test_where_folders_cannot_be_locked_the_file_is_and_its_loss_is_noticed(tmp_path, monkeypatch):
    import fcntl

    (tmp_path / "r").mkdir()
    real = fcntl.flock
    with Beneath(str(tmp_path / "r")) as beneath:

        def refusing(descriptor, operation):
            if descriptor == beneath.root:
                raise OSError(22, "Invalid argument")
            real(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", refusing)
        with Lease(beneath.root, beneath.private, "r") as mine:
            assert mine.held()
            with pytest.raises(LeaseHeld), Lease(beneath.root, beneath.private, "r"):
                pass
            (tmp_path / "r" / ".relay" / "lock").unlink()
            assert not mine.held()
