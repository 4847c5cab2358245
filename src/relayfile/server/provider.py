"""The OpenID Connect provider as this server meets it: where to send a browser, and who came back.

It trusts the provider's word about people and nothing else: every answer is bounded in size and time, no redirect is
followed, and an ID token counts only under a key of the provider's own, asymmetric, for this client, this attempt and
this moment.
"""

import asyncio
import logging
import time
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from typing import Final, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from relayfile.core.admission import Person
from relayfile.errors import LoginRequired, Misconfigured, Unavailable
from relayfile.model import Secret
from relayfile.server.config import OpenIdConnect
from relayfile.wire import lenient
from relayfile.wire.openid import (
    IdClaims,
    ProviderKeys,
    ProviderMetadata,
    ProviderRefusal,
    ProviderTokens,
    UserInfo,
)

T = TypeVar("T")

SCOPE: Final = "openid email"
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Asymmetric ones only: whoever can check a token must not be able to make one."""
_PATIENCE_S: Final = 10.0
_MAX_BYTES: Final = 1_048_576
_KEPT_S: Final = 3_600.0
_KEYS_AGAIN_S: Final = 30.0
_SKEW_S: Final = 120.0
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one sign-in at the provider is tied to; derived, so that all of it can be had again on the way back."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class Provider:
    """One provider, and this server as its client. What it says of itself is kept for an hour."""

    def __init__(self, settings: OpenIdConnect) -> None:
        self.name = settings.name
        self.issuer = settings.issuer
        self._client_id = settings.client_id
        self._secret = _secret(settings)
        self._metadata: tuple[float, ProviderMetadata] | None = None
        self._keys: tuple[float, list[Key]] | None = None
        self._asking = asyncio.Lock()

    async def address(self, attempt: Attempt) -> str:
        """Where a browser must go to sign in (OpenID Connect Core 1.0, section 3.1.2.1; RFC 7636).

        Raises:
            Unavailable: the provider cannot be asked where that is.
        """
        where = (await self._about()).authorization_endpoint
        query = {
            "response_type": "code",
            "scope": SCOPE,
            "client_id": self._client_id,
            "redirect_uri": attempt.redirect_uri,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": urlsafe_b64encode(sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(query)}"

    async def person(self, attempt: Attempt, code: str, answered_by: str | None) -> Person:
        """Who came back with `code`. `answered_by` is the `iss` that came with it (RFC 9207).

        Raises:
            LoginRequired: the provider does not stand by this code, or what it says proves nobody.
            Unavailable: it cannot be asked.
        """
        about = await self._about()
        if answered_by is None and about.authorization_response_iss_parameter_supported:
            raise self._unproven("the answer does not say which provider it is from")
        if answered_by not in {None, self.issuer}:
            raise self._unproven("the answer is from another provider")
        tokens = await self._redeemed(about, attempt, code)
        claims = await self._proven(about, tokens.id_token, attempt.nonce)
        email, verified = claims.email, claims.email_verified
        if email is None and about.userinfo_endpoint and tokens.access_token:
            told = await self._userinfo(about.userinfo_endpoint, tokens.access_token)
            if told.sub != claims.sub:
                raise self._unproven("it speaks of two different people")
            email, verified = told.email, told.email_verified
        believed = email and (verified is True or (isinstance(verified, str) and verified.casefold() == "true"))
        return Person(claims.sub, email.casefold() if email and believed else None)

    async def _redeemed(self, about: ProviderMetadata, attempt: Attempt, code: str) -> ProviderTokens:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {}
        methods = about.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        if self._secret and ("client_secret_basic" in methods or "client_secret_post" not in methods):
            # %20 and not +: some providers read it as a form, some as a part of an address (RFC 6749 section 2.3.1).
            pair = f"{quote(self._client_id, safe='')}:{quote(self._secret.reveal(), safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            fields["client_id"] = self._client_id
            if self._secret:
                fields["client_secret"] = self._secret.reveal()
        status, body = await self._ask(about.token_endpoint, headers, fields)
        if status == 200:
            return self._read(body, ProviderTokens)
        word = _refusal(body)
        if word == "invalid_grant":
            raise LoginRequired(
                f"{self.name} says that this sign-in was used before or took too long", code="code_refused"
            )
        _log.warning("the OpenID Connect provider %s refuses this server: %s %s", self.issuer, status, word)
        raise self._trouble(f"it refuses this server ({word or status})")

    async def _proven(self, about: ProviderMetadata, token: str, nonce: str) -> IdClaims:
        """The claims of an ID token, all checked (OpenID Connect Core 1.0, section 3.1.3.7)."""
        claims = self._claims(about, token, await self._known_keys(about))
        if claims is None:  # perhaps the provider has a new key
            newer_than = time.monotonic() - _KEYS_AGAIN_S
            claims = self._claims(about, token, await self._known_keys(about, newer_than))
        if claims is None:
            raise self._unproven("its token is not signed by a key of its own")
        now = time.time()
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != self.issuer:
            raise self._unproven("its token is another issuer's")
        if self._client_id not in audience or (len(audience) > 1 and claims.azp is None):
            raise self._unproven("its token is for another program")
        if claims.azp not in {None, self._client_id}:
            raise self._unproven("its token was given to another program")
        if claims.nonce != nonce:
            raise self._unproven("its token is of another sign-in")
        if claims.exp <= now - _SKEW_S:
            raise self._unproven("its token has expired; is a clock wrong?")
        if claims.iat > now + _SKEW_S:
            raise self._unproven("its token is from the future; is a clock wrong?")
        return claims

    def _claims(self, about: ProviderMetadata, token: str, keys: list[Key]) -> IdClaims | None:
        """What a key of the provider's has signed, whoever it is for; None: none of these keys has."""
        said = about.id_token_signing_alg_values_supported or ["RS256"]
        algorithms = [name for name in ALGORITHMS if name in said]
        for key in keys:
            try:
                decoded = jwt.decode(token, key, algorithms=algorithms)
            except (JoseError, ValueError, TypeError):
                continue
            if (kid := decoded.header.get("kid")) is not None and key.kid not in {None, kid}:
                continue
            try:
                return msgspec.convert(decoded.claims, IdClaims)
            except msgspec.ValidationError as error:
                raise self._unproven(f"its token does not fit: {error}") from error
        return None

    async def _userinfo(self, address: str, access_token: str) -> UserInfo:
        status, body = await self._ask(address, {"Authorization": f"Bearer {access_token}"})
        if status != 200:
            raise self._trouble(f"it does not tell who this is ({status})")
        return self._read(body, UserInfo)

    async def _about(self) -> ProviderMetadata:
        """What the provider says of itself, under the very name it was configured by (Discovery 1.0, section 4.3)."""
        async with self._asking:
            if self._metadata and time.monotonic() < self._metadata[0] + _KEPT_S:
                return self._metadata[1]
            status, body = await self._ask(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if status != 200:
                raise self._trouble(f"it does not say what it is ({status})")
            about = self._read(body, ProviderMetadata)
            if about.issuer != self.issuer:
                _log.warning("the OpenID Connect provider %s calls itself %s", self.issuer, about.issuer[:200])
                raise self._trouble("it goes by another name; is --oidc-issuer spelled as the provider does?")
            secure = urlsplit(self.issuer).scheme
            for where in (
                about.authorization_endpoint,
                about.token_endpoint,
                about.jwks_uri,
                about.userinfo_endpoint,
            ):
                if where is not None and urlsplit(where).scheme not in {secure, "https"}:
                    raise self._trouble("it names an address that is not https")
            self._metadata = time.monotonic(), about
            return about

    async def _known_keys(self, about: ProviderMetadata, newer_than: float = float("-inf")) -> list[Key]:
        """The provider's keys, asked for after the moment `newer_than`."""
        async with self._asking:
            if self._keys and self._keys[0] > max(newer_than, time.monotonic() - _KEPT_S):
                return self._keys[1]
            status, body = await self._ask(about.jwks_uri)
            if status != 200:
                raise self._trouble(f"it does not show its keys ({status})")
            keys = [key for row in self._read(body, ProviderKeys).keys if (key := _key(row)) is not None]
            self._keys = time.monotonic(), keys
            return keys

    async def _ask(
        self, address: str, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The status and body of one answer.

        Raises:
            Unavailable: there was none in time, or it was too long.
        """
        body = urlencode(form).encode() if form is not None else None
        request = Request(address, body, {"Accept": "application/json", **(headers or {})})  # noqa: S310 - checked http(s)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status, raw = await asyncio.to_thread(_answer, request)
        except (OSError, HTTPException, ValueError) as error:  # a timeout is an OSError
            _log.info("the OpenID Connect provider %s cannot be asked: %s", self.issuer, error)
            raise self._trouble("it cannot be reached") from error
        if len(raw) > _MAX_BYTES:
            raise self._trouble("its answer is too long")
        return status, raw

    def _read(self, body: bytes, kind: type[T]) -> T:
        try:
            return lenient.decoded(body, msgspec.json.Decoder(kind))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._trouble("its answer cannot be understood") from error

    def _trouble(self, why: str) -> Unavailable:
        return Unavailable(f"{self.name} cannot sign anybody in now: {why}", code="provider_unavailable")

    def _unproven(self, why: str) -> LoginRequired:
        _log.warning("a sign-in through %s proved nobody: %s", self.issuer, why)
        return LoginRequired(f"{self.name} did not prove who you are: {why}", code="identity_unproven")


class _NoRedirects(HTTPRedirectHandler):
    """A redirect is an answer like any other: a secret or a code goes where it was meant to and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """None: do not follow."""


_OPENER: Final[OpenerDirector] = build_opener(ProxyHandler({}), _NoRedirects)


def _answer(request: Request) -> tuple[int, bytes]:
    try:
        with _OPENER.open(request, timeout=_PATIENCE_S) as answer:
            return int(answer.status), answer.read(_MAX_BYTES + 1)
    except HTTPError as refusal:  # any status that is not 2xx
        with refusal:
            return refusal.code, refusal.read(_MAX_BYTES + 1)


def _refusal(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=ProviderRefusal).error[:80]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _key(row: dict[str, object]) -> Key | None:
    """A key for signatures; None for any other, and for one we cannot read."""
    if row.get("use", "sig") != "sig" or row.get("kty") not in {"RSA", "EC"}:
        return None
    try:
        return JWKRegistry.import_key(row)  # type: ignore[arg-type]  # foreign data; it checks each member itself
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _secret(settings: OpenIdConnect) -> Secret | None:
    path = settings.client_secret_file
    if path is None:
        return None
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the client secret cannot be read from {path}: {error}") from error
    if not text:
        raise Misconfigured(f"the client secret file {path} is empty; nothing was started")
    return Secret(text)
