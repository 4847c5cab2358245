"""What the control socket answers about the trash: what lies there, and that some of it is back."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from aiohttp import web

from relayfile.core import trash
from relayfile.core.trash import Choice, Kept, Wanted
from relayfile.errors import RelayfileError, UsageError
from relayfile.mirror.cycle import Cycle
from relayfile.mirror.engine import Engine
from relayfile.mirror.restore import Wish, portions
from relayfile.model import TreePath
from relayfile.wire import control

NOT_ALL: Final = 75
_SETTLED: Final = frozenset({None, "there"})
"""Where something lies that came after the deletion, a folder has that file already: it was not lost."""


class GivingBack:
    """The answers, by way of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Sequence[web.RouteDef]:
        """Where they are asked for."""
        return [web.get(control.TRASH, self._list), web.post(control.RESTORE, self._restore)]

    async def _list(self, request: web.Request) -> web.Response:
        kept = trash.among(await self._engine.between(_kept), _wanted(request.query))
        return web.json_response([_fields(one) for one in kept])

    async def _restore(self, request: web.Request) -> web.StreamResponse:
        wanted, to = _wanted(request.query), _path(request.query, "to")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        count = left = 0
        try:
            choices = trash.choose(await self._engine.between(_kept), wanted)
            async for told in self._restored(_wishes(choices, to)):
                count, left = count + 1, left + (told["code"] not in _SETTLED)
                await response.write(_line(told))
            ended = control.Ended(exit=NOT_ALL if left else 0, message=f"{count - left} of {count} are there")
        except RelayfileError as error:
            ended = control.Ended(exit=error.exit_code, message=error.message)
        except ConnectionError:  # the command that asked is gone; what was restored is
            return response
        with contextlib.suppress(ConnectionError):
            await response.write(_line(ended))
            await response.write_eof()
        return response

    async def _restored(self, wishes: Sequence[Wish]) -> AsyncIterator[control.Restored]:
        for portion in portions(wishes):
            await self._engine.settle(portion)
            for wish, settlement in zip(portion.wishes, portion.settlements or (), strict=True):
                yield control.Restored(
                    path=wish.path.wire, id=wish.kept.id, code=settlement.code, message=settlement.reason
                )


def _kept(cycle: Cycle) -> Sequence[Kept]:
    return cycle.restore.kept()


def _wishes(choices: Sequence[Choice], to: TreePath | None) -> list[Wish]:
    """One wish a path.

    Raises:
        UsageError: several contents at one new path, or one whose own path is not known.
    """
    if to is not None:
        if len(choices) > 1:
            raise UsageError("a new path takes one file. Nothing was changed.", code="which_file")
        return [Wish(one.kept, to, if_gone=True) for one in choices]
    wishes = []
    for one in choices:
        if one.kept.path is None:
            raise UsageError(f"the path of {one.kept.name} is not known. Nothing was changed.", code="no_path")
        wishes.append(Wish(one.kept, one.kept.path, one.if_gone))
    return wishes


def _wanted(query: Mapping[str, str]) -> Wanted:
    return Wanted(_path(query, "path"), query.get("id"), _seconds(query, "at_s"), _seconds(query, "since_s"))


def _path(query: Mapping[str, str], name: str) -> TreePath | None:
    try:
        return TreePath.parse(query[name]) if name in query else None
    except UsageError as error:
        raise web.HTTPBadRequest(text=f"{error.message}\n") from error


def _seconds(query: Mapping[str, str], name: str) -> float | None:
    try:
        return float(query[name]) if name in query else None
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{name} is a number of seconds\n") from error


def _fields(one: Kept) -> control.Kept:
    old = one.old
    return control.Kept(
        id=one.id,
        path=one.path.wire if one.path else None,
        name=one.name,
        taken_at=control.timestamp(one.taken_s),
        why=old.why,
        revision=f"rev_{old.revision}" if old.revision else None,
        by=f"rev_{old.by}" if old.by else None,
        digest=old.digest.hex() if old.digest else None,
        size=one.size,
        mode=one.mode,
    )


def _line(value: control.Restored | control.Ended) -> bytes:
    return json.dumps(value).encode() + b"\n"
