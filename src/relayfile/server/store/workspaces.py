"""Rows of workspaces and memberships. Every function works inside the caller's transaction."""

import secrets
from dataclasses import dataclass

import apsw

from relayfile.server.store.feed import begin_log


@dataclass(frozen=True, slots=True)
class Workspace:
    """One workspace as one of its members sees it."""

    id: str
    name: str
    role: str
    created_at: float


def create(connection: apsw.Connection, owner: str, name: str, now: float) -> Workspace | None:
    """A new workspace with an empty log, `owner` its first member; None when they have a living one of that name."""
    taken = "SELECT 1 FROM workspace WHERE owner = ? AND name = ? AND deleted_at IS NULL"
    workspace = "rw_" + secrets.token_hex(8)
    if connection.execute(taken, (owner, name or workspace)).fetchone():
        return None
    connection.execute(
        "INSERT INTO workspace (id, name, owner, created_at) VALUES (?, ?, ?, ?)",
        (workspace, name or workspace, owner, now),
    )
    connection.execute("INSERT INTO membership (workspace, account, role) VALUES (?, ?, 'owner')", (workspace, owner))
    begin_log(connection, workspace)
    return Workspace(workspace, name or workspace, "owner", now)


def of_member(connection: apsw.Connection, account: str) -> list[Workspace]:
    """The living workspaces this account is a member of, by name."""
    rows = connection.execute(
        "SELECT w.id, w.name, m.role, w.created_at FROM membership m JOIN workspace w ON w.id = m.workspace "
        "WHERE m.account = ? AND w.deleted_at IS NULL ORDER BY w.name, w.id",
        (account,),
    )
    return [Workspace(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands to a workspace that it is, or was, a member of."""

    workspace: Workspace
    deleted: bool


def standing(connection: apsw.Connection, account: str, workspace: str) -> Standing | None:
    """This account's place in this workspace; None when there is none, or no such workspace."""
    row = connection.execute(
        "SELECT w.id, w.name, m.role, w.created_at, w.deleted_at IS NOT NULL "
        "FROM membership m JOIN workspace w ON w.id = m.workspace WHERE m.account = ? AND w.id = ?",
        (account, workspace),
    ).fetchone()
    return Standing(Workspace(*row[:4]), bool(row[4])) if row else None


def admit(connection: apsw.Connection, workspace: str, account: str, role: str) -> None:
    """The account is a member of the workspace in this role, whatever it was before."""
    connection.execute(
        "INSERT INTO membership (workspace, account, role) VALUES (?, ?, ?) "
        "ON CONFLICT (workspace, account) DO UPDATE SET role = excluded.role",
        (workspace, account, role),
    )


def delete(connection: apsw.Connection, workspace: str, now: float) -> None:
    """The workspace is gone for its members; its id stays taken."""
    connection.execute("UPDATE workspace SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL", (now, workspace))
