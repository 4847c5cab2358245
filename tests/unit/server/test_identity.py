"""The start of the identity side: keys, the first owner, and what the operator is told (R12, R45)."""

import stat
from dataclasses import replace

import pytest

from relayfile.errors import Misconfigured
from relayfile.server.accounts import Accounts
from relayfile.server.config import Lifetimes, Owner
from relayfile.server.identity import Identity


def accounts_of(database):
    return [row[0] for row in database.read_now(lambda c: c.execute("SELECT username FROM account").fetchall())]


def test_the_first_start_makes_an_owner_and_private_keys_and_says_how_to_sign_in(database, settings):
    identity = Identity.open(database, replace(settings, keys=settings.data / "new" / "keys"))
    assert "run `relayfile login http://127.0.0.1:8080` and sign in as 'owner'" in identity.welcome
    files = [*(settings.data / "new" / "keys").iterdir(), settings.data / "owner-signin"]
    assert len(files) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((settings.data / "new" / "keys").stat().st_mode) == 0o700


def test_later_starts_keep_the_owner_and_say_that_the_settings_are_ignored(database, settings):
    Identity.open(database, settings)
    again = Identity.open(database, replace(settings, owner=Owner("Eve", settings.data / "password")))
    assert "ignored" in again.welcome
    assert accounts_of(database) == ["owner"]
    assert Identity.open(database, replace(settings, owner=Owner())).welcome is None


def test_without_a_password_one_is_made_that_only_its_file_tells(database, settings):
    identity = Identity.open(database, replace(settings, owner=Owner("Ann")))
    file = settings.data / "owner-password"
    assert str(file) in identity.welcome
    assert file.read_text().strip() not in identity.welcome
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def absent(file):
    file.unlink()


def folder(file):
    file.unlink()
    file.mkdir()


def holding(content):
    return lambda file: file.write_bytes(content)


NO_PASSWORDS = [b"", b"\n", b"\nsecond", b"\x7fELF\x02\x01", b"\xff\xfe\x00p", b"a\x00b", b"x" * 1_025, b"a\tb"]


@pytest.mark.parametrize("spoil", [absent, folder, *map(holding, NO_PASSWORDS)])
def test_a_password_file_that_gives_none_stops_the_start_and_makes_no_account(database, settings, spoil):
    file = settings.data / "password"
    spoil(file)
    with pytest.raises(Misconfigured) as refused:
        Identity.open(database, settings)
    said = refused.value.message
    assert str(file) in said
    assert "no account was created" in said.lower()
    assert not any(word in said for word in ("Errno", "codec", "\\x"))
    assert "first line" in refused.value.hint
    assert accounts_of(database) == []


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nand a second line\n"])
async def test_the_password_is_the_first_line_of_its_file(database, settings, ending):
    (settings.data / "password").write_bytes(b"a p\xc3\xa4ss word" + ending.encode())
    Identity.open(database, settings)
    assert (await Accounts(database).authenticate("owner", "a päss word", "here")).username == "owner"


@pytest.mark.parametrize("name", ["signing.pem", "wrap.key", "cookie.key", "nonce.key"])
def test_a_lost_or_foreign_key_stops_the_start(database, settings, name):
    Identity.open(database, settings)
    key = settings.data / "keys" / name
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(Misconfigured):
        Identity.open(database, settings)
    key.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(Misconfigured, match="not the key this database was written with"):
        Identity.open(database, settings)
    key.write_bytes(kept)
    Identity.open(database, settings)


def test_keys_that_others_may_read_are_mended(database, settings):
    Identity.open(database, settings)
    key = settings.data / "keys" / "wrap.key"
    key.chmod(0o644)
    Identity.open(database, settings)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_an_overlap_longer_than_an_access_lifetime_is_warned_of(database, settings):
    long = replace(settings, lifetimes=Lifetimes(access_ttl_s=30, refresh_overlap_s=60))
    assert "overlap" in Identity.open(database, long).welcome


def test_a_restore_is_remembered_over_later_starts(database, settings):
    Identity.open(database, settings, restored=True)
    Identity.open(database, settings)
    assert len(database.read_now(lambda c: c.execute("SELECT at FROM restored").fetchall())) == 1


async def test_the_owners_word_is_void_after_the_end(database, settings):
    identity = Identity.open(database, settings)
    await identity.close()
    assert not (settings.data / "owner-signin").exists()
