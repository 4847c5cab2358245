"""The composition root: settings in, the whole server out. What there is, and where it answers, is on this page."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from relayfile import __version__
from relayfile.credentials.home import mark_secrets
from relayfile.server.blobs import Blobs
from relayfile.server.config import Settings
from relayfile.server.door import Door
from relayfile.server.exports import Exports
from relayfile.server.feed import Feed
from relayfile.server.files import Files, Writer, json
from relayfile.server.hub import Hub
from relayfile.server.identity import Identity
from relayfile.server.listings import Listings
from relayfile.server.live import Live
from relayfile.server.merges import Merges
from relayfile.server.ops import Operations
from relayfile.server.problems import HANDLERS
from relayfile.server.requestlog import LogFile, RequestLog
from relayfile.server.store import feed, idempotency
from relayfile.server.store.bodies import BlobFolder
from relayfile.server.store.continuity import HighWater, resume
from relayfile.server.store.database import Database, connect, sound
from relayfile.server.store.migrations import migrate
from relayfile.server.views import Views
from relayfile.wire.data import Health

DATABASE: Final = "relayfile.db"
FEATURES: Final = ["symlink-v1", "file-stream-v1", "bulk-read-v1", "delta-v1", "blobs-v1", "live-marks-v1"]
TIDY_EVERY_S: Final = 3_600.0
_DAY_NS: Final = 86_400 * 1_000_000_000
_WS: Final = "/v1/workspaces/{ws}"


def create(settings: Settings) -> Starlette:
    """The server over `settings.data`, ready to be served; its lifespan ends what was begun here.

    `state.welcome` is what the operator must be told at this start, or None.

    Raises:
        Damaged: the database is broken or of a newer version, or SQLite is too old.
        Misconfigured: a folder, a key or the database cannot be used.
    """
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark_secrets(settings.data)
    high_water = HighWater(settings.data)
    with sound(settings.data / DATABASE):
        connection = connect(settings.data / DATABASE)
        try:
            migrate(connection)
            with connection:
                restored = resume(connection, high_water.read(), now_s=time.time())
            high_water.committed(connection)
        finally:
            connection.close()
        database = Database(settings.data / DATABASE, committed=high_water.committed)
        identity = Identity.open(database, settings, restored=restored)
    log = LogFile(None if settings.logs.to_stderr else settings.data / "access.log")

    views, hub, blobs = Views(), Hub(), BlobFolder(settings.data / "blobs")
    door = Door(identity.bearer, settings.limits)
    files = Files(door, Writer(database, views, hub, blobs))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tidying = asyncio.create_task(tidy(database, settings.limits.prune_tombstones_days))
        try:
            yield
        finally:
            tidying.cancel()
            with suppress(asyncio.CancelledError):
                await tidying
            await identity.close()
            await asyncio.to_thread(database.close)
            high_water.close()
            log.flush()

    app = Starlette(
        routes=[
            *_data_routes(
                files=files,
                merges=Merges(door, files.writer),
                log=Feed(door, database, views),
                blobs=Blobs(door, database, views, blobs),
                listings=Listings(door, database, views),
                exports=Exports(door, database, views, blobs),
                live=Live(door, database, views, hub),
                operations=Operations(door, database, views),
            ),
            Route("/health", health),
            *identity.routes(),
        ],
        middleware=[Middleware(RequestLog, write=log.line if settings.logs.access else None)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.welcome = identity.welcome
    return app


def _data_routes(
    *,
    files: Files,
    merges: Merges,
    log: Feed,
    blobs: Blobs,
    listings: Listings,
    exports: Exports,
    live: Live,
    operations: Operations,
) -> list[BaseRoute]:
    return [
        Route(f"{_WS}/fs/bulk", files.bulk, methods=["POST"]),
        Route(f"{_WS}/fs/file", files.read, methods=["GET"]),
        Route(f"{_WS}/fs/file", files.put, methods=["PUT"]),
        Route(f"{_WS}/fs/file", files.delete, methods=["DELETE"]),
        Route(f"{_WS}/fs/merge", merges.merge, methods=["POST"]),
        Route(f"{_WS}/fs/bulk-read", files.bulk_read, methods=["POST"]),
        Route(f"{_WS}/fs/delta", log.delta, methods=["GET"]),
        Route(f"{_WS}/fs/digest", log.digest, methods=["GET"]),
        Route(f"{_WS}/fs/events", log.events, methods=["GET"]),
        WebSocketRoute(f"{_WS}/fs/ws", live.socket),
        Route(f"{_WS}/fs/ws", live.upgrade, methods=["GET"]),
        Route(f"{_WS}/fs/blobs", blobs.many, methods=["POST"]),
        Route(f"{_WS}/fs/blob/{{digest}}", blobs.one, methods=["GET"]),
        Route(f"{_WS}/fs/tree", listings.tree, methods=["GET"]),
        Route(f"{_WS}/fs/query", listings.query, methods=["GET"]),
        Route(f"{_WS}/fs/export", exports.export, methods=["GET"]),
        Route(f"{_WS}/ops", operations.page, methods=["GET"]),
        Route(f"{_WS}/ops/{{id}}", operations.one, methods=["GET"]),
        Route(f"{_WS}/sync/status", operations.sync_status, methods=["GET"]),
        Route(f"{_WS}/sync/refresh", operations.refresh, methods=["POST"]),
    ]


async def health(_: Request) -> Response:
    """`GET /health`: this is relayfile, and what it can do."""
    return json(Health(status="ok", features=FEATURES, product="relayfile", version=__version__))


async def tidy(database: Database, prune_days: float | None) -> None:
    """At the start, and each hour: idempotency keys whose time is over are gone, and old tombstones if so wished."""
    while True:
        now_ns = time.time_ns()
        await database.write(lambda connection: idempotency.forget(connection, now_ns))  # noqa: B023 - awaited at once
        if prune_days is not None:
            before_ns = now_ns - int(prune_days * _DAY_NS)
            await database.write(lambda connection: feed.prune_tombstones(connection, before_ns=before_ns))  # noqa: B023
        await asyncio.sleep(TIDY_EVERY_S)
