"""Every bad credential file of the issue: a clear error or a mended file, nothing lost (4-sessions T11 to T15)."""

import json
import os
import subprocess
import sys

import pytest

import logins
from fake_authority import Authority
from relayfile.credentials.home import SECRETS_MARK
from relayfile.errors import LoginRequired, Misconfigured


@pytest.fixture
def authority():
    with Authority() as running:
        yield running


@pytest.fixture
def path(place):
    return place / "home" / "cloud-credentials.json"


BAD = [
    b"",
    b"   \n",
    b"{",
    b'{"accessToken": "a", "refre',
    b"\x00" * 300,
    b"\xff\xfe{}",
    b"[1, 2]",
    b"null",
    b'{"accessToken": 5, "apiUrl": "http://s"}',
    b'{"accessToken": "", "apiUrl": "http://s"}',
    b'{"accessToken": "a"}',
]


@pytest.mark.parametrize("raw", BAD, ids=range(len(BAD)))
def test_a_file_that_is_none_is_never_presented_and_is_mended_from_the_history(authority, path, raw):
    said = []
    logins.signed_in(path, authority.grant())
    path.write_bytes(raw)
    mine = logins.session(path, notice=said.append)
    assert mine.token().reveal().startswith("cld_at_")
    assert not authority.presented
    assert json.loads(path.read_bytes())["generation"] == 1
    assert any("put back" in line for line in said)
    if raw.strip():
        assert path.with_suffix(".damaged").read_bytes() == raw


@pytest.mark.parametrize("raw", BAD[:4], ids=range(4))
def test_a_file_that_is_none_and_has_no_history_is_an_error_that_leaves_it_as_it_is(path, raw):
    path.parent.mkdir()
    path.write_bytes(raw)
    path.chmod(0o600)
    mine = logins.session(path)
    with pytest.raises(Misconfigured) as caught:
        mine.token()
    assert caught.value.code == "credentials_damaged"
    assert str(path) in caught.value.message
    assert "login" in caught.value.hint
    assert path.read_bytes() == raw
    assert mine.state().phase == "config-error"


def test_truncated_at_each_byte_it_is_either_whole_or_mended(authority, path):
    logins.signed_in(path, authority.grant())
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        assert logins.session(path, notice=lambda _: None).token()
    assert not authority.presented


def test_a_login_replaces_a_damaged_file_and_keeps_its_bytes(authority, path):
    path.parent.mkdir()
    path.write_bytes(b"{half")
    path.chmod(0o600)
    logins.signed_in(path, authority.grant())
    assert path.with_suffix(".damaged").read_bytes() == b"{half"
    assert logins.session(path).token()


def test_a_newer_schema_is_neither_used_nor_touched(authority, path):
    logins.signed_in(path, authority.grant(expires_in_s=0))
    raw = json.dumps({**json.loads(path.read_bytes()), "schemaVersion": 3}).encode()
    path.write_bytes(raw)
    mine = logins.session(path)
    for act in (mine.token, lambda: mine.adopt(authority.grant()), mine.logout):
        with pytest.raises(Misconfigured) as caught:
            act()
        assert caught.value.code == "credentials_newer"
        assert caught.value.hint == "upgrade relayfile"
    assert path.read_bytes() == raw
    assert not authority.presented


def test_a_symbolic_link_stays_one_and_what_it_names_is_renewed(authority, place, path):
    target = place / "elsewhere" / "real.json"
    target.parent.mkdir()
    path.parent.mkdir()
    path.symlink_to(target)
    logins.signed_in(path, authority.grant(expires_in_s=0))
    logins.session(path).token()
    assert path.is_symlink()
    assert json.loads(target.read_bytes())["generation"] == 2
    assert (target.parent / "real.lock").exists(), "both names must meet at one lock"
    assert not (path.parent / "cloud-credentials.lock").exists()


def test_a_loop_of_links_is_a_clear_error(path):
    path.parent.mkdir()
    path.symlink_to(path)
    with pytest.raises(Misconfigured, match="cannot be read"):
        logins.session(path).token()


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(parents=True), lambda path: (path.parent.mkdir(), os.mkfifo(path))]
)
def test_what_is_no_regular_file_is_a_clear_error(path, make):
    make(path)
    with pytest.raises(Misconfigured, match=r"regular file|directory"):
        logins.session(path).token()


def test_a_world_readable_file_is_mended_with_one_notice(authority, path):
    said = []
    logins.signed_in(path, authority.grant())
    path.chmod(0o644)
    mine = logins.session(path, notice=said.append)
    assert mine.token()
    assert mine.token()
    assert path.stat().st_mode & 0o777 == 0o600
    assert said == [f"{path} could be read by others; its mode is 0600 now"]


def test_every_file_of_a_login_is_private_and_its_folder_too(authority, path):
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    mine.token()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()} == {
        "cloud-credentials.json": 0o600,
        "cloud-credentials.lock": 0o600,
        "cloud-credentials.history": 0o600,
        SECRETS_MARK: 0o600,
    }


def as_nobody(script, path):
    """What another user of this machine meets."""
    begin = f"import os, sys; sys.path[:0] = {sys.path!r}; path = {str(path)!r}"
    text = f"{begin}\nimport logins\nos.setuid(65534)\n{script}"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)


ASK = """
try:
    logins.session(path).token()
except Exception as error:
    print(type(error).__name__, error.code, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_unreadable_file_and_a_file_of_another_user_are_clear_errors(authority, place, path):
    logins.signed_in(path, authority.grant())
    place.chmod(0o755)
    path.parent.chmod(0o755)
    unreadable = as_nobody(ASK, path)
    assert "Misconfigured credentials_unusable" in unreadable.stdout, unreadable
    assert "Permission denied" in unreadable.stdout
    path.chmod(0o644)
    foreign = as_nobody(ASK, path)
    assert "belongs to user 0" in foreign.stdout, foreign


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_in_a_folder_that_cannot_be_written_the_token_is_used_until_it_ends_and_nothing_is_presented(
    authority, place, path
):
    logins.signed_in(path, authority.grant(expires_in_s=2))
    place.chmod(0o755)
    path.parent.chmod(0o555)
    os.chown(path, 65534, 65534)
    script = """
import time
mine = logins.session(path)
print("token" if mine.token() else "")
while mine.current() is not None:
    time.sleep(0.05)
"""
    found = as_nobody(script + ASK, path)
    assert found.stdout.startswith("token"), found
    assert "Misconfigured no_lock" in found.stdout
    assert not authority.presented


FULL = """
import resource, sys
sys.path[:0] = {paths!r}
import logins
path, limit = {path!r}, {limit}
mine = logins.session(path)
def fill(point):
    if point == {point!r}:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
mine = logins.session(path, reach=fill, notice=print, stash={stash!r})
try:
    print(mine.token().reveal())
except Exception as error:
    print(type(error).__name__, error.code, error)
"""


def on_a_full_disk(path, point, limit, stash=()):
    """A renewal whose writes fail, beyond `limit` bytes of a file, from `point` on."""
    text = FULL.format(paths=sys.path, path=str(path), point=point, limit=limit, stash=[*map(str, stash)])
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)


def test_a_disk_that_is_full_before_the_request_stops_it(authority, path):
    logins.signed_in(path, authority.grant(expires_in_s=0))
    before = path.read_bytes()
    found = on_a_full_disk(path, "FP3 read again", 64)
    assert "Misconfigured credentials_unwritable" in found.stdout, found
    assert path.read_bytes() == before
    assert not authority.presented
    assert logins.session(path).token()


def test_a_disk_that_fills_up_after_the_request_leaves_the_old_file_whole_and_the_successor_is_not_lost(
    authority, path
):
    logins.signed_in(path, authority.grant(expires_in_s=0))
    before = path.read_bytes()
    found = on_a_full_disk(path, "FP8 answer read", 64)
    assert "Misconfigured credentials_unwritable" in found.stdout, found
    assert "cld_at_" not in found.stdout, "a pair that is not durable is not used (I3)"
    assert path.read_bytes() == before
    assert logins.session(path).token().reveal().split(".")[1] == "2"
    assert authority.outcomes() == {"rotated": 1, "replayed": 1}


def test_a_successor_is_stashed_elsewhere_when_its_place_refuses_it_and_found_by_the_next_process(
    authority, place, path
):
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    refuse = path.parent / "cloud-credentials.history.tmp"
    said = []

    def block(point):
        if point == "FP8 answer read":
            for name in ("history", "json", "stash"):
                blocker = path.parent / f"cloud-credentials.{name}.tmp"
                blocker.mkdir(exist_ok=True)
                (blocker / "x").touch()

    blocked = logins.session(path, reach=block, stash=(place / "state",), notice=said.append)
    token = blocked.token()
    assert token.reveal().split(".")[1] == "2"
    assert any("stashed" in line for line in said)
    assert mine.state().generation == 1
    again = logins.session(path, stash=(place / "state",))
    assert again.token() == token, "a stash is used while the file still cannot be written"
    for name in ("history", "json", "stash"):
        blocker = path.parent / f"cloud-credentials.{name}.tmp"
        (blocker / "x").unlink()
        blocker.rmdir()
    after = logins.session(path, stash=(place / "state",))
    assert after.token() == token
    assert after.state().generation == 2
    assert authority.outcomes() == {"rotated": 1}
    assert [left.name for left in (place / "state").iterdir()] == [SECRETS_MARK]
    assert not refuse.exists()


def test_a_file_without_a_login_keeps_what_other_programs_put_there(authority, path):
    path.parent.mkdir()
    path.write_text('{"theirs": {"x": 1}}')
    path.chmod(0o600)
    with pytest.raises(LoginRequired):
        logins.session(path).token()
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    mine.token()
    assert json.loads(path.read_bytes())["theirs"] == {"x": 1}
    mine.logout()
    assert json.loads(path.read_bytes()) == {"theirs": {"x": 1}}
    with pytest.raises(LoginRequired):
        mine.token()


def test_a_verdict_file_that_cannot_be_read_stops_every_presentation_until_the_next_login(authority, path):
    logins.signed_in(path, authority.grant(expires_in_s=0))
    (path.parent / "cloud-credentials.verdict").write_bytes(b"{")
    with pytest.raises(Misconfigured, match="no token is presented"):
        logins.session(path).token()
    assert not authority.presented
    logins.session(path).adopt(authority.grant())
    assert logins.session(path).token()


def test_a_file_system_without_locks_never_renews(authority, path, monkeypatch):
    mine = logins.signed_in(path, authority.grant(expires_in_s=0))
    monkeypatch.setattr("relayfile.credentials.lock.fcntl.flock", lambda *_: None)
    with pytest.raises(Misconfigured) as caught:
        mine.token()
    assert caught.value.code == "no_lock"
    assert "RELAYFILE_HOME" in caught.value.hint
    assert not authority.presented
