"""What there is: folder listings and queries (3-protocol B 1.2, 1.9)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import apsw
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from relayfile.core.listing import bounds, entries
from relayfile.errors import UsageError
from relayfile.model import SYMLINK, TreePath
from relayfile.server import contents
from relayfile.server.door import Door, number
from relayfile.server.files import json, path_text
from relayfile.server.store import files as store
from relayfile.server.store.database import Database
from relayfile.server.store.files import State
from relayfile.server.views import READ, View, Views
from relayfile.wire import data

PAGE: Final = 1_000


def folder_asked(request: Request) -> str:
    """The folder in the query, without slashes around it; "" is the root.

    Raises:
        UsageError: `invalid_path`.
    """
    text = path_text(request).strip("/")
    return TreePath.parse(text) if text else ""


def cursor_asked(request: Request, folder: str) -> str:
    """The path behind which the page of `folder` begins; "" begins at the front.

    A path that is gone since its page was told is a place as good as any (docs/decisions/0006).

    Raises:
        UsageError: no page of this listing could have ended there.
    """
    text = request.query_params.get("cursor", "")
    if not text:
        return ""
    try:
        path = TreePath.parse(path_text(request, "cursor"))
    except UsageError:
        path = None
    if path is None or path.wire != text or not path.startswith(bounds(folder)[0]):
        raise UsageError(
            f"not a cursor of this listing: {text[:120]!r}",
            hint="give the nextCursor of the page before it, unchanged",
        )
    return path


@dataclass(frozen=True, slots=True)
class Listings:
    """The routes that list."""

    door: Door
    database: Database
    views: Views

    async def tree(self, request: Request) -> Response:
        """`GET fs/tree`: one page of files and folders, in byte order; its cursor is the last path of the page."""
        access = await self.door.enter(request, READ)
        folder = folder_asked(request)
        depth = number(request, "depth", 10, most=100)
        after = cursor_asked(request, folder)

        def query(connection: apsw.Connection) -> data.TreePage:
            view = self.views.of(connection, access)

            def paths(first: str, end: str | None) -> Iterator[TreePath]:
                found = store.live_paths(connection, view.log, first, end)
                return filter(view.shows, found) if view.name else found

            walk = entries(folder, depth, after, paths)
            page = [
                _folder(path) if is_folder else _file(connection, view, TreePath(path))
                for path, is_folder in islice(walk, PAGE)
            ]
            more = len(page) == PAGE and next(walk, None) is not None
            whole = not folder and not view.name and view.log.files
            return data.TreePage(
                path="/" + folder,
                entries=page,
                next_cursor=page[-1].path if more else None,
                total_files=view.log.files if whole else msgspec.UNSET,
            )

        return json(await self.database.read(query))

    async def query(self, request: Request) -> Response:
        """`GET fs/query`: files below a path whose semantics have everything that was asked for."""
        access = await self.door.enter(request, READ)
        folder = folder_asked(request)
        limit = number(request, "limit", 100)
        after = cursor_asked(request, folder)
        wanted = _Wanted.of(request)

        def query(connection: apsw.Connection) -> data.QueryPage:
            view = self.views.of(connection, access)
            matching = (
                (path, state)
                for path, state in store.live_states(connection, view.log, *behind(folder, after))
                if view.shows(path) and wanted.by(path, state)
            )
            page = [_query_item(path, state) for path, state in islice(matching, limit)]
            more = len(page) == limit and next(matching, None) is not None
            return data.QueryPage(items=page, next_cursor=page[-1].path if more else None)

        return json(await self.database.read(query))


def behind(folder: str, after: str) -> tuple[str, str | None]:
    """Where the paths below `folder` and behind `after` ("" for all) begin and end."""
    first, end = bounds(folder)
    return (max(first, after + "\0") if after else first), end


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a query asks for; what is empty is not asked."""

    provider: str
    relation: str
    permission: str
    comment: str
    properties: dict[str, str]

    @classmethod
    def of(cls, request: Request) -> "_Wanted":
        asked = request.query_params
        properties = {
            name.removeprefix("property."): value for name, value in asked.items() if name.startswith("property.")
        }
        provider, relation, permission, comment = (
            asked.get(name, "") for name in ("provider", "relation", "permission", "comment")
        )
        return cls(provider, relation, permission, comment, properties)

    def by(self, path: TreePath, state: State) -> bool:
        """Whether the file has everything asked for."""
        if self.provider and data.provider(path).lower() != self.provider.lower():
            return False
        said = contents.semantics_of(state)
        return (
            (not self.relation or self.relation in said.relations)
            and (not self.permission or self.permission in said.permissions)
            and (not self.comment or self.comment in said.comments)
            and all(said.properties.get(name) == value for name, value in self.properties.items())
        )


def _folder(path: str) -> data.TreeEntry:
    return data.TreeEntry(path="/" + path, type="dir", revision="dir")


def _file(connection: apsw.Connection, view: View, path: TreePath) -> data.TreeEntry:
    state = store.state_of(connection, view.log, path)
    assert state is not None, "listed in this very transaction"
    said = contents.semantics_of(state)
    return data.TreeEntry(
        path=path.wire,
        type="symlink" if state.mode == SYMLINK else "file",
        revision=f"rev_{state.position}",
        content_hash=state.digest.hex(),
        provider=data.provider(path),
        size=state.size if state.encoding != "base64" else -(-state.size // 3) * 4,
        updated_at=data.moment(state.at_ns),
        property_count=len(said.properties),
        relation_count=len(said.relations),
        permission_count=len(said.permissions),
        comment_count=len(said.comments),
        mode=data.mode_number(state.mode),
    )


def _query_item(path: TreePath, state: State) -> data.QueryItem:
    said = contents.semantics_of(state)
    return data.QueryItem(
        path=path.wire,
        revision=f"rev_{state.position}",
        content_type=state.content_type,
        provider=data.provider(path),
        last_edited_at=data.moment(state.at_ns),
        size=state.size,
        properties=said.properties,
        relations=said.relations,
        permissions=said.permissions,
        comments=said.comments,
    )
