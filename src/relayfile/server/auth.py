"""The standard door: OAuth token, revocation and metadata routes, and the JWKS (R26)."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relayfile import __version__
from relayfile.core.families import Outcome
from relayfile.core.scopes import ACCOUNT, Scopes
from relayfile.errors import LoginRequired, RelayfileError, Unavailable, UsageError
from relayfile.server.accounts import Accounts, OwnerSignin
from relayfile.server.device import Devices
from relayfile.server.dpop import Proofs
from relayfile.server.enrolment import Enrolments
from relayfile.server.grants import Grants, Issued, Refused, Wish
from relayfile.server.intake import Place, address_of, client_of, form
from relayfile.server.keys import Keys
from relayfile.server.requestlog import correlation_of
from relayfile.server.store import accounts
from relayfile.server.store.database import Database
from relayfile.server.store.families import DAEMON, LOGGED_OUT, NOT_SAVED, REPLACED, SIGN_IN
from relayfile.wire.auth import (
    CLIENT_ID,
    DPOP_ALGORITHM,
    GRANT_DEVICE,
    GRANT_EXCHANGE,
    GRANT_OWNER,
    GRANT_PASSWORD,
    GRANT_REFRESH,
    INVALID_DPOP_PROOF,
    USE_DPOP_NONCE,
    DeviceAnswer,
    EnrolmentAnswer,
    OAuthError,
    ServerMetadata,
    TokenAnswer,
    rfc3339,
)

SIGN_IN_SCOPES: Final = (ACCOUNT, "fs:read", "fs:write", "ops:read", "sync:read", "sync:trigger")
NO_STORE: Final = {"Cache-Control": "no-store"}
_NONCE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

Handler = Callable[[Request], Awaitable[Response]]


class OAuthRoutes:
    """`/oauth/*` and `/.well-known/*`."""

    def __init__(
        self,
        *,
        grants: Grants,
        people: Accounts,
        devices: Devices,
        owner: OwnerSignin,
        enrolments: Enrolments,
        proofs: Proofs,
        keys: Keys,
        database: Database,
        place: Place,
    ) -> None:
        self._grants = grants
        self._people = people
        self._devices = devices
        self._owner = owner
        self._enrolments = enrolments
        self._proofs = proofs
        self._keys = keys
        self._database = database
        self._place = place

    def routes(self) -> list[BaseRoute]:
        """The standard routes."""
        return [
            Route("/oauth/token", self._proofs.fresh(oauth(self.token)), methods=["POST"]),
            Route("/oauth/device_authorization", oauth(self.device_authorization), methods=["POST"]),
            Route("/oauth/revoke", oauth(self.revoke), methods=["POST"]),
            Route("/.well-known/oauth-authorization-server", self.metadata),
            Route("/.well-known/jwks.json", self.jwks),
        ]

    async def token(self, request: Request) -> Response:
        """A pair for a password, a device code, the owner's word, a refresh token, or a sign-in with a new key."""
        fields = await form(request)
        _check_client(fields)
        match fields.get("grant_type"):
            case None:
                raise UsageError("grant_type is missing", code="invalid_request")
            case grant if grant == GRANT_REFRESH:
                return await self._renewed(request, fields)
            case grant if grant == GRANT_PASSWORD:
                wish = _wish(request, fields, "password")
                account = await self._people.authenticate(
                    _field(fields, "username"), _field(fields, "password"), address_of(request)
                )
                return self._answer(request, await self._grants.begin(account, wish))
            case grant if grant == GRANT_OWNER:
                return await self._owners(request, fields)
            case grant if grant == GRANT_DEVICE:
                issued = await self._devices.redeem(_field(fields, "device_code"), client_of(request))
                return self._answer(request, issued)
            case grant if grant == GRANT_EXCHANGE:
                key = self._proofs.required(request)
                return self._enrolled(request, await self._enrolments.enrol(fields, key, client_of(request)))
            case _:
                raise UsageError("this server does not know that grant_type", code="unsupported_grant_type")

    async def device_authorization(self, request: Request) -> Response:
        """A device code, and the user code a person approves it by (RFC 8628 section 3.1)."""
        fields = await form(request)
        _check_client(fields)
        wish = _wish(request, fields, "device")
        begun = await self._devices.begin(wish, address_of(request))
        page = f"{self._place.base(request)}/device"
        answer = DeviceAnswer(
            begun.device_code.reveal(),
            begun.user_code,
            page,
            f"{page}?user_code={begun.user_code}",
            begun.expires_in_s,
            begun.interval_s,
        )
        return _json(answer)

    async def revoke(self, request: Request) -> Response:
        """The token's family has ended (RFC 7009); a token of no family is answered the same way."""
        fields = await form(request)
        _check_client(fields)
        said = fields.get("reason", LOGGED_OUT)
        reason = said if said in {REPLACED, NOT_SAVED} else LOGGED_OUT
        await self._grants.revoke(_field(fields, "token"), client_of(request), reason)
        return Response(headers=NO_STORE)

    async def metadata(self, request: Request) -> Response:
        """What this server is and can do (RFC 8414)."""
        base = self._place.base(request)
        answer = ServerMetadata(
            issuer=base,
            token_endpoint=f"{base}/oauth/token",
            device_authorization_endpoint=f"{base}/oauth/device_authorization",
            revocation_endpoint=f"{base}/oauth/revoke",
            jwks_uri=f"{base}/.well-known/jwks.json",
            grant_types_supported=[GRANT_PASSWORD, GRANT_DEVICE, GRANT_REFRESH, GRANT_OWNER, GRANT_EXCHANGE],
            response_types_supported=[],
            token_endpoint_auth_methods_supported=["none"],
            scopes_supported=list(SIGN_IN_SCOPES),
            refresh_nonce_supported=True,
            refresh_token_expiration_types_supported=["idle", "absolute"],
            relayfile_version=__version__,
            dpop_signing_alg_values_supported=[DPOP_ALGORITHM],
        )
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def jwks(self, request: Request) -> Response:
        """The public keys of workspace tokens."""
        del request
        headers = {"Cache-Control": "public, max-age=300"}
        return Response(msgspec.json.encode(self._keys.jwks()), media_type="application/json", headers=headers)

    async def _renewed(self, request: Request, fields: dict[str, str]) -> Response:
        nonce = fields.get("refresh_nonce", "")
        if nonce and not _NONCE.fullmatch(nonce):
            raise UsageError("refresh_nonce must be 32 lowercase hex digits", code="invalid_request")
        token = _field(fields, "refresh_token")
        key = self._proofs.presented(request)
        answer = await self._grants.renew(
            token, nonce, client_of(request), address_of(request), kinds={SIGN_IN, DAEMON}, key=key
        )
        if isinstance(answer, Issued):
            return self._answer(request, answer)
        return _refusal(_refused(request, answer), 429 if answer.outcome is Outcome.BUSY else 400)

    async def _owners(self, request: Request, fields: dict[str, str]) -> Response:
        wish = _wish(request, fields, "owner_signin")
        account = await self._database.read(accounts.owner)
        if account is None or not self._owner.use(_field(fields, "owner_signin")):
            raise LoginRequired(
                "that owner sign-in is not the one in this server's data folder", code="wrong_owner_signin"
            )
        return self._answer(request, await self._grants.begin(account, wish))

    def _enrolled(self, request: Request, issued: Issued) -> Response:
        holder, pair = issued.stored.holder, self._pair(request, issued)
        answer = EnrolmentAnswer(
            **msgspec.structs.asdict(pair),
            kind=holder.kind,
            workspace=holder.workspace or "",
            mirror=holder.mirror or "",
            jkt=holder.jkt or "",
        )
        return _json(answer)

    def _answer(self, request: Request, issued: Issued) -> Response:
        return _json(self._pair(request, issued), outcome_header(issued))

    def _pair(self, request: Request, issued: Issued) -> TokenAnswer:
        holder, family = issued.stored.holder, issued.stored.family
        if issued.access is None:
            raise UsageError("this token is renewed at /v1/tokens/refresh", code="invalid_grant")
        return TokenAnswer(
            access_token=issued.access.reveal(),
            expires_in=round(issued.access_expires_at - issued.now, 3),
            refresh_token=issued.refresh.reveal(),
            refresh_token_expires_in=round(family.expires_at - issued.now, 3),
            absolute_expires_at=rfc3339(family.absolute_expires_at),
            scope=holder.scopes,
            family=holder.id,
            generation=family.generation,
            api_url=self._place.base(request),
            account=holder.account,
            username=issued.username,
        )


def _refused(request: Request, answer: Refused) -> OAuthError:
    """Why this renewal got no pair. Only an `invalid_grant` is a verdict on the token (4-sessions I9)."""
    ending = answer.ending
    said = _SAID.get(answer.outcome, "the refresh token is not valid")
    return OAuthError(
        _WORDS.get(answer.outcome, "invalid_grant"),
        f"{said}: {ending.words()}" if ending is not None else said,
        answer.reason,
        answer.family,
        answer.generation,
        correlation_of(request.scope),
        answer.retry_after_s or None,
        ended_by=ending.by if ending else None,
        ended_from=ending.host if ending else None,
        ended_at=rfc3339(ending.at) if ending and ending.at else None,
    )


_WORDS: Final = {Outcome.BUSY: "slow_down", Outcome.UNPROVEN: INVALID_DPOP_PROOF}
_SAID: Final = {
    Outcome.SUPERSEDED: "the refresh token was used before; read the credential file again",
    Outcome.REUSED: "this credential has been ended just now",
    Outcome.REVOKED: "this credential has ended",
    Outcome.UNPROVEN: "this refresh token is worth nothing without a fresh proof of its key",
    Outcome.EXPIRED: "the refresh token has expired",
    Outcome.BUSY: "renewed too often; wait",
}


def oauth(handler: Handler) -> Handler:
    """`handler`, with every refusal in the OAuth error shape (RFC 6749 section 5.2) and nothing to be cached."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except RelayfileError as error:
            retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
            refusal = OAuthError(
                _word(error),
                error.message,
                str(error.details.get("reason") or error.code),
                request_id=correlation_of(request.scope),
                retry_after_seconds=retry_after_s,
            )
            status = error.status
            if isinstance(error, LoginRequired):
                status = 401 if error.code == "invalid_client" else 400
            return _refusal(refusal, status)

    return answered


def _word(error: RelayfileError) -> str:
    """The OAuth word for an error; only three of them end a session (4-sessions I9)."""
    if isinstance(error, Unavailable):
        return "slow_down" if error.status == 429 else "temporarily_unavailable"
    if isinstance(error, LoginRequired):
        return "invalid_client" if error.code == "invalid_client" else _DEVICE_WORDS.get(error.code, "invalid_grant")
    return error.code if error.code in _REQUEST_WORDS else "invalid_request"


_REQUEST_WORDS: Final = frozenset(
    {
        *("invalid_request", "invalid_scope", "unsupported_grant_type", "invalid_grant"),
        *(USE_DPOP_NONCE, INVALID_DPOP_PROOF),
    }
)
_DEVICE_WORDS: Final = {
    word: word for word in ("authorization_pending", "slow_down", "access_denied", "expired_token")
}


def _check_client(fields: dict[str, str]) -> None:
    if fields.get("client_id") != CLIENT_ID:
        raise LoginRequired(f"client_id must be {CLIENT_ID}", code="invalid_client")


def _field(fields: dict[str, str], name: str) -> str:
    if not (value := fields.get(name)):
        raise UsageError(f"{name} is missing", code="invalid_request")
    return value


def _wish(request: Request, fields: dict[str, str], door: str) -> Wish:
    """The sign-in that this form asks for. Without the nonce capability its family is one of old clients (R2)."""
    capable = fields.get("refresh_nonce_supported") == "1"
    profile = fields.get("profile", "")[:80]
    return Wish(
        client=client_of(request),
        scopes=sign_in_scopes(fields.get("scope", "").split()),
        old_clients=not capable or fields.get("allow_old_clients") == "1",
        door=door,
        profile="".join(c for c in profile if c.isprintable()) or None,
    )


def sign_in_scopes(wanted: Iterable[str]) -> str:
    """The scope words of a sign-in: all there are, or the fewer that were asked for.

    Raises:
        UsageError: code `invalid_scope`: one of them is no scope, or more than a sign-in has.
    """
    words = list(dict.fromkeys(wanted)) or list(SIGN_IN_SCOPES)
    everything = Scopes.parse(SIGN_IN_SCOPES)
    for word in words:
        asked = Scopes.parse([word])
        if not asked.grants or not asked.within(everything):
            raise UsageError(f"not a scope that can be had here: {word[:80]!r}", code="invalid_scope")
    return " ".join(words)


def outcome_header(issued: Issued) -> dict[str, str]:
    """`X-Refresh-Outcome` for an answer to a renewal."""
    return {"X-Refresh-Outcome": str(issued.outcome)} if issued.outcome else {}


def _json(answer: msgspec.Struct, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json", headers=NO_STORE | (headers or {}))


def _refusal(refusal: OAuthError, status: int) -> Response:
    headers = dict(NO_STORE)
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after_seconds + 0.5)))
    return Response(msgspec.json.encode(refusal), status, headers, "application/json")
