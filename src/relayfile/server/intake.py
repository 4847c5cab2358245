"""What a sign-in or control-plane request brought: its form or body, who sent it, and where we are for it."""

from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from relayfile.core.scopes import ACCOUNT, Scopes
from relayfile.errors import Forbidden, UsageError
from relayfile.model import Principal
from relayfile.server.bearer import Bearer, presented
from relayfile.server.requestlog import asked
from relayfile.wire import lenient
from relayfile.wire.auth import ClientName

T = TypeVar("T")

_MAX_BYTES: Final = 65_536
_FORM: Final = "application/x-www-form-urlencoded"


async def form(request: Request) -> dict[str, str]:
    """The fields of an URL-encoded form, each given once; empty ones count as absent (RFC 6749 section 3.2).

    Raises:
        UsageError: another kind of body, one that is too long or not UTF-8, or a field given twice.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise UsageError(f"the body must be {_FORM}", code="invalid_request")
    try:
        pairs = parse_qsl(
            (await _read(request)).decode("ascii"), keep_blank_values=True, max_num_fields=64, errors="strict"
        )
    except ValueError as error:
        raise UsageError("the form cannot be read", code="invalid_request") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise UsageError("a form field is given twice", code="invalid_request")
    return {name: value for name, value in fields.items() if value}


async def body(request: Request, kind: type[T]) -> T:
    """The JSON body as `kind`; no body is an empty object.

    Raises:
        UsageError: it is not JSON, or does not fit.
    """
    raw = await _read(request)
    try:
        return lenient.decoded(raw or b"{}", msgspec.json.Decoder(kind))
    except msgspec.ValidationError as error:
        raise UsageError(f"the body does not fit: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError("the body is not JSON") from error
    except RecursionError:
        raise UsageError("the body is nested too deeply") from None


async def _read(request: Request) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MAX_BYTES:
            raise UsageError(
                f"the body has more than {_MAX_BYTES} bytes, the limit here", code="payload_too_large", status=413
            )
    return bytes(raw)


async def caller(bearer: Bearer, request: Request) -> Principal:
    """Who asks, as their bearer token proves; the access log knows it too.

    Raises:
        LoginRequired: no good token.
    """
    principal = await bearer.principal(presented(request.headers.get("authorization")))
    asked(request.scope).account = principal.account
    return principal


async def manager(bearer: Bearer, request: Request) -> Principal:
    """As `caller`, with a token that may manage its account.

    Raises:
        LoginRequired: no good token.
        Forbidden: a token of one workspace, or one without the scope.
    """
    principal = await caller(bearer, request)
    if principal.workspace is not None or not Scopes.parse(principal.scopes).everywhere(ACCOUNT):
        raise Forbidden(f"missing required scope: {ACCOUNT}")
    return principal


def client_of(request: Request) -> ClientName:
    """Who sends this, by its own account; the host is the network's word when the client gives none."""
    named = ClientName.parse(request.headers.get("user-agent", ""))
    return named if named.host else ClientName(named.client, address_of(request), named.pid)


def address_of(request: Request) -> str:
    """The network address this came from."""
    return request.client.host if request.client else "local"


@dataclass(frozen=True, slots=True)
class Place:
    """Where this server is for its clients: the public address when one is set, else where they asked."""

    public_url: str | None

    def base(self, request: Request) -> str:
        """`apiUrl`: without a slash at its end."""
        return (self.public_url or str(request.base_url)).rstrip("/")

    def live(self, request: Request, workspace: str) -> str:
        """The address of a workspace's live socket."""
        return f"ws{self.base(request).removeprefix('http')}/v1/workspaces/{workspace}/fs/ws"
