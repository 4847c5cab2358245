"""Who a request comes from, and what it may do in a workspace. Every data route asks here first."""

from dataclasses import dataclass
from typing import Protocol

from relayfile.core.scopes import Scopes
from relayfile.errors import Forbidden
from relayfile.model import Principal


@dataclass(frozen=True, slots=True)
class Access:
    """A principal in one workspace: its token's scopes, narrowed by its role there."""

    principal: Principal
    workspace: str
    scopes: Scopes
    role: str

    def require(self, action: str, path: str | None) -> None:
        """`action` is allowed on `path` (None: on some path at all).

        Raises:
            Forbidden: code `forbidden`, "missing required scope: fs:read".
        """
        if not self.scopes.allows(action, path):
            raise Forbidden(f"missing required scope: {action}")


class Bearer(Protocol):
    """Checks bearer tokens against families, memberships and workspaces."""

    async def principal(self, token: str | None) -> Principal:
        """The principal that `token` proves. `relay_pa_` and its like are stripped.

        Raises:
            LoginRequired: code `login_required`, `token_invalid`, `token_expired` or `token_revoked`.
        """

    async def access(self, principal: Principal, workspace: str) -> Access:
        """What `principal` may do in `workspace`.

        Raises:
            NotFound: `workspace_not_found`: unknown, or not a member.
            RelayfileError: 410 `workspace_deleted`.
            Forbidden: the token is of another workspace, or has no scopes.
        """

    async def revoked(self, principal: Principal) -> str:
        """The reason, once the principal's family has ended; until then it waits. Expiry does not count (R3)."""
