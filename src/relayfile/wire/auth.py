"""Sign-in on the wire: token answers, sessions, audit rows, workspaces, the v1 control plane, and token forms.

The standard OAuth routes speak snake_case, the v1 routes camelCase (3-protocol B.3); both are doors to one service.
Times of people are RFC 3339 in UTC; times of token answers are seconds, as RFC 6749 has them.
"""

import os
import re
import socket
from datetime import UTC, datetime
from typing import Final

import msgspec

CLIENT_ID: Final = "relayfile-cli"
GRANT_PASSWORD: Final = "password"  # noqa: S105 - the name of a grant type
GRANT_REFRESH: Final = "refresh_token"
GRANT_DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_OWNER: Final = "urn:relayfile:params:oauth:grant-type:owner-signin"
GRANT_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE_ACCESS: Final = "urn:ietf:params:oauth:token-type:access_token"
TYPE_REFRESH: Final = "urn:ietf:params:oauth:token-type:refresh_token"

DPOP_ALGORITHM: Final = "ES256"
DPOP_KIND: Final = "dpop+jwt"
USE_DPOP_NONCE: Final = "use_dpop_nonce"
"""The proof's nonce is missing or old. Nothing was used up: repeat at once with that of `DPoP-Nonce` (R11)."""

INVALID_DPOP_PROOF: Final = "invalid_dpop_proof"
"""The proof of the key does not hold, or there is none. Never a verdict on the credential (R11)."""

ACCESS_PREFIX: Final = "cld_at_"
REFRESH_PREFIX: Final = "cld_rt_"

SESSION_LOST: Final = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})
"""The only `error` words of a JSON body that end a session (4-sessions I9)."""


def rfc3339(at: float) -> str:
    """The moment as people and v1 clients read it: UTC, microseconds, `Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TokenAnswer(msgspec.Struct, frozen=True):
    """200 of `POST /oauth/token` (R26)."""

    access_token: str
    expires_in: float
    refresh_token: str
    refresh_token_expires_in: float
    absolute_expires_at: str
    scope: str
    family: str
    generation: int
    api_url: str
    account: str
    username: str = ""
    token_type: str = "Bearer"  # noqa: S105 - the name of a kind


class EnrolmentAnswer(TokenAnswer, frozen=True):
    """200 of the token exchange: a daemon credential (R10). Its refresh token stays the same as long as it lives.

    `jkt` is the thumbprint of the key that every renewal must prove (RFC 7638).
    """

    issued_token_type: str = TYPE_REFRESH
    kind: str = "daemon"
    workspace: str = ""
    mirror: str = ""
    jkt: str = ""


class ProofHeader(msgspec.Struct, frozen=True):
    """The header of a DPoP proof (RFC 9449 section 4.2). `jwk` is the public half of the key, nothing more."""

    jwk: dict[str, str]
    alg: str = DPOP_ALGORITHM
    typ: str = DPOP_KIND


class ProofClaims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a DPoP proof says: this request (`htm`, `htu`), once (`jti`), now (`nonce`; `iat` is not judged, R11)."""

    jti: str
    htm: str
    htu: str
    iat: float
    nonce: str | None = None


class OAuthError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Any refusal of an `/oauth` route: 400, 401 `invalid_client`, 429 or 503 with Retry-After.

    `ended_by`, `ended_from`, `ended_at`: whose hand ended the credential, from which host, and when, where known.
    """

    error: str
    error_description: str = ""
    error_reason: str = ""
    family: str | None = None
    generation: int | None = None
    request_id: str = ""
    retry_after_seconds: float | None = None
    ended_by: str | None = None
    ended_from: str | None = None
    ended_at: str | None = None


class DeviceAnswer(msgspec.Struct, frozen=True):
    """200 of `POST /oauth/device_authorization` (RFC 8628 section 3.2)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class ServerMetadata(msgspec.Struct, frozen=True):
    """`GET /.well-known/oauth-authorization-server` (RFC 8414), and what tells a relayfile server from others."""

    issuer: str
    token_endpoint: str
    device_authorization_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    scopes_supported: list[str]
    refresh_nonce_supported: bool
    refresh_token_expiration_types_supported: list[str]
    relayfile_version: str
    dpop_signing_alg_values_supported: list[str] = []


class WhoAmI(msgspec.Struct, frozen=True):
    """`GET /api/v1/auth/whoami`. `kind`: `owner` or `person`; machine tokens have `token`, a name, no `family`."""

    account: str
    username: str
    kind: str
    family: str | None
    generation: int | None
    scope: str
    expires_at: str
    token: str | None = None


class SessionRow(msgspec.Struct, frozen=True):
    """One live credential family, as `relayfile auth sessions` shows it (`GET /api/v1/auth/sessions`: an array).

    `client`, `host` and `pid` are who began it, `last_client`, `last_host` and `last_pid` who used its refresh token
    last. A daemon credential names its `mirror`, its `workspace`, and as `parent` the sign-in that enrolled it.
    """

    id: str
    kind: str
    client: str
    host: str | None
    pid: int | None
    profile: str | None
    mirror: str | None
    created_at: str
    last_used_at: str
    expires_at: str
    current: bool
    old_clients: bool
    account: str = ""
    username: str = ""
    workspace: str | None = None
    parent: str | None = None
    last_client: str = ""
    last_host: str | None = None
    last_pid: int | None = None


class ProcessRow(msgspec.Struct, frozen=True):
    """A process that got a token of a family, or of one it enrolled (`GET /api/v1/auth/sessions/{id}/processes`).

    `kind` is the family's: a process of a `daemon` has a credential of its own. `times`: how often it got one.
    """

    family: str
    kind: str
    client: str
    host: str | None
    pid: int | None
    first_at: str
    last_at: str
    times: int


class AuditRow(msgspec.Struct, frozen=True):
    """One token event (R13), one element of the array `GET /api/v1/auth/events?after=N&limit=M` answers.

    `generation` is the one the client presented: `rotated 4` says that 4 was consumed and 5 issued. `issued` is 1.
    """

    n: int
    at: str
    event: str
    family: str | None
    generation: int | None
    client: str
    host: str | None
    pid: int | None
    reason: str | None


class SignedOut(msgspec.Struct, frozen=True):
    """200 of `DELETE /api/v1/auth/sessions?all=1`: how many credentials of the caller's account have ended."""

    ended: int


class WorkspaceRow(msgspec.Struct, frozen=True, rename="camel"):
    """One workspace I am a member of (`GET /api/v1/workspaces`: an array; POST answers one)."""

    workspace_id: str
    name: str
    role: str
    created_at: str
    relayfile_url: str
    relaycast_api_key: str = ""


class WorkspaceRequest(msgspec.Struct, frozen=True, rename="camel"):
    """`POST /api/v1/workspaces`. Without a name the id is the name."""

    name: str = ""


class WorkspaceResolved(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /api/v1/workspaces/{id}/resolve`; here both ids are the same."""

    cloud_workspace_id: str
    relayfile_workspace_id: str
    provisioned: bool


class V1Grant(msgspec.Struct, frozen=True, rename="camel"):
    """What the v1 doors answer: `auth/token/refresh` and `cli/login`. Also the keys of the credential file."""

    access_token: str
    access_token_expires_at: str
    refresh_token: str
    refresh_token_expires_at: str
    api_url: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a kind


class V1Refresh(msgspec.Struct, frozen=True, rename="camel"):
    """Body of `POST /api/v1/auth/token/refresh` and of `POST /v1/tokens/refresh`."""

    refresh_token: str = ""


class V1Login(msgspec.Struct, frozen=True):
    """Body of `POST /api/v1/cli/login`."""

    username: str
    password: str


class Permissions(msgspec.Struct, frozen=True):
    """Part of v1's join body."""

    readonly: list[str] = []
    ignored: list[str] = []


class JoinRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of `POST /api/v1/workspaces/{id}/join`."""

    agent_name: str = ""
    scopes: list[str] = []
    permissions: Permissions = Permissions()


class JoinAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """A workspace token (R4 a) and where to use it."""

    workspace_id: str
    token: str
    token_issued_at: str
    token_expires_at: str
    suggested_refresh_at: str
    relayfile_url: str
    ws_url: str
    relaycast_api_key: str
    scopes: list[str]


class DelegationRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of `POST …/relayfile/delegated-token`: explicit scopes, or mount paths that stand for read and write."""

    agent_name: str = ""
    scopes: list[str] = []
    relayfile_mount_paths: list[str] = []
    ttl_seconds: int = 3600
    delegation_ttl_seconds: int = 86_400


class DelegationAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """A workspace token with a refresh token of its own, good until `delegationNotAfter` whatever happens."""

    relayfile_url: str
    relayauth_url: str
    relayfile_workspace_id: str
    relayfile_token: str
    relayfile_token_expires_at: str
    relayfile_refresh_token: str
    relayfile_refresh_token_expires_at: str
    delegation_not_after: str
    relayfile_scopes: list[str]
    relayfile_mount_paths: list[str]


class DelegationRefreshed(msgspec.Struct, frozen=True, rename="camel"):
    """200 of `POST /v1/tokens/refresh`."""

    access_token: str
    refresh_token: str
    access_token_expires_at: str
    refresh_token_expires_at: str
    delegation_not_after: str


class MountSessionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of `POST …/relayfile/mount-session`."""

    local_dir: str = ""
    remote_path: str = "/"
    mode: str = "poll"
    agent_name: str = ""
    scopes: list[str] = []
    provider: str = ""


class MountSessionAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """Everything the v1 mount binary needs to start."""

    workspace_id: str
    relayfile_base_url: str
    relayfile_token: str
    ws_url: str
    remote_path: str
    local_dir: str
    mode: str
    scopes: list[str]
    token_issued_at: str
    expires_at: str
    suggested_refresh_at: str
    relaycast_api_key: str


class RefreshToken(msgspec.Struct, frozen=True):
    """`cld_rt_<family>.<generation>.<mac>` (R12): says which family and generation it is of, and proves it."""

    family: str
    generation: int
    mac: str

    def text(self) -> str:
        """The token as it travels."""
        return f"{REFRESH_PREFIX}{self.family}.{self.generation}.{self.mac}"

    @classmethod
    def parse(cls, text: str) -> "RefreshToken | None":
        """The token that `text` is by its form; None when it is none. Says nothing about its proof."""
        found = _REFRESH.fullmatch(text)
        return cls(found[1], int(found[2]), found[3]) if found else None


_REFRESH: Final = re.compile(
    rf"{REFRESH_PREFIX}([0-9a-f]{{16}})\.([1-9][0-9]{{0,15}})\.([A-Za-z0-9_-]{{43}})", re.ASCII
)


class ClientName(msgspec.Struct, frozen=True):
    """Who asks: `User-Agent: relayfile/VERSION (role; host; pid)` (R13); other agents in their own words."""

    client: str
    host: str | None = None
    pid: int | None = None

    @classmethod
    def parse(cls, user_agent: str) -> "ClientName":
        """What `user_agent` tells, cut and cleaned so that it can be shown."""
        if found := _USER_AGENT.fullmatch(user_agent):
            return cls(f"{found[1]} {found[2]}", found[3], int(found[4]))
        shown = "".join(c for c in user_agent[:120] if c.isprintable())
        return cls(shown or "unknown")


_USER_AGENT: Final = re.compile(
    r"(relayfile/[\w.+-]{1,40}) \(([\w -]{1,40}); ([\w.:-]{1,120}); ([0-9]{1,10})\)", re.ASCII
)


def user_agent(version: str, role: str) -> str:
    """The `User-Agent` this process sends. `role` is `cli`, `daemon` and the like."""
    host = re.sub(r"[^\w.:-]", "-", socket.gethostname(), flags=re.ASCII)[:120] or "unknown"
    return f"relayfile/{version} ({role}; {host}; {os.getpid()})"
