"""Machine tokens on the wire: `/api/v1/auth/tokens`, and the form of a token and of the file that holds one."""

from typing import Final

import msgspec

MACHINE_PREFIX: Final = "cld_mt_"


class TokenRequest(msgspec.Struct, frozen=True):
    """Body of `POST /api/v1/auth/tokens`. `workspace` None: every workspace its maker may enter."""

    name: str
    scopes: list[str]
    ttl_seconds: float
    workspace: str | None = None


class TokenRow(msgspec.Struct, frozen=True):
    """One machine token (`GET /api/v1/auth/tokens`: an array). `state` is `live`, `expired` or `revoked`.

    `account` and `username` are those of who made it; the uses are None while there was none.
    """

    id: str
    name: str
    state: str
    scopes: list[str]
    workspace: str | None
    account: str
    username: str
    made_by: str
    created_at: str
    expires_at: str
    first_used_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    revoked_by: str | None


class TokenMade(msgspec.Struct, frozen=True):
    """201 of `POST /api/v1/auth/tokens`: the only answer that ever holds the token."""

    token: str
    row: TokenRow
