"""Who a request comes from: what is remembered, and what is forgotten at once (R3)."""

import asyncio
import time
from functools import partial

import pytest

from relayfile.core.scopes import Scopes
from relayfile.errors import Forbidden, LoginRequired, NotFound, RelayfileError
from relayfile.server.bearer import Access, Bearer, presented
from relayfile.server.config import Lifetimes
from relayfile.server.grants import Grants, Issued, Refused, Wish
from relayfile.server.store import accounts, workspaces
from relayfile.wire.auth import ClientName

CLIENT = ClientName("test", "here", 1)


@pytest.fixture
def bearer(database, keys):
    return Bearer(database, keys)


@pytest.fixture
def grants(database, keys, bearer):
    return Grants(database, keys, bearer, Lifetimes(access_ttl_s=60))


@pytest.fixture
async def account(database):
    return await database.write(lambda c: accounts.create(c, "ann", "-", accounts.OWNER, time.time()))


@pytest.fixture
async def other(database):
    return await database.write(lambda c: accounts.create(c, "bob", "-", accounts.PERSON, time.time()))


@pytest.fixture
async def workspace(database, account):
    """Its id; `account` owns it."""
    return (await database.write(lambda c: workspaces.create(c, account.id, "w", time.time()))).id


@pytest.fixture
def sign_in(grants):
    async def begin(account, scopes="fs:read fs:write account:manage"):
        return await grants.begin(account, Wish(CLIENT, scopes, old_clients=False, door="test"))

    return begin


async def test_a_waiting_socket_hears_the_end_of_its_family_and_of_no_other(bearer, grants, sign_in, account):
    mine, other = await sign_in(account), await sign_in(account)
    principal = await bearer.principal(mine.access.reveal())
    waiting = asyncio.create_task(bearer.revoked(principal))
    await grants.end(other.stored.holder.id, CLIENT, account=None)
    assert not waiting.done()
    await grants.end(mine.stored.holder.id, CLIENT, account=None)
    assert await asyncio.wait_for(waiting, 1) == "revoked"
    assert await asyncio.wait_for(bearer.revoked(principal), 1) == "revoked"  # also who asks after it


async def test_a_waiting_socket_hears_the_end_of_its_workspace_and_of_no_other(bearer, database, sign_in, account):
    names = [(await database.write(partial(workspaces.create, owner=account.id, name=n, now=1.0))).id for n in "ab"]
    principal = await bearer.principal((await sign_in(account)).access.reveal())
    waiting = [asyncio.create_task(bearer.revoked(principal, name)) for name in names]
    await database.write(partial(workspaces.delete, workspace=names[0], now=2.0))
    bearer.deleted(names[0])
    assert await asyncio.wait_for(waiting[0], 1) == "workspace_deleted"
    assert await asyncio.wait_for(bearer.revoked(principal, names[0]), 1) == "workspace_deleted"
    assert not waiting[1].done()
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert not bearer._waiting  # nobody waits, nothing is kept


async def test_theft_is_heard_by_waiting_sockets_too(bearer, grants, sign_in, account):
    issued = await sign_in(account)
    principal = await bearer.principal(issued.access.reveal())
    waiting = asyncio.create_task(bearer.revoked(principal))
    token = issued.refresh.reveal()
    assert isinstance(await grants.renew(token, "a" * 32, CLIENT, "-"), Issued)
    assert isinstance(await grants.renew(token, "b" * 32, CLIENT, "-"), Refused)
    assert await asyncio.wait_for(waiting, 1) == "reuse_detected"
    with pytest.raises(LoginRequired) as refused:
        await bearer.principal(issued.access.reveal())
    assert refused.value.code == "token_revoked"


async def test_a_request_that_goes_away_does_not_stop_the_end_of_a_family_from_being_told(
    bearer, grants, sign_in, account
):
    issued = await sign_in(account)
    principal = await bearer.principal(issued.access.reveal())
    waiting = asyncio.create_task(bearer.revoked(principal))
    ending = asyncio.create_task(grants.end(issued.stored.holder.id, CLIENT, account=None))
    await asyncio.sleep(0)  # it has begun; its request is gone before the commit
    ending.cancel()
    assert await asyncio.wait_for(waiting, 5) == "revoked"


class LateReader:
    """A database whose readers answer only once they may: with what they saw before."""

    def __init__(self, database):
        self.database = database
        self.seen, self.may_answer = asyncio.Event(), asyncio.Event()

    async def read(self, query):
        answer = await self.database.read(query)
        self.seen.set()
        await self.may_answer.wait()
        return answer


async def test_a_token_checked_while_its_family_ends_is_not_remembered_as_good(
    bearer, database, grants, sign_in, account
):
    issued = await sign_in(account)
    late = bearer._database = LateReader(database)
    check = asyncio.create_task(bearer.principal(issued.access.reveal()))
    await late.seen.wait()
    await grants.revoke(issued.refresh.reveal(), CLIENT, "logged_out")
    late.may_answer.set()
    with pytest.raises(LoginRequired) as refused:
        await check
    assert refused.value.code == "token_revoked"


async def test_membership_decides_and_is_looked_at_again_when_it_changes(bearer, database, sign_in, other, workspace):
    guest = await bearer.principal((await sign_in(other)).access.reveal())
    with pytest.raises(NotFound) as unknown:
        await bearer.access(guest, workspace)
    assert unknown.value.code == "workspace_not_found"
    await database.write(lambda c: workspaces.admit(c, workspace, other.id, "viewer"))
    bearer.changed()
    access = await bearer.access(guest, workspace)
    assert access.role == "viewer"
    access.require("fs:read", "/a")
    with pytest.raises(Forbidden, match="missing required scope: fs:write"):
        access.require("fs:write", "/a")
    await database.write(lambda c: workspaces.admit(c, workspace, other.id, "editor"))
    bearer.changed()
    (await bearer.access(guest, workspace)).require("fs:write", "/a")
    await database.write(lambda c: workspaces.delete(c, workspace, time.time()))
    bearer.deleted(workspace)
    with pytest.raises(RelayfileError) as gone:
        await bearer.access(guest, workspace)
    assert (gone.value.status, gone.value.code) == (410, "workspace_deleted")


async def test_no_workspace_role_reaches_the_account_itself(bearer, sign_in, account, workspace):
    access = await bearer.access(await bearer.principal((await sign_in(account)).access.reveal()), workspace)
    assert not access.scopes.allows("account:manage", None)


async def test_a_token_without_any_scope_for_the_workspace_is_refused(bearer, sign_in, account, workspace):
    principal = await bearer.principal((await sign_in(account, "workspace:rw_other:read")).access.reveal())
    with pytest.raises(Forbidden, match="no scopes"):
        await bearer.access(principal, workspace)


def test_only_a_bearer_header_presents_a_token():
    assert presented("Bearer abc") == "abc"
    assert presented("bearer  abc ") == "abc"
    assert presented("Basic abc") is None
    assert presented("Bearer ") is None
    assert presented(None) is None


def test_requiring_a_path_asks_the_scopes_for_that_path():
    access = Access(None, "rw_1", Scopes.parse(["relayfile:fs:read:/d/**"]), "owner")
    access.require("fs:read", "/d/x")
    access.require("fs:read", None)
    with pytest.raises(Forbidden):
        access.require("fs:read", "/e")
