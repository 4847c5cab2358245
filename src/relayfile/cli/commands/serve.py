"""`relayfile serve`: the server."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.errors import UsageError

if TYPE_CHECKING:
    from relayfile.server import config

DESCRIPTION = """\
Run the server: accounts, sign-in, workspaces, files, the live feed. Everything it must not lose lies in the data
folder; the default store is an embedded SQLite. The first start creates the owner's account and says on stderr how
to sign in. It serves until it gets SIGTERM or Ctrl-C."""
EXAMPLES = """\
  relayfile serve                                          on this machine only, data in ~/.relayfile/server
  relayfile serve --data /srv/relayfile --listen :8080     for a team; put TLS in front of it
  relayfile serve --data /srv/relayfile --listen :8080 --owner ada --owner-password-file /run/secrets/ada
                                                           an unattended first start
  relayfile serve --public-url https://files.example.org   the address that clients and browsers use"""


def arguments(parser: Parser) -> None:
    """Settings in the groups of `server/config.py`."""
    places = parser.add_argument_group("places")
    places.add_argument("--data", type=Path, metavar="DIR", help="the data folder; default ~/.relayfile/server")
    places.add_argument("--keys", type=Path, metavar="DIR", help="the folder of the server's keys; default DATA/keys")
    places.add_argument(
        "--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="default %(default)s; port 0: any free one"
    )
    places.add_argument("--public-url", metavar="URL", help="how clients reach it, when that is another address")
    places.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="holds the real address once the server listens"
    )
    owner = parser.add_argument_group("first start (ignored, with a notice, once an account exists)")
    owner.add_argument("--owner", metavar="NAME", help="the first account; default: your user name")
    owner.add_argument(
        "--owner-password-file", type=Path, metavar="FILE", help="its password is the file's first line"
    )
    times = parser.add_argument_group("lifetimes (3s, 30m, 12h, 90d)")
    times.add_argument("--access-ttl", metavar="TIME", help="of an access token; default 30m")
    times.add_argument("--refresh-ttl", metavar="TIME", help="of a sign-in nobody uses; default 30d")
    times.add_argument("--absolute-ttl", metavar="TIME", help="of any sign-in; default 90d")
    times.add_argument(
        "--refresh-overlap",
        metavar="TIME",
        help="how long a consumed refresh token of an old client is forgiven; default 60s",
    )
    provider = parser.add_argument_group("sign-in through an OpenID Connect provider, beside passwords")
    provider.add_argument("--oidc-issuer", metavar="URL", help="the provider, as it names itself")
    provider.add_argument("--oidc-client-id", metavar="ID", help="how the provider knows this server")
    provider.add_argument("--oidc-client-secret-file", type=Path, metavar="FILE", help="the secret it gave with it")
    provider.add_argument("--oidc-name", metavar="NAME", help="what the button says; default: the provider's host")
    provider.add_argument(
        "--oidc-domain",
        action="append",
        default=[],
        metavar="DOMAIN",
        help="whoever has a verified e-mail address there may come in; may be given again",
    )
    provider.add_argument(
        "--oidc-account",
        action="append",
        default=[],
        metavar="NAME=WHO",
        help="this account belongs to the person with that e-mail address, or sub:SUBJECT; may be given again",
    )
    limits = parser.add_argument_group("limits and logs")
    limits.add_argument("--body-limit", type=int, metavar="MIB", help="largest JSON body; default 16")
    limits.add_argument("--prune-tombstones", type=float, metavar="DAYS", help="forget deletions; default never")
    log = limits.add_mutually_exclusive_group()
    log.add_argument("--log-requests-to-stderr", action="store_true", help="instead of DATA/access.log")
    log.add_argument("--no-access-log", action="store_true", help="log no requests")


def run(asked: argparse.Namespace, context: Context) -> int:
    """The server has ended, in good order when the answer is 0."""
    from relayfile.server import config
    from relayfile.server.serve import serve

    if asked.owner_password_file and asked.owner is None:
        raise UsageError(
            "--owner-password-file says whose password? Nothing was started.",
            hint="add --owner NAME",
            code="no_owner",
        )
    host, port = config.host_and_port(asked.listen)
    public_url = None if asked.public_url is None else config.public_url(asked.public_url)
    owner = None if asked.owner is None else config.owner_name(asked.owner)
    limits = config.Limits()
    if asked.prune_tombstones is not None:
        limits = replace(limits, prune_tombstones_days=config.tombstone_days(asked.prune_tombstones))
    if asked.body_limit is not None:
        if asked.body_limit < 1:
            raise UsageError("--body-limit must be at least 1 MiB. Nothing was started.", code="body_limit")
        limits = replace(limits, body_bytes=asked.body_limit * config.MIB)
    lifetimes = _lifetimes(asked)
    openid = _openid(asked)
    data = asked.data or context.home.prepare("server")
    return serve(
        config.Settings(
            data=data.absolute(),
            keys=asked.keys and asked.keys.absolute(),
            listen=config.Listen(host, port, public_url, asked.ready_file),
            owner=config.Owner(owner, asked.owner_password_file),
            lifetimes=lifetimes,
            limits=limits,
            logs=config.Logs(access=not asked.no_access_log, to_stderr=asked.log_requests_to_stderr),
            openid=openid,
        )
    )


def _lifetimes(asked: argparse.Namespace) -> "config.Lifetimes":
    """How long everything lives: as was said, else as usual.

    Raises:
        UsageError: one of them is none.
    """
    from relayfile.server import config

    said = {
        "access_ttl_s": ("--access-ttl", asked.access_ttl),
        "refresh_ttl_s": ("--refresh-ttl", asked.refresh_ttl),
        "absolute_ttl_s": ("--absolute-ttl", asked.absolute_ttl),
    }
    ages = {name: config.lifetime_s(option, text) for name, (option, text) in said.items() if text is not None}
    if asked.refresh_overlap is not None:
        ages["refresh_overlap_s"] = config.lifetime_s("--refresh-overlap", asked.refresh_overlap, or_none=True)
    return config.Lifetimes(**ages)


def _openid(asked: argparse.Namespace) -> "config.OpenIdConnect | None":
    """The provider that people may sign in through; None: no word was said of one.

    Raises:
        UsageError: half of it was said.
    """
    from relayfile.server import config

    given = {
        "--oidc-client-id": asked.oidc_client_id,
        "--oidc-client-secret-file": asked.oidc_client_secret_file,
        "--oidc-name": asked.oidc_name,
        "--oidc-domain": asked.oidc_domain,
        "--oidc-account": asked.oidc_account,
    }
    if not asked.oidc_issuer:
        if said := [option for option, value in given.items() if value]:
            raise UsageError(
                f"{said[0]} of which provider? Nothing was started.", hint="add --oidc-issuer URL", code="no_issuer"
            )
        return None
    if not asked.oidc_client_id:
        raise UsageError(
            "--oidc-issuer also needs to know who this server is there. Nothing was started.",
            hint="register it at the provider, then add --oidc-client-id ID",
            code="no_client_id",
        )
    issuer = config.issuer(asked.oidc_issuer)
    return config.OpenIdConnect(
        issuer,
        asked.oidc_client_id,
        asked.oidc_client_secret_file,
        asked.oidc_name or urlsplit(issuer).netloc,
        config.admission(asked.oidc_domain, asked.oidc_account),
    )
