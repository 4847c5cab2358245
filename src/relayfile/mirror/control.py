"""The control socket of a mirror: what `relayfile status`, `pull`, `verify` and others speak with (wire/control.py).

A unix socket that only its owner may open. The daemon is warm, so it renders the text and the command copies bytes.
"""

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, Self, get_args

from aiohttp import web

from relayfile.errors import Misconfigured, RelayfileError, UsageError
from relayfile.mirror import status, verify, why
from relayfile.mirror.awaited import Awaited
from relayfile.mirror.conflicts import Conflict
from relayfile.mirror.event import Event
from relayfile.mirror.picture import Progress
from relayfile.mirror.registry import SOCKET
from relayfile.mirror.resolve import Keep, Settlement
from relayfile.mirror.trees import Node
from relayfile.mirror.verify import Verdict
from relayfile.model import TreePath
from relayfile.wire import control
from relayfile.wire.control import Fragment

MAX_SOCKET_PATH_BYTES: Final = 100
PULL_WITHIN_S: Final = 24 * 3600.0
_MAX_WIDTH: Final = 1000


class Asked(Protocol):
    """What the socket may ask of the daemon. `routes` is what others answer there."""

    routes: Sequence[web.RouteDef]

    def fragment(self) -> Fragment:
        """The mirror now."""

    def current(self, deadline_s: float) -> AsyncIterator[Progress]:
        """As `Waiting.current`."""

    def verify(self, deadline_s: float, *, deep: bool, mend: bool) -> AsyncIterator[Progress | Verdict]:
        """As `verify.verify`."""

    async def why(self, path: TreePath) -> control.Account:
        """All that the mirror knows of one path."""

    def arrival(self, awaited: Awaited, deadline_s: float) -> AsyncIterator[Progress]:
        """As `Waiting.arrival`."""

    def events(self, below: Sequence[str]) -> AsyncGenerator[Sequence[Event], None]:
        """As `Events.follow`."""

    def decide(self, decision: str) -> None:
        """The deletions held back are carried out (`accept`) or undone (`restore`)."""

    async def conflicts(self) -> Sequence[Conflict]:
        """As `Engine.conflicts`."""

    async def resolve(self, copy: TreePath, keep: Keep) -> Settlement:
        """As `Engine.settle`."""

    async def pause(self) -> None:
        """As `Engine.pause`."""

    def go_on(self) -> None:
        """The pause, if there is one, is over."""

    async def readmit(self) -> None:
        """A person wants the mirror to go on: a credential that was refused may be had anew."""

    def stop(self) -> None:
        """The daemon ends soon."""


class Control:
    """The control socket in `folder`, open while it is entered. `runtime_dir` takes it where its path is too long."""

    def __init__(self, folder: Path, asked: Asked, runtime_dir: str | None = None) -> None:
        self._link = folder / SOCKET
        self._asked = asked
        self._runtime_dir = runtime_dir
        self._own_folder: str | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """It answers.

        Raises:
            Misconfigured: no socket can be made.
        """
        app = web.Application()
        app.router.add_get(control.HEALTH, self._health)
        app.router.add_get(control.STATUS, self._status)
        app.router.add_get(control.WHY, self._why)
        app.router.add_post(control.PULL, self._pull)
        app.router.add_post(control.VERIFY, self._verify)
        app.router.add_get(control.WATCH, self._watch)
        app.router.add_post(control.WAIT, self._wait)
        app.router.add_post(control.PAUSE, self._pause)
        app.router.add_post(control.RESUME, self._resume)
        app.router.add_get(control.CONFLICTS, self._conflicts)
        app.router.add_post(control.RESOLVE, self._resolve)
        app.router.add_post(control.READMIT, self._readmit)
        app.router.add_post(control.STOP, self._stop)
        app.router.add_routes(self._asked.routes)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        self._forget_old()
        path = self._place()
        before = os.umask(0o177)  # it is 0600 from its first moment on
        try:
            await web.UnixSite(self._runner, path).start()
        except OSError as error:
            raise Misconfigured(f"no control socket at {path}: {error.strerror}", code="no_socket") from error
        finally:
            os.umask(before)
        if path != str(self._link):
            self._link.symlink_to(path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._forget_old()
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def _place(self) -> str:
        if len(os.fsencode(self._link)) <= MAX_SOCKET_PATH_BYTES:
            return str(self._link)
        self._own_folder = tempfile.mkdtemp(prefix="relayfile-", dir=self._runtime_dir)  # 0700, a name nobody guesses
        return str(Path(self._own_folder) / SOCKET)

    def _forget_old(self) -> None:
        """The socket, or the link to one, of a daemon that is gone: we hold the lease, so it is nobody's."""
        with contextlib.suppress(OSError):
            if self._link.is_symlink() or stat.S_ISSOCK(self._link.lstat().st_mode):
                self._link.unlink()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True, "pid": os.getpid(), "mirror": self._asked.fragment()["mirror"]})

    async def _status(self, request: web.Request) -> web.Response:
        fragment = self._asked.fragment()
        if request.query.get("format") == "json":
            return web.json_response(fragment)
        asked_width = request.query.get("width", "80")
        width = min(int(asked_width), _MAX_WIDTH) if asked_width.isdecimal() else 80
        return web.Response(text=status.text(fragment, width=width, colour=request.query.get("color") == "1"))

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        return await self._until(request, self._asked.current(_seconds(request)), self._equality)

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        try:
            path = TreePath.parse(request.query["path"]) if "path" in request.query else None
            awaited = Awaited(int(request.query["position"]), path)
        except (KeyError, ValueError, UsageError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        what = f"everything up to evt_{awaited.position}" if path is None else f"{path.wire}, rev_{awaited.position}"
        steps = self._asked.arrival(awaited, _seconds(request))
        return await self._until(request, steps, lambda: f"{what} or later is on this disk")

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        deep, mend = (request.query.get(word) == "1" for word in ("deep", "mend"))
        steps = self._asked.verify(_seconds(request), deep=deep, mend=mend)
        return await self._until(request, steps, self._equality)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        below = [path.strip("/") for path in request.query.getall("path", [])]
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the command that watched is gone
            async with contextlib.aclosing(self._asked.events(list(filter(None, below)))) as events:
                async for some in events:
                    await response.write(b"".join(_line(status.event(one)) for one in some) or b"\n")
            await response.write_eof()
        return response

    async def _until(
        self, request: web.Request, steps: AsyncIterator[Progress | Verdict], reached: Callable[[], str]
    ) -> web.StreamResponse:
        """The steps as they are made, then how it ended: by a verdict, or by what `reached` says holds then."""
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        verdict: Verdict | None = None
        try:
            async for step in steps:
                if isinstance(step, Verdict):
                    verdict = step
                else:
                    await response.write(_line(status.progress(step)))
            ended = verify.ended(verdict) if verdict else control.Ended(exit=0, message=reached())
        except RelayfileError as error:
            ended = _failed(error)
        except ConnectionError:  # the command that asked is gone
            return response
        await response.write(_line(ended))
        await response.write_eof()
        return response

    async def _why(self, request: web.Request) -> web.Response:
        try:
            told = await self._asked.why(TreePath.parse(request.query.get("path", "")))
        except UsageError as error:
            raise web.HTTPBadRequest(text=f"{error.message}\n") from error
        except RelayfileError as error:
            raise web.HTTPServiceUnavailable(text=f"{error.message}\n") from error
        return web.json_response(told) if request.query.get("format") == "json" else web.Response(text=why.text(told))

    def _equality(self) -> str:
        seen = self._asked.fragment()
        return f"equal to evt_{seen['observed']}" if seen["equal"] else f"at evt_{seen['applied']}"

    async def _pause(self, _: web.Request) -> web.Response:
        await self._asked.pause()
        return web.json_response({"paused": True})

    async def _resume(self, request: web.Request) -> web.Response:
        decision = request.query.get("deletes")
        if decision is None:
            self._asked.go_on()
            return web.json_response({"paused": False})
        if decision not in {"accept", "restore"}:
            raise web.HTTPBadRequest(text="deletes=accept or deletes=restore\n")
        self._asked.decide(decision)
        return web.json_response({"deletes": decision})

    async def _conflicts(self, _: web.Request) -> web.Response:
        return web.json_response([_as_fields(one) for one in await self._asked.conflicts()])

    async def _resolve(self, request: web.Request) -> web.Response:
        keep: Keep | None = next((one for one in get_args(Keep) if one == request.query.get("keep")), None)
        if keep is None:
            raise web.HTTPBadRequest(text="keep=mine, keep=theirs or keep=both\n")
        try:
            copy = TreePath.parse(request.query.get("copy", ""))
        except UsageError as error:
            raise web.HTTPBadRequest(text=f"{error.message}\n") from error
        verdict = await self._asked.resolve(copy, keep)
        return web.json_response(control.Resolved(code=verdict.code, message=verdict.reason))

    async def _readmit(self, _: web.Request) -> web.Response:
        await self._asked.readmit()
        return web.json_response({"readmitted": True})

    async def _stop(self, _: web.Request) -> web.Response:
        self._asked.stop()
        return web.json_response({"stopping": True})


def _seconds(request: web.Request) -> float:
    asked = request.query.get("deadline_s", "")
    return float(asked) if asked.replace(".", "", 1).isdecimal() else PULL_WITHIN_S


def _line(value: control.Progress | control.Ended | control.Event) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _failed(error: RelayfileError) -> control.Ended:
    message = f"{error.message} · {error.hint}" if error.hint else error.message
    return control.Ended(exit=error.exit_code, message=message)


def _as_fields(one: Conflict) -> control.Conflict:
    return control.Conflict(
        path=one.path.wire,
        copy=one.copy.wire,
        made_at=control.timestamp(one.made_at),
        revision=f"rev_{one.revision}" if one.revision else None,
        mine=_content(one.mine) or control.Content(size=0, digest=None, mode="644"),
        theirs=_content(one.theirs),
    )


def _content(node: Node | None) -> control.Content | None:
    if node is None or (local := node.trees.local) is None:
        return None
    known = local.digest  # type: bytes | None
    return control.Content(size=local.size, digest=known.hex() if known else None, mode=local.mode)
