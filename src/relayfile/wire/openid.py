"""What an OpenID Connect provider says: its metadata, its token answer, its claims about a person."""

from typing import Annotated

import msgspec


class ProviderMetadata(msgspec.Struct, frozen=True):
    """`/.well-known/openid-configuration` (OpenID Connect Discovery 1.0, section 3; RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    id_token_signing_alg_values_supported: list[str] = []
    token_endpoint_auth_methods_supported: list[str] = []
    authorization_response_iss_parameter_supported: bool = False


class ProviderTokens(msgspec.Struct, frozen=True):
    """The answer of the token endpoint (OpenID Connect Core 1.0, section 3.1.3.3)."""

    id_token: str
    access_token: str = ""


class ProviderRefusal(msgspec.Struct, frozen=True):
    """Its refusal (RFC 6749, section 5.2)."""

    error: str
    error_description: str = ""


class ProviderKeys(msgspec.Struct, frozen=True):
    """A JWKS; what each key is, its reader decides (RFC 7517)."""

    keys: list[dict[str, object]]


class IdClaims(msgspec.Struct, frozen=True):
    """The claims of an ID token that we look at (OpenID Connect Core 1.0, sections 2 and 5.1).

    `email_verified` is a boolean by the standard; some providers send a word.
    """

    iss: str
    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str | None = None
    azp: str | None = None
    email: str | None = None
    email_verified: bool | str | None = None


class UserInfo(msgspec.Struct, frozen=True):
    """The answer of the userinfo endpoint (OpenID Connect Core 1.0, section 5.3)."""

    sub: str
    email: str | None = None
    email_verified: bool | str | None = None
