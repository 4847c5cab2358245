"""`relayfile pause`."""

import argparse
from dataclasses import replace

from relayfile.cli import mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.errors import Unavailable
from relayfile.mirror import registry
from relayfile.mirror.registry import Record
from relayfile.wire import control

DESCRIPTION = """\
Leave a directory alone for a while: once this returns the mirror places nothing in it and sends nothing from it.
Local edits go on being recorded, and so does what the log of the workspace says; nothing is lost or forgotten.
`relayfile resume` lets it go on. A restart changes nothing about it, and a stopped mirror can be paused too.
Without DIR: the mirror of the working directory, or the only one."""
EXAMPLES = """\
  relayfile pause ./acme && tar c ./acme > acme.tar; relayfile resume ./acme"""


def arguments(parser: Parser) -> None:
    """`pause [DIR]`."""
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the mirror's directory")


def run(asked: argparse.Namespace, context: Context) -> int:
    """Nothing is placed and nothing sent any more."""
    remember(context, mirrors.the_one(context.home, asked.directory), paused=True)
    return 0


def remember(context: Context, record: Record, *, paused: bool) -> None:
    """The mirror is paused, or goes on; also after the next start of its daemon.

    Raises:
        Unavailable: code `daemon_silent`: it holds from the next start on, but the daemon did not say that it heard.
    """
    registry.save(context.home, replace(record, paused=paused))
    stopped = False
    try:
        mirrors.ask(context.home, record, "POST", control.PAUSE if paused else control.RESUME).body()
    except Unavailable as error:
        if error.code != "mirror_stopped":
            raise
        stopped = True
    held = "is paused: nothing is placed and nothing sent; `relayfile resume` lets it go on"
    said = held if paused else "goes on" if record.paused else "was not paused"
    context.output.say(f"{record.directory} {said}" + (" once it is started" if stopped and not paused else ""))
    context.output.data({"directory": record.directory, "mirror": record.id, "paused": paused}, "")
