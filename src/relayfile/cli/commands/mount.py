"""`relayfile mount` (`start`), and the entry of the daemon itself."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.core.sizes import bytes_of, rates_of
from relayfile.credentials.machine import MachineToken
from relayfile.errors import LeaseHeld, Misconfigured, UsageError
from relayfile.mirror.registry import Record

_TOKEN = "token"  # noqa: S105 - the name of a file

DESCRIPTION = """\
Keep a directory equal to a workspace, in the background. It returns when the daemon runs and has seen the whole
workspace once; `relayfile pull` then waits until every byte is here.

What the directory already holds is never overwritten: equal files are adopted, files only here are uploaded, files
that differ are kept beside the workspace's as conflict copies. A directory that does not exist is made.
With one argument, or none, it starts a stopped mirror again: the one at DIR, or the only one.
With --read-only it only follows: local edits are kept, listed and never sent; --no-read-only sends them.
With --once no daemon stays: it exits 0 when both sides were proven equal, and else as `pull` would.
With a machine token (--token-file, RELAYFILE_TOKEN) the mirror lives on that, also after a restart; another token in
the file wakes it when the first one has ended."""
EXAMPLES = """\
  relayfile mount acme ~/work/acme
  relayfile start ~/work/acme              again, after a stop or a reboot
  relayfile mount acme ./acme --once       in CI: bring both sides together, and end
  relayfile mount ~/work/acme --bandwidth 500k/2M
                                           from now on, up and down; 0 lifts it
  relayfile mount acme ~/work/acme --foreground
                                           under a supervisor (systemd: RestartPreventExitStatus=4 77 78)"""


def arguments(parser: Parser) -> None:
    """`mount [WORKSPACE] [DIR]`."""
    parser.add_argument("names", nargs="*", metavar="WORKSPACE DIR", help="a workspace's name or id, and a directory")
    life = parser.add_mutually_exclusive_group()
    life.add_argument("--foreground", action="store_true", help="stay attached until SIGTERM or Ctrl-C")
    life.add_argument("--once", action="store_true", help="bring both sides together once, and leave no daemon")
    parser.add_argument(
        "--timeout", metavar="TIME", help="with --once: at most so long, as 30s or 10m; default a day"
    )
    parser.add_argument(
        "--shared-login",
        action=argparse.BooleanOptionalAction,
        help="renew through the shared sign-in in place of a credential of the mirror's own; remembered",
    )
    parser.add_argument(
        "--read-only",
        action=argparse.BooleanOptionalAction,
        help="never send anything: local edits are kept and listed; remembered",
    )
    parser.add_argument(
        "--bandwidth",
        metavar="RATE",
        help="at most so many bytes of contents a second, as 2M, or 500k/2M for up and down; 0 lifts it; remembered",
    )
    parser.add_argument(
        "--keep-trash", metavar="TIME", help="what is taken off this disk is kept so long, as 12h or 30d; remembered"
    )
    parser.add_argument(
        "--trash-size", metavar="SIZE", help="and not more of it than this, as 500M or 20G; remembered"
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--new",
        action="store_true",
        help="DIR was the mirror of another workspace or server: begin anew, keep its files",
    )
    place.add_argument("--moved", action="store_true", help="DIR is a mirror that was moved here from another place")
    # How `mirror/launch` starts the daemon. Not for people.
    parser.add_argument("--mirror", metavar="ID", help=argparse.SUPPRESS)
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)


def run(asked: argparse.Namespace, context: Context) -> int:
    """A daemon keeps the mirror; in the foreground: it has ended."""
    from relayfile.mirror import launch, registry, root

    if asked.mirror:
        from relayfile.mirror.daemon import run as keep

        try:
            return keep(context.home, registry.load(context.home, asked.mirror), ready_fd=asked.ready_fd)
        except LeaseHeld as error:
            if asked.ready_fd is None:
                raise
            return error.exit_code  # who started us was told; our stderr is the log of the daemon that runs
    within_s = _within_s(asked)
    wanted = _wanted(asked)
    record = _record(asked, context)
    root.settle(context.home, record)
    record = _kept_so(record, wanted, context)
    # Whoever mounts a mirror whose credential was refused wants it to go on: that is the word its daemon waits for.
    waited = mirrors.readmit(context.home, record) and launch.pid(context.home, record) is not None
    if asked.foreground:
        from relayfile.mirror.daemon import run as keep

        return keep(context.home, record)
    if asked.once:
        return _once(context, record, within_s)
    if not waited:
        launch.start(context.home, record)
    fragment = mirrors.fragment(context.home, record)
    context.output.say(
        f"{record.directory} is paused; `relayfile resume {record.directory}` lets it go on"
        if record.paused
        else f"{record.directory} is kept equal to {record.workspace_name!r} in the background (`relayfile status`)"
    )
    context.output.data(fragment, "")
    return 0


def _within_s(asked: argparse.Namespace) -> float:
    from relayfile.mirror.control import PULL_WITHIN_S

    if asked.timeout is None:
        return PULL_WITHIN_S
    if not asked.once:
        raise UsageError("--timeout goes with --once. Nothing was started.")
    from relayfile.server.config import duration_s

    return duration_s(asked.timeout)


def _once(context: Context, record: Record, within_s: float) -> int:
    """Both sides were proven equal, and no daemon is left; or a person asked to stop before."""
    from relayfile.mirror import status
    from relayfile.mirror.daemon import Once, Settings
    from relayfile.mirror.daemon import run as keep

    with context.output.progress(record.workspace_name) as bar:
        once = Once(
            within_s, lambda done: bar.at(done.files_done, done.files_total, done.bytes_done, done.bytes_total)
        )
        code = keep(context.home, record, Settings(once=once))
    if code:
        context.output.say("interrupted. What was acknowledged is kept; repeating the command goes on from there")
        return code
    seen = status.stopped(context.home, record)
    context.output.say(f"{record.directory} is equal to evt_{seen['observed']}; no daemon was left running")
    context.output.data(seen, "")
    return 0


def _record(asked: argparse.Namespace, context: Context) -> Record:
    from relayfile.cli import connect
    from relayfile.mirror import registry

    match asked.names:
        case [] | [_]:
            directory = asked.names[0] if asked.names else None
            if directory is not None and not _is_place(directory):
                raise UsageError(
                    f"mount {directory!r} where? Nothing was started.",
                    code="no_directory",
                    hint=f"`relayfile mount {directory} DIR`",
                )
            record = mirrors.the_one(context.home, directory)
        case [workspace, directory]:
            known = mirrors.rooted_at(context.home, directory)
            if known and workspace in {known.workspace, known.workspace_name} and _same_login(known, asked, context):
                record = known
            else:
                with connect.to_workspace(context, workspace) as there:
                    if there.server.machine is not None:
                        _refuse_token_inside(there.server.machine, directory)
                    record = connect.prepare_root(
                        there, directory, shared_login=asked.shared_login, new=asked.new, moved=asked.moved
                    )
                    return _living_on(context, record, there.server.machine)
        case _:
            raise UsageError(
                "mount takes a workspace and a directory. Nothing was started.", hint="relayfile mount --help"
            )
    if asked.shared_login not in {None, record.shared_login}:
        record = replace(record, shared_login=asked.shared_login)
        registry.save(context.home, record)
    _check_login(context, record)
    return record


def _wanted(asked: argparse.Namespace) -> dict[str, Any]:
    """What is said of the mirror, by the fields of its record; what is not said stays as it is."""
    wanted: dict[str, Any] = {"read_only": asked.read_only}
    if asked.bandwidth is not None:
        wanted["up_rate"], wanted["down_rate"] = rates_of(asked.bandwidth)
    if asked.keep_trash is not None:
        from relayfile.server.config import duration_s

        wanted["keep_trash_s"] = duration_s(asked.keep_trash)
    if asked.trash_size is not None:
        wanted["trash_bytes"] = bytes_of(asked.trash_size)
    return {name: value for name, value in wanted.items() if value is not None}


def _kept_so(record: Record, wanted: dict[str, Any], context: Context) -> Record:
    """The record, which says how the mirror is kept from now on. A daemon that does otherwise is stopped."""
    from relayfile.mirror import launch, registry

    told = replace(record, **wanted)
    if told == record:
        return record
    registry.save(context.home, told)
    if launch.stop(context.home, told):
        how = "as it was told" if told.read_only == record.read_only else f"{'not ' * told.read_only}sending"
        context.output.say(f"{record.directory}: its daemon begins again, {how}")
    return told


def _living_on(context: Context, record: Record, token: MachineToken | None) -> Record:
    """The record, which says that the mirror lives on this machine token; None: on a sign-in.

    A token that came in a variable is kept in a file of the mirror's own: the daemon outlives the shell.
    """
    from relayfile.credentials import durable
    from relayfile.mirror import registry

    if token is None:
        return record
    path = token.path
    if path is None:
        path = os.fspath(context.home.prepare("mirrors", record.id) / _TOKEN)
        durable.replace(path, token.token.reveal().encode() + b"\n")
    record = replace(record, token_file=path)
    registry.save(context.home, record)
    return record


def _refuse_token_inside(token: MachineToken, directory: str) -> None:
    if token.path is not None and Path(os.path.realpath(token.path)).is_relative_to(os.path.realpath(directory)):
        raise Misconfigured(
            f"the token file {token.path} lies in {directory}: it would be uploaded. Nothing was changed.",
            code="secret_place",
            hint="keep it elsewhere",
        )


def _check_login(context: Context, record: Record) -> None:
    """There is a login the daemon can live on: a credential of its own that the server takes, or the sign-in."""
    from relayfile.cli import connect
    from relayfile.credentials import machine
    from relayfile.credentials.daemon_file import DaemonFile

    if record.token_file is not None:
        machine.in_file(record.token_file)
        return
    kept = DaemonFile(context.home.mirror(record.id))
    held = None if record.shared_login else kept.read()
    if held is not None and held.enrolment.refusal is None:
        return
    connect.require_login(context, record.profile, record.api_url)


def _same_login(known: Record, asked: argparse.Namespace, context: Context) -> bool:
    """Nothing that was asked for could lead to another record than the one there is."""
    from relayfile.cli import connect

    if connect.machine_token(context) is not None:
        return False
    return not asked.new and not asked.moved and context.profile in {None, known.profile}


def _is_place(word: str) -> bool:
    return os.sep in word or word in {".", ".."} or Path(word).is_dir()
