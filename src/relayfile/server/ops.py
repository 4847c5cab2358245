"""v1's records of writes and of providers, answered from the log: ours are done when they are acknowledged (R43)."""

from dataclasses import dataclass

import apsw
from starlette.requests import Request
from starlette.responses import Response

from relayfile.errors import NotFound
from relayfile.server.door import Door, number
from relayfile.server.feed import v1_position
from relayfile.server.files import json
from relayfile.server.requestlog import correlation_of
from relayfile.server.store import feed as store
from relayfile.server.store import files
from relayfile.server.store.database import Database
from relayfile.server.store.feed import DELETED, Event
from relayfile.server.views import READ, View, Views
from relayfile.wire import data
from relayfile.wire.data import Operation

_READ_OPS = "ops:read"
_READ_SYNC = "sync:read"
_TRIGGER_SYNC = "sync:trigger"
_STEP = 1_000


@dataclass(frozen=True, slots=True)
class Operations:
    """The routes of operations and of the sync status."""

    door: Door
    database: Database
    views: Views

    async def one(self, request: Request) -> Response:
        """`GET ops/{id}`: `op_N` is the write that made position N."""
        access = await self.door.enter(request, _READ_OPS)
        name = request.path_params["id"]

        def query(connection: apsw.Connection) -> Operation:
            view = self.views.of(connection, access)
            position = v1_position(name)
            event = store.event_at(connection, view.log, position) if position else None
            if event is None or not _shows(view, event):
                raise NotFound(f"no operation {name[:40]!r}")
            return _operation(event)

        return json(await self.database.read(query))

    async def page(self, request: Request) -> Response:
        """`GET ops`: newest first."""
        access = await self.door.enter(request, _READ_OPS)
        asked = request.query_params
        limit = number(request, "limit", 100)
        before = v1_position(asked.get("cursor", ""))

        def matches(operation: Operation) -> bool:
            return all(
                not asked.get(name) or asked[name].lower() == value.lower()
                for name, value in (
                    ("status", operation.status),
                    ("action", operation.action),
                    ("provider", operation.provider),
                )
            )

        def query(connection: apsw.Connection) -> data.OpsPage:
            view = self.views.of(connection, access)
            position = before or view.log.head + 1
            found: list[Operation] = []
            while len(found) <= limit:
                events = list(store.events_before(connection, view.log, position, limit=_STEP))
                if not events:
                    break
                position = events[-1].position
                operations = (_operation(event) for event in events if _shows(view, event))
                found += (operation for operation in operations if matches(operation))
            more = len(found) > limit
            return data.OpsPage(items=found[:limit], next_cursor=found[limit - 1].op_id if more else None)

        return json(await self.database.read(query))

    async def sync_status(self, request: Request) -> Response:
        """`GET sync/status`: a row for each provider (first folder) that has files."""
        access = await self.door.enter(request, _READ_SYNC)
        wanted = request.query_params.get("provider", "").lower()

        def query(connection: apsw.Connection) -> data.SyncStatus:
            view = self.views.of(connection, access)
            providers: list[str] = []
            first = ""
            while (path := next(files.live_paths(connection, view.log, first, None), None)) is not None:
                provider = data.provider(path)
                if not view.name or any(
                    view.can(READ, below)
                    for below in files.live_paths(connection, view.log, provider + "/", provider + "0")
                ):
                    providers.append(provider)
                first = provider + "0" if provider else path + "\0"
            shown = sorted({each for each in providers if each and (not wanted or each.lower() == wanted)})
            return data.SyncStatus(
                workspace_id=access.workspace,
                providers=[data.ProviderStatus(provider=each, status="healthy") for each in shown],
            )

        return json(await self.database.read(query))

    async def refresh(self, request: Request) -> Response:
        """`POST sync/refresh`: v1's `pull` asks that a provider be read again. None is connected here: done."""
        await self.door.enter(request, _TRIGGER_SYNC)
        await self.door.body(request)
        correlation = correlation_of(request.scope)
        return json(data.Queued(id=f"refresh_{correlation}", correlation_id=correlation), 202)


def _shows(view: View, event: Event) -> bool:
    return view.access.scopes.allows(_READ_OPS, event.path) and view.acl.allows(event.path, view.who)


def _operation(event: Event) -> Operation:
    at = data.moment(event.at_ns)
    return Operation(
        op_id=f"op_{event.position}",
        path=event.path.wire,
        revision=f"rev_{event.position}",
        action="file_delete" if event.kind == DELETED else "file_upsert",
        provider=data.provider(event.path),
        status="succeeded",
        attempt_count=1,
        correlation_id=event.correlation,
        created_at=at,
        updated_at=at,
        completed_at=at,
    )
