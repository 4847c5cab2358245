"""Renders pages, and makes sure that a form that comes back is one this server gave to that browser.

A page carries a cookie with a random word, its form a mark over that word and what the form is about. Another site
can make a browser send the cookie, but cannot know the mark.
"""

import hmac
import secrets
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from relayfile.errors import Forbidden, RelayfileError
from relayfile.server.keys import Keys

COOKIE: Final = "relayfile_form"
MARK: Final = "mark"
STYLE_PATH: Final = "/device/style.css"


class Pages:
    """The templates, and the marks of their forms."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._templates = Environment(
            loader=PackageLoader(__package__, "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._style = (files(__package__) / "static" / "style.css").read_bytes()

    def page(
        self,
        request: Request,
        template: str,
        *,
        about: str = "",
        status: int = 200,
        targets: str = "",
        **facts: object,
    ) -> Response:
        """The page, with a mark for a form about `about`. `targets`: where else its form may lead."""
        word = request.cookies.get(COOKIE) or secrets.token_urlsafe(24)
        html = self._templates.get_template(template).render(mark=self._mark(word, about), style=STYLE_PATH, **facts)
        response = Response(html, status, media_type="text/html; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
            f"form-action 'self'{targets and ' ' + targets}"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        if not about:  # no form to mark; and on the way back from another site the browser keeps its cookie to itself
            return response
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, word, max_age=3_600, httponly=True, samesite="strict", secure=secure)
        return response

    def check(self, request: Request, fields: dict[str, str], about: str) -> None:
        """The form is one that this server gave to this browser, about `about`.

        Raises:
            Forbidden: code `foreign_form`.
        """
        word = request.cookies.get(COOKIE, "")
        expected = self._mark(word, about).encode()
        given = fields.get(MARK, "").encode("utf-8", "surrogatepass")
        foreign = request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
        if not word or foreign or not hmac.compare_digest(expected, given):
            raise Forbidden(
                "this form did not come from this server's own page; open the page again", code="foreign_form"
            )

    def style(self, request: Request) -> Response:
        """The style sheet."""
        del request
        return Response(self._style, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})

    def _mark(self, word: str, about: str) -> str:
        return self._keys.form_mark(f"{word}\0{about}")


def sentence(refusal: RelayfileError | None) -> str:
    """What a page says about a refusal; nothing when there is none."""
    return "" if refusal is None else refusal.message[:1].upper() + refusal.message[1:] + "."
