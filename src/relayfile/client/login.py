"""Sign-in: by a device code, by password, or as the owner of a server on this machine. Gives a grant; stores nothing.

Every way first asks whether a relayfile server answers at the address, so that a password or a code never goes to
something else.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NoReturn, TypeVar
from urllib.parse import urlencode

import msgspec

from relayfile.client import api
from relayfile.client.answers import (
    NOT_RELAYFILE,
    Answer,
    failure,
    is_no_server,
    json_object,
    not_relayfile,
    retry_after_s,
)
from relayfile.client.api import Request
from relayfile.client.exchange import grant_of
from relayfile.client.origin import Origin
from relayfile.client.transport_sync import SyncClient
from relayfile.errors import LoginRequired, NotFound, ProtocolMismatch, Unavailable, UsageError
from relayfile.model import Grant, Secret
from relayfile.wire.auth import (
    CLIENT_ID,
    GRANT_DEVICE,
    GRANT_OWNER,
    GRANT_PASSWORD,
    DeviceAnswer,
    OAuthError,
    TokenAnswer,
)

T = TypeVar("T")

_SHORTEST_INTERVAL_S: Final = 0.5
_LONGEST_INTERVAL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person needs to approve a device sign-in: a code and where to enter it."""

    user_code: str
    address: str
    complete_address: str
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh grant and the scope it was given."""

    grant: Grant
    scope: str | None


def probe(api_url: str) -> str:
    """The server's address in its one spelling, where a relayfile server that we can sign in to has answered.

    Raises:
        UsageError: it is no address.
        Unavailable: nothing answers there.
        ProtocolMismatch: something that is not relayfile answers there, or one too old for this sign-in.
    """
    origin = Origin.parse(api_url)
    with SyncClient(origin.url) as client:
        _probe(client)
    return origin.url


def sign_in(
    api_url: str,
    show: Callable[[Prompt], None],
    open_browser: Callable[[str], object] | None = None,
    *,
    profile: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> SignedIn:
    """A grant that a person approved in a browser, on this machine or another (RFC 8628).

    `profile` is under which name this machine keeps it, for the list of sign-ins; so in the other two ways.

    Raises:
        LoginRequired: codes `access_denied` (the person said no), `expired_token` (nobody answered in time).
        Unavailable, ProtocolMismatch, UsageError: as `probe`.
    """
    with SyncClient(api_url) as client:
        _probe(client)
        begun = client.call(_form("/oauth/device_authorization", _wish({}, profile), _device))
        show(Prompt(begun.user_code, begun.verification_uri, begun.verification_uri_complete, begun.expires_in))
        if open_browser is not None and begun.verification_uri_complete.startswith(("https://", "http://")):
            open_browser(begun.verification_uri_complete)
        interval_s, until = (
            min(max(float(begun.interval), _SHORTEST_INTERVAL_S), _LONGEST_INTERVAL_S),
            time.monotonic() + begun.expires_in,
        )
        form = {"grant_type": GRANT_DEVICE, "device_code": begun.device_code}
        while time.monotonic() < until:
            sleep(interval_s)
            try:
                return _token(client, form)
            except LoginRequired as error:
                if error.code == "slow_down":
                    interval_s = min(interval_s + 5.0, _LONGEST_INTERVAL_S)
                elif error.code != "authorization_pending":
                    raise
            except Unavailable as error:
                # A code outlives a server's restart and a lost network; the person need not begin again.
                interval_s = min(max(interval_s, error.retry_after_s or 0.0), _LONGEST_INTERVAL_S)
    raise LoginRequired("nobody approved the sign-in in time", code="expired_token", hint="run the command again")


def with_password(
    api_url: str, username: str, password: Secret, *, old_clients: bool = False, profile: str | None = None
) -> SignedIn:
    """A grant for a name and a password. `old_clients` shares it with programs that know nothing of ours (R1).

    Raises:
        LoginRequired: the server does not know this name with this password.
        Unavailable, ProtocolMismatch, UsageError: as `probe`.
    """
    form = {"grant_type": GRANT_PASSWORD, "username": username, "password": password.reveal()}
    if old_clients:
        form["allow_old_clients"] = "1"
    with SyncClient(api_url) as client:
        _probe(client)
        try:
            return _token(client, _wish(form, profile))
        except LoginRequired as error:
            error.hint = "check the name and the password, or leave --username out and approve it in a browser"
            raise


def as_owner(api_url: str, owner_signin: Secret, *, profile: str | None = None) -> SignedIn:
    """A grant for the owner of a server on this machine, whom DATA/owner-signin proves. Good for one use (R45).

    Raises:
        LoginRequired: it was used already, or is another server's.
        Unavailable, ProtocolMismatch, UsageError: as `probe`.
    """
    form = {"grant_type": GRANT_OWNER, "owner_signin": owner_signin.reveal()}
    with SyncClient(api_url) as client:
        _probe(client)
        return _token(client, _wish(form, profile))


def _probe(client: SyncClient) -> None:
    try:
        metadata = client.call(api.metadata())
    except Unavailable as error:
        if not is_no_server(error):
            raise
        raise _no_server(client, error.message) from error
    except (NotFound, ProtocolMismatch, UsageError, LoginRequired) as error:
        raise _no_server(client, "it offers no sign-in that this version knows") from error
    if GRANT_DEVICE not in metadata.grant_types_supported or not metadata.relayfile_version:
        raise _no_server(client, "it offers another kind of sign-in")


def _no_server(client: SyncClient, why: str) -> ProtocolMismatch:
    return ProtocolMismatch(
        f"no relayfile server answers at {client.api_url}: {why}",
        code=NOT_RELAYFILE,
        hint="check the address; a proxy or a captive portal may be answering in its place",
    )


def _wish(form: dict[str, str], profile: str | None) -> dict[str, str]:
    """The form of a client that repeats a lost renewal with the same nonce, so theft can be told from it (R2)."""
    return {**form, "refresh_nonce_supported": "1"} | ({"profile": profile} if profile else {})


def _form(path: str, fields: dict[str, str], read: Callable[[Answer], T]) -> Request[T]:
    body = urlencode({"client_id": CLIENT_ID, **fields}).encode()
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    return Request("POST", path, read, body=body, headers=headers, anonymous=True, repeatable=False)


def _token(client: SyncClient, form: dict[str, str]) -> SignedIn:
    issued_at = time.time()
    told = client.call(_form("/oauth/token", form, _read_token))
    # The address that was asked is the one that is kept: a server behind a proxy may know itself by another.
    return SignedIn(replace(grant_of(told, issued_at), api_url=client.api_url), told.scope)


def _read_token(answer: Answer) -> TokenAnswer:
    if answer.status != 200:
        _refused(answer)
    return _understood(answer, TokenAnswer)


def _device(answer: Answer) -> DeviceAnswer:
    if answer.status != 200:
        _refused(answer)
    return _understood(answer, DeviceAnswer)


def _understood(answer: Answer, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if json_object(answer) is None:
            raise not_relayfile(answer) from error
        raise ProtocolMismatch("the server's answer to a sign-in cannot be understood") from error


_SIGN_IN_WORDS: Final = frozenset(
    {"invalid_grant", "authorization_pending", "slow_down", "access_denied", "expired_token"}
)


def _refused(answer: Answer) -> NoReturn:
    """What an OAuth refusal means, by its `error`."""
    try:
        told = msgspec.json.decode(answer.body, type=OAuthError)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise failure(answer) from None
    message = told.error_description or told.error
    if answer.status == 429 or answer.status >= 500:
        raise Unavailable(message, code=told.error, retry_after_s=retry_after_s(answer), status=answer.status)
    if told.error in _SIGN_IN_WORDS:
        code = (told.error_reason or told.error) if told.error == "invalid_grant" else told.error
        raise LoginRequired(message, code=code)
    raise UsageError(message, code=told.error, status=answer.status)
