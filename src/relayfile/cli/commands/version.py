"""`relayfile version`."""

import argparse

from relayfile import __version__
from relayfile.cli.catalogue import version
from relayfile.cli.context import Context
from relayfile.cli.main import Parser

DESCRIPTION = "Print the version of this program."
EXAMPLES = """\
  relayfile version
  relayfile version --json         {"version": "…"}"""


def arguments(parser: Parser) -> None:
    """It takes none."""
    del parser


def run(asked: argparse.Namespace, context: Context) -> int:
    """The version is on stdout."""
    del asked
    context.output.data({"version": __version__}, version())
    return 0
