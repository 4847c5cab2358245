"""The identity side of the server as one thing: keys, accounts, sign-in, tokens, workspaces, audit."""

from typing import Protocol

from starlette.routing import BaseRoute

from relayfile.server.bearer import Bearer


class Identity(Protocol):
    """Opened once by `server/app.py`, after the schema is there: `Identity.open(database, settings)`."""

    bearer: Bearer
    welcome: str | None
    """How to sign in, on the first start of this data folder; else None. Never holds a secret."""

    def routes(self) -> list[BaseRoute]:
        """Every route of sign-in and of the control plane."""

    async def close(self) -> None:
        """Background work has ended; the one-use owner sign-in of this start is void and its file gone."""
