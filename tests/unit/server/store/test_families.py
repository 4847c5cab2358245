"""How a family's end is told, and which families a daemon's newer credential replaces."""

import time
from dataclasses import replace
from functools import partial

import pytest

from relayfile.core.families import REUSE, Policy, begin
from relayfile.server.store import accounts, families, workspaces
from relayfile.server.store.database import Database
from relayfile.server.store.families import Ending, Holder
from relayfile.wire.auth import ClientName

POLICY = Policy(60, 900, 86_400, 864_000)
AT = 1_700_000_000.0


@pytest.fixture
def database(database_path):
    made = Database(database_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending("revoked", AT, "ann", "box7"), "it was revoked by ann from box7 (2023-11-14T22:13:20.000000Z)"),
        (Ending("not_saved"), "it could not be saved where it was made, and was given up"),
        (Ending("logged_out", AT, "ann"), "it was signed out by ann (2023-11-14T22:13:20.000000Z)"),
        (Ending("signed_out_everywhere", None, "ann", "box7"), "it was signed out everywhere by ann from box7"),
        (
            Ending(REUSE, None, None, "box9"),
            "its refresh token was used twice by different holders, the second time from box9",
        ),
        (Ending("something else"), "it has ended: something else"),
    ],
)
def test_an_ending_is_told_in_words(ending, words):
    assert ending.words() == words


def holder(identity, *, account, workspace, mirror="m", kind="daemon"):
    daemon = kind == "daemon"
    return Holder(
        identity,
        account,
        kind,
        b"sealed",
        "fs:read",
        ClientName("test", "here", 1),
        workspace=workspace if daemon else None,
        mirror=mirror if daemon else None,
        jkt="thumb" if daemon else None,
    )


async def test_a_newer_credential_replaces_the_older_ones_of_its_mirror_and_no_others(database):
    def work(connection):
        ann, bob = (accounts.create(connection, name, "-", accounts.PERSON, AT).id for name in ("ann", "bob"))
        one, two = (workspaces.create(connection, ann, name, AT).id for name in ("one", "two"))
        mine = partial(holder, account=ann, workspace=one)
        newest = mine("newest")
        rows = [
            (mine("older"), 10),
            (mine("ended"), 10),
            (mine("sign-in", kind="sign-in"), 10),
            (mine("other mirror", mirror="n"), 10),
            (replace(mine("other workspace"), workspace=two), 10),
            (replace(mine("other account"), account=bob), 10),
            (newest, 20),
            (mine("newer still"), 30),
        ]
        for each, begun_at in rows:
            families.insert(connection, each, begin(POLICY, begun_at, old_clients=False))
        assert families.end(connection, "ended", Ending("revoked", AT, "ann", "box7"))
        assert not families.end(connection, "ended", Ending("logged_out"))
        assert families.ending(connection, "ended") == Ending("revoked", AT, "ann", "box7")
        assert families.ending(connection, "never was") == Ending("unknown")
        assert families.ending(connection, "older") is None
        return families.replaced_by(connection, newest)

    assert await database.write(work) == ["older"]


async def test_who_used_a_family_last_is_kept_beside_who_began_it(database):
    def work(connection):
        ann = accounts.create(connection, "ann", "-", accounts.PERSON, time.time()).id
        one = workspaces.create(connection, ann, "one", AT).id
        made = holder("f", account=ann, workspace=one)
        families.insert(connection, made, begin(POLICY, AT, old_clients=False))
        before = families.load(connection, "f")
        families.used(connection, "f", ClientName("other", None, 2))
        return made, before, families.load(connection, "f")

    made, before, after = await database.write(work)
    assert (before.holder, before.last) == (made, None)
    assert (after.holder, after.last) == (made, ClientName("other", None, 2))
