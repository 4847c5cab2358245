"""`relayfile login`."""

import argparse
import contextlib
import sys
import threading
import webbrowser

from relayfile.cli import connect, mirrors
from relayfile.cli.context import Context
from relayfile.cli.main import Parser
from relayfile.cli.output import span
from relayfile.cli.terminal import has_browser
from relayfile.client import api, login
from relayfile.client.transport_sync import SyncClient
from relayfile.credentials import profiles
from relayfile.credentials.home import DEFAULT_PROFILE
from relayfile.credentials.session import Session
from relayfile.errors import RelayfileError, Unavailable, UsageError
from relayfile.mirror import registry
from relayfile.model import Secret
from relayfile.wire.auth import WhoAmI

DESCRIPTION = """\
Sign in to a server. It shows a code and an address; approve it there in any browser, on this machine or on another.
Scripts sign in with --username and --password-stdin. The login is kept in ~/.relayfile/cloud-credentials.json,
readable by you alone, and renewed as needed by whatever uses it: mirrors that wait for a sign-in go on by
themselves within two seconds.
Without URL: sign in again where you were. A sign-in that is still good is kept, and named."""
EXAMPLES = """\
  relayfile login https://files.example.org
  relayfile login                                  again, after the sign-in ended
  relayfile login http://127.0.0.1:8080 --username ada --password-stdin < password
  relayfile login https://other.example.org --profile other
                                                   a second sign-in beside the first"""


def arguments(parser: Parser) -> None:
    """`login [URL]`."""
    parser.add_argument("url", nargs="?", metavar="URL", help="the server's address")
    parser.add_argument("--username", metavar="NAME", help="sign in with a password, without a browser")
    parser.add_argument("--password-stdin", action="store_true", help="the password is the first line of stdin")
    parser.add_argument("--no-browser", action="store_true", help="only show the address, open nothing")
    parser.add_argument(
        "--replace", action="store_true", help="sign in anew; the login that is there now is given up"
    )
    parser.add_argument(
        "--allow-old-clients",
        action="store_true",
        help="other programs that keep refresh tokens in memory share this login: theft detection is off for it",
    )


def run(asked: argparse.Namespace, context: Context) -> int:
    """The profile is signed in."""
    if bool(asked.username) != asked.password_stdin:
        raise UsageError(
            "--username and --password-stdin go together: no password in an argument. Nothing was changed.",
            code="bad_arguments",
            hint="relayfile login URL --username NAME --password-stdin < FILE",
        )
    if asked.allow_old_clients and not asked.username:
        raise UsageError("--allow-old-clients needs --username. Nothing was changed.", code="bad_arguments")
    profile = context.profile or (DEFAULT_PROFILE if asked.url else profiles.the_one(context.home))
    session = connect.login_of(context, profile)
    url = _address(asked.url, session.state().api_url, replace=asked.replace)
    password = _password() if asked.username else None
    # Old clients are a property of a sign-in: one that was begun without them is not what is asked for.
    keeps = not asked.replace and not asked.allow_old_clients
    me = _already(context, profile, url, asked.username) if keeps else None
    if me is None and _waited_for(context, session) and keeps:
        me = _already(context, profile, url, asked.username)
    if me is not None:
        return _kept(context, profile, url, me)
    if password is not None:
        signed = login.with_password(
            url, asked.username, password, old_clients=asked.allow_old_clients, profile=profile
        )
    else:
        browser = None if asked.no_browser or not has_browser() else _open
        signed = login.sign_in(url, lambda prompt: _show(context, prompt), browser, profile=profile)
    session.adopt(signed.grant, scope=signed.scope, replace=asked.replace)
    state = session.state()
    context.output.say(f"signed in at {url}" + ("" if profile == DEFAULT_PROFILE else f" (profile {profile})"))
    connect.say_what_stands_before(context)
    context.output.data({"server": state.api_url, "account": state.account, "profile": profile, "already": False}, "")
    return 0


def _password() -> Secret:
    password = Secret(sys.stdin.readline().rstrip("\r\n"))
    if not password:
        raise UsageError("stdin held no password. Nothing was changed.", code="no_password")
    return password


def _already(context: Context, profile: str, url: str, username: str | None) -> WhoAmI | None:
    """Whose sign-in at `url` is there and good, by the server's own word; None: none is, or another user's."""
    session = connect.login_of(context, profile, wait=False)
    if session.state().api_url is None:
        return None
    try:
        with SyncClient(url, session.token, "cli", renew=session.renew_now) as client:
            me = client.call(api.whoami())
    except RelayfileError:  # whatever stands in its way, a new sign-in mends it or says it better
        return None
    return me if username in {None, me.username} else None


def _waited_for(context: Context, session: Session) -> bool:
    """A sign-in could be saved now, which is known before anybody is asked for anything; whether that took a wait.

    Raises:
        Misconfigured: it could not be saved. Unavailable: code `auth_busy`.
    """
    try:
        session.check_ready(wait_s=0.0)
    except Unavailable:
        context.output.say(f"waiting for process {session.file.holder().pid}, which is renewing the login …")
        session.check_ready()
        return True
    return False


def _kept(context: Context, profile: str, url: str, me: WhoAmI) -> int:
    """The sign-in that is there was named, and the mirrors of it that wait for a person's word go on.

    One that cannot be told is named with its next step: it keeps neither the sign-in nor the other mirrors from use.
    """
    context.output.say(f"already signed in at {url} as {me.username}; `relayfile login --replace` begins anew")
    connect.say_what_stands_before(context)
    resumed, untold = [], []
    for record in registry.all(context.home):
        if record.profile != profile or record.api_url.rstrip("/") != url:
            continue
        try:
            goes_on = mirrors.readmit(context.home, record)
        except RelayfileError as error:
            context.output.say(error.message + (f"\n  next: {error.hint}" if error.hint else ""))
            untold.append({"directory": record.directory, "message": error.message, "hint": error.hint})
            continue
        if goes_on:
            context.output.say(f"the mirror {record.directory} goes on: it may have a new credential")
            resumed.append(record.directory)
    told = {"server": url, "account": me.account, "profile": profile, "already": True}
    context.output.data({**told, "resumed": resumed, "untold": untold}, "")
    return 0


def _open(address: str) -> None:
    """The person's browser is on its way; the command does not wait for it, and needs it for nothing."""

    def open_it() -> None:
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(address)

    threading.Thread(target=open_it, daemon=True).start()


def _address(wanted: str | None, present: str | None, *, replace: bool) -> str:
    """The server to sign in at, which has answered as one.

    Raises:
        UsageError: none is known, or the profile has a login at another one.
    """
    if wanted is None:
        if present is None:
            raise UsageError(
                "sign in where? Nothing was changed.", code="no_server", hint="`relayfile login https://SERVER`"
            )
        return login.probe(present)
    url = login.probe(wanted)
    if present is not None and present.rstrip("/") != url and not replace:
        raise UsageError(
            f"this sign-in belongs to {present}, not to {url}. It was left as it is.",
            code="other_server",
            hint=(
                f"`relayfile login {url} --profile NAME` keeps both; "
                f"`relayfile login {url} --replace` gives up the one at {present}"
            ),
        )
    return url


def _show(context: Context, prompt: login.Prompt) -> None:
    context.output.ask(
        f"Open   {prompt.complete_address}\n"
        f"and approve the code   {prompt.user_code}\n"
        f"(any browser, on any machine: {prompt.address}; waiting {span(prompt.expires_in_s)}, Ctrl-C gives up)"
    )
