"""Which processes hold a credential of a sign-in, as its tokens' events tell.

`GET /api/v1/auth/sessions/{id}/processes`.
"""

from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relayfile.errors import NotFound
from relayfile.server.auth import NO_STORE
from relayfile.server.bearer import Bearer
from relayfile.server.intake import caller
from relayfile.server.store import accounts, audit, families
from relayfile.server.store.accounts import OWNER
from relayfile.server.store.audit import Process
from relayfile.server.store.database import Database
from relayfile.wire.auth import ProcessRow, rfc3339

_MOST: Final = 100


class ProcessRoutes:
    """What the audit log knows of the users of one family. A token may ask about its own; a person about theirs."""

    def __init__(self, database: Database, bearer: Bearer) -> None:
        self._database = database
        self._bearer = bearer

    def routes(self) -> list[BaseRoute]:
        """The one route."""
        return [Route("/api/v1/auth/sessions/{id}/processes", self.processes, methods=["GET"])]

    async def processes(self, request: Request) -> Response:
        """The processes that got its tokens, the latest first."""
        principal = await caller(self._bearer, request)
        family = request.path_params["id"]

        def query(connection: apsw.Connection) -> list[Process]:
            stored, account = families.load(connection, family), accounts.by_id(connection, principal.account)
            mine = stored is not None and stored.holder.account == principal.account
            everyones = account is not None and account.kind == OWNER
            in_person = principal.workspace is None and principal.family is not None
            if stored is None or not in_person or not (mine or everyones):
                raise NotFound(
                    f"no sign-in {family[:40]!r} of yours",
                    code="session_not_found",
                    hint="`relayfile auth sessions` shows them",
                )
            return audit.processes(connection, family, _MOST)

        rows = [_row(process) for process in await self._database.read(query)]
        return Response(msgspec.json.encode(rows), media_type="application/json", headers=NO_STORE)


def _row(process: Process) -> ProcessRow:
    client = process.client
    return ProcessRow(
        process.family,
        process.kind,
        client.client,
        client.host,
        client.pid,
        rfc3339(process.first_at),
        rfc3339(process.last_at),
        process.times,
    )
