"""`relayfile up`: everything on this machine, in one command (R45)."""

import argparse
import time
from pathlib import Path

from relayfile.cli import connect, embedded, mirrors
from relayfile.cli.commands import pull, status
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.client import api, login
from relayfile.core.session import PROFILE_OF_UP as PROFILE
from relayfile.core.session import parked
from relayfile.errors import LoginRequired, Misconfigured, RelayfileError, UsageError
from relayfile.mirror import launch, registry
from relayfile.mirror.registry import Record
from relayfile.model import Secret
from relayfile.wire.auth import WorkspaceRow

DESCRIPTION = """\
Keep a directory equal to a workspace, with everything it takes on this machine: it starts (or finds) a server on
loopback, signs in as its owner without asking, makes a new workspace named after the directory, uploads what the
directory already holds, and ends with the status of the mirror. Nothing in the directory is overwritten or removed.

Again for the same directory: it starts what is down and changes nothing else. Without DIR: everything that `up`
started before, or else a new directory ./acme to try it with. `relayfile down` stops it all; no data is deleted."""
EXAMPLES = """\
  relayfile up ./acme
  relayfile up                       after a reboot
  relayfile up ./acme --json         ends with `status --json`"""

_FIRST = "acme"
_PROVEN_WITHIN_S = 15.0
_NAMES_TO_TRY = 1000
_NAME_LENGTH = 80
_LOOK_EVERY_S = 0.05


def arguments(parser: Parser) -> None:
    """`up [DIR]`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="what to keep equal; made if it does not exist")
    parser.add_argument(
        "--shared-login", action="store_true", help="a new mirror gets no credential of its own, as with `mount`"
    )


def run(asked: argparse.Namespace, context: Context) -> int:
    """Server, sign-in and mirror run; the status is on stdout."""
    if context.profile not in {None, PROFILE}:
        raise UsageError(
            f"`up` keeps its own sign-in, the profile {PROFILE!r}. Nothing was started.", code="bad_arguments"
        )
    ours = Context(context.home, context.output, PROFILE)
    with embedded.alone(context.home):
        wanted = _wanted(ours, asked.directory)
        for record in wanted:
            _refuse_foreign(record)
        url = _server(ours)
        with _signed_in(ours, url) as server:
            records = [
                one if isinstance(one, Record) else _new_mirror(ours, server, one, shared_login=asked.shared_login)
                for one in wanted
            ]
        for record in records:
            _start(ours, record)
    code = max((_until_proven(ours, record) for record in records), default=0)
    status.report(context, records)
    return code


def _wanted(context: Context, directory: str | None) -> list[Record | Path]:
    """The mirrors to have running; a path stands for one that does not exist yet."""
    if directory is None:
        known = [record for record in registry.all(context.home) if record.profile == PROFILE]
        return list(known) or [Path(_FIRST).absolute()]
    path = Path(directory)
    known_one = mirrors.rooted_at(context.home, path)
    return [known_one or path.absolute()]


def _refuse_foreign(record: Record | Path) -> None:
    if isinstance(record, Record) and record.profile != PROFILE:
        raise UsageError(
            f"{record.directory} is a mirror of {record.workspace_name!r} at {record.api_url}, not one of `up`. "
            "It was left as it is.",
            code="other_mirror",
            hint=f"`relayfile mount {record.directory}` starts it",
        )
    if isinstance(record, Path) and record.exists() and not record.is_dir():
        raise UsageError(f"{record} is a file, not a directory. Nothing was started.", code="not_a_directory")


def _server(context: Context) -> str:
    url, started = embedded.ensure(context.home)
    context.output.say(f"server   {'started' if started else 'running'} at {url} (data {context.home.server})")
    return url


def _signed_in(context: Context, url: str) -> connect.Signed:
    """The owner's login in the profile of `up`, tried on the server."""
    session = connect.login_of(context, PROFILE)
    state = session.state()
    if state.api_url == url and not parked(state):
        server = connect.signed_in(context, PROFILE)
        try:
            me = server.call(api.whoami())
        except LoginRequired:
            server.client.close()
        else:
            context.output.say(f"sign-in  {me.username} (profile {PROFILE})")
            return server
    # A login for another address is one of a data folder that is gone: `up` alone writes this profile.
    session.check_ready()
    signed = _as_owner(context, url)
    session.adopt(signed.grant, scope=signed.scope, replace=True)
    server = connect.signed_in(context, PROFILE)
    context.output.say(f"sign-in  {server.call(api.whoami()).username}, without a prompt (profile {PROFILE})")
    return server


def _as_owner(context: Context, url: str) -> login.SignedIn:
    """A sign-in by the file that only this user can read. It is good for one use: a used one needs a new start."""
    path = context.home.server / embedded.OWNER_SIGNIN
    try:
        return login.as_owner(url, Secret(path.read_text("ascii").strip()), profile=PROFILE)
    except (FileNotFoundError, LoginRequired):
        context.output.say("server   restarted: the way in without a prompt is made anew at each start")
    embedded.stop(context.home)
    embedded.ensure(context.home)
    return login.as_owner(url, Secret(path.read_text("ascii").strip()), profile=PROFILE)


def _new_mirror(context: Context, server: connect.Signed, directory: Path, *, shared_login: bool) -> Record:
    """A mirror of a new workspace named after the directory. It never joins one that exists (R45)."""
    _check_place(context, directory)
    made = _new_workspace(server, _name_for(directory))
    context.output.say(f"workspace {made.name}")
    there = connect.Workspace(server, made.workspace_id, made.name)
    try:
        return connect.prepare_root(there, str(directory), shared_login=shared_login)
    except RelayfileError:
        server.call(api.delete_workspace(made.workspace_id))  # made a moment ago, for nothing else, and empty
        raise


def _check_place(context: Context, directory: Path) -> None:
    """What would make the directory a bad root is said before a workspace is made for it."""
    real, home = directory.resolve(), context.home.path.resolve()
    if real == home or home in real.parents or real in home.parents:
        raise Misconfigured(
            f"{directory} holds, or lies in, {home}: its keys and logins would be uploaded. Nothing was.",
            code="holds_secrets",
            hint="choose a directory beside it, such as `relayfile up ~/acme`",
        )
    directory.mkdir(parents=True, exist_ok=True)


def _name_for(directory: Path) -> str:
    """The directory's own name, as far as it can be a workspace's."""
    shown = "".join(char for char in directory.name if char.isprintable()).strip()[:_NAME_LENGTH]
    return f"workspace {shown}" if shown.startswith("rw_") else shown or "root"


def _new_workspace(server: connect.Signed, name: str) -> WorkspaceRow:
    for number in range(1, _NAMES_TO_TRY):
        try:
            return server.call(api.create_workspace(name if number == 1 else f"{name}-{number}"))
        except UsageError as error:
            if error.code != "workspace_exists":
                raise
    raise UsageError(
        f"{_NAMES_TO_TRY} workspaces are named like {name!r}. Nothing was made.", hint="rename the directory"
    )


def _start(context: Context, record: Record) -> None:
    mirrors.readmit(context.home, record)
    if mirrors.runs(context.home, record):
        context.output.say(f"mirror   {record.directory} is running")
        return
    launch.start(context.home, record)
    context.output.say(f"mirror   {record.directory} <-> {record.workspace_name}")


def _until_proven(context: Context, record: Record) -> int:
    """0 once the trees were compared and are equal; else the exit code of what keeps them apart."""
    ended = pull.until_current(context, record)
    if ended["exit"]:
        context.output.say(f"{record.directory}: {ended['message']}")
        return ended["exit"]
    deadline = time.monotonic() + _PROVEN_WITHIN_S
    while not mirrors.fragment(context.home, record)["equal"]:
        if time.monotonic() > deadline:
            context.output.say(f"{record.directory}: current, but not yet proven equal; `relayfile status` will tell")
            return 75
        time.sleep(_LOOK_EVERY_S)
    return 0
