"""`relayfile workspace create|list|use|current|delete`."""

import argparse
import sys

from relayfile.cli import connect
from relayfile.cli.context import Context
from relayfile.cli.main import Parser, inner
from relayfile.client import api
from relayfile.credentials import profiles
from relayfile.errors import NotFound, UsageError

DESCRIPTION = """\
Workspaces of mine: each is one tree of files with one log of changes. Names are unique among those I own; commands
take a name or an id."""
EXAMPLES = """\
  relayfile workspace create acme
  relayfile workspace list --json          [{"workspaceId":…,"name":…,"current":…}]
  relayfile workspace use acme             `tree`, `read` and the like then need no name
  relayfile workspace delete acme          asks first; mirrors keep their files"""


def arguments(parser: Parser) -> None:
    """`workspace create|list|use|current|delete`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="create|list|use|current|delete")
    create = inner(verbs, "create", "a new, empty workspace", "workspace create plans")
    create.add_argument("name", metavar="NAME")
    inner(verbs, "list", "the workspaces I am a member of", "workspace list --json")
    use = inner(verbs, "use", "choose the workspace that is meant where a command names none", "workspace use plans")
    use.add_argument("name", metavar="WORKSPACE")
    inner(verbs, "current", "the workspace that is meant where a command names none", "workspace current")
    delete = inner(
        verbs,
        "delete",
        "delete a workspace for everybody, with all its files on the server",
        "workspace delete plans --yes",
    )
    delete.add_argument("name", metavar="WORKSPACE")
    delete.add_argument("--yes", action="store_true", help="do not ask")


def run(asked: argparse.Namespace, context: Context) -> int:
    """What was asked for is done."""
    {"create": _create, "list": _list, "use": _use, "current": _current, "delete": _delete}[asked.verb](
        asked, context
    )
    return 0


def _create(asked: argparse.Namespace, context: Context) -> None:
    if not asked.name.strip():
        raise UsageError(
            "a workspace needs a name. Nothing was made.",
            code="invalid_name",
            hint="such as `relayfile workspace create plans`",
        )
    with connect.signed_in(context) as server:
        made = server.call(api.create_workspace(asked.name))
    context.output.say(
        f"workspace {made.name!r} created ({made.workspace_id}); `relayfile mount {made.name} DIR` mirrors it"
    )
    context.output.data({"workspaceId": made.workspace_id, "name": made.name, "current": False}, "")


def _list(asked: argparse.Namespace, context: Context) -> None:
    del asked
    with connect.signed_in(context) as server:
        mine = server.call(api.workspaces())
    kept = connect.chosen(context.home, server.profile, server.api_url)
    current = kept and kept.workspaceId
    fields = [
        {
            "workspaceId": one.workspace_id,
            "name": one.name,
            "current": one.workspace_id == current,
            "role": one.role,
            "createdAt": one.created_at,
        }
        for one in mine
    ]
    rows = [("*" * (one.workspace_id == current), one.name, one.workspace_id, one.role) for one in mine]
    context.output.table(fields, ("", "NAME", "ID", "ROLE"), rows)
    if not mine:
        context.output.say("no workspace yet: `relayfile workspace create NAME`")


def _use(asked: argparse.Namespace, context: Context) -> None:
    with connect.to_workspace(context, asked.name) as there:
        server = there.server
    connect.choose(context.home, server.profile, connect.Chosen(there.id, there.name, server.api_url))
    which = "" if server.profile == profiles.choose(context.home) else f" with --profile {server.profile}"
    context.output.say(f"commands{which} that name no workspace mean {there.name!r} from now on")
    context.output.data({"workspaceId": there.id, "name": there.name, "current": True}, "")


def _current(asked: argparse.Namespace, context: Context) -> None:
    del asked
    with connect.signed_in(context) as server:
        kept = connect.chosen(context.home, server.profile, server.api_url)
    if kept is None:
        raise NotFound(
            "no workspace is chosen.", code="no_current_workspace", hint="`relayfile workspace use NAME` chooses one"
        )
    context.output.data({"workspaceId": kept.workspaceId, "name": kept.name, "current": True}, f"{kept.name}\n")


def _delete(asked: argparse.Namespace, context: Context) -> None:
    with connect.to_workspace(context, asked.name) as there:
        if not asked.yes:
            _confirm(context, there)
        there.call(api.delete_workspace(there.id))
        server = there.server
    kept = connect.chosen(context.home, server.profile, server.api_url)
    if kept and kept.workspaceId == there.id:
        connect.choose(context.home, server.profile, None)
    context.output.say(f"workspace {there.name!r} ({there.id}) deleted. Mirrors of it stop and keep their files")
    context.output.data({"workspaceId": there.id, "name": there.name}, "")


def _confirm(context: Context, there: connect.Workspace) -> None:
    if sys.stdin.isatty():
        context.output.ask(
            f"This deletes {there.name!r} at {there.server.api_url} for everybody. Type its name to go on:"
        )
        if sys.stdin.readline().strip() == there.name:
            return
    raise UsageError(f"{there.name!r} was not deleted.", code="unsure", hint="type its name when asked, or add --yes")
