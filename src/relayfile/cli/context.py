"""What every command is given beside its own words: the places of this machine, the profile, the two streams."""

from dataclasses import dataclass

from relayfile.cli.output import Output
from relayfile.credentials.home import Home


@dataclass(frozen=True)
class Context:
    """`profile` is what `--profile` said, or None: then the mirror or workspace that is named decides (R16).

    `token_file` is what `--token-file` said: a machine token takes the place of a sign-in.
    """

    home: Home
    output: Output
    profile: str | None
    token_file: str | None = None
