"""The tests' own HTTP client: standard library only, so that what we test is never its own witness."""

import base64
import http.client
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from leaks import seen_in


@dataclass
class Answer:
    """One HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def check(self) -> None:
        """A refusal repeats no secret, whatever it was asked with."""
        repeated = seen_in(self.body) if self.status >= 400 else []
        assert not repeated, f"a refusal with status {self.status} repeats {repeated}"


@dataclass
class PlainHttp:
    """A keep-alive connection to one server."""

    url: str
    token: str = ""
    agent: str = "test-observer/1"
    credentials: tuple[str, str] | None = None
    """User name and password, for an observer that outlives its access token: it signs in anew."""
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        form: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The server's answer, whatever its status."""
        payload, kind = raw, None
        if form is not None:
            payload, kind = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif body is not None:
            payload, kind = json.dumps(body).encode(), "application/json"
        more = {**({"Content-Type": kind} if kind else {}), **(headers or {})}
        answer = self._once(method, path, payload, more)
        if answer.status == 401 and self.credentials and self.token:
            self.token = ""
            self.sign_in(*self.credentials)
            answer = self._once(method, path, payload, more)
        return answer

    def _once(self, method: str, path: str, payload: bytes | None, headers: Mapping[str, str]) -> Answer:
        sent = {"User-Agent": self.agent, "X-Correlation-Id": f"test-{secrets.token_hex(4)}"}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        sent.update(headers)
        for last in (False, True):
            fresh = self._connection is None
            connection = self._connection = self._connection or self._connect()
            try:
                connection.request(method, path, payload, sent)
                answer = connection.getresponse()
                whole = Answer(answer.status, dict(answer.getheaders()), answer.read())
            except (http.client.RemoteDisconnected, ConnectionError):  # an idle connection the server let go
                self.close()
                if last or fresh:
                    raise
            else:
                whole.check()
                return whole
        raise AssertionError("unreachable")

    def ok(self, method: str, path: str, **rest: Any) -> Any:
        """The JSON of a 2xx answer."""
        answer = self.ask(method, path, **rest)
        assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {answer.body[:500]!r}"
        return answer.json if answer.body else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        where = urlsplit(self.url)
        return http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=30)

    # ---- what tests ask for often

    def sign_in(self, username: str, password: str) -> dict[str, Any]:
        """A new family of its own, by the password grant; this connection carries its access token from now on."""
        grant = self.ok(
            "POST",
            "/oauth/token",
            form={
                "grant_type": "password",
                "client_id": "relayfile-cli",
                "username": username,
                "password": password,
                "refresh_nonce_supported": "1",
            },
        )
        self.token = grant["access_token"]
        return grant

    def put(self, workspace: str, path: str, content: bytes, *, over: str = "*") -> Answer:
        return self.ask(
            "PUT",
            f"/v1/workspaces/{workspace}/fs/file?path={quote(path)}",
            body={
                "content": base64.b64encode(content).decode(),
                "encoding": "base64",
                "contentType": "application/octet-stream",
            },
            headers={"If-Match": over},
        )

    def delete(self, workspace: str, path: str, *, over: str = "*") -> Answer:
        return self.ask(
            "DELETE", f"/v1/workspaces/{workspace}/fs/file?path={quote(path)}", headers={"If-Match": over}
        )

    def content(self, workspace: str, path: str) -> bytes | None:
        """The bytes at `path`, None when nothing is there."""
        answer = self.ask("GET", f"/v1/workspaces/{workspace}/fs/file?path={quote(path)}")
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        return _content(answer.json)

    def bulk(self, workspace: str, files: Iterable[tuple[str, str]]) -> None:
        """Each (path, text) was written, over whatever was there."""
        entries = [{"path": path, "content": text, "contentType": "text/plain"} for path, text in files]
        answer = self.ok("POST", f"/v1/workspaces/{workspace}/fs/bulk", body={"files": entries})
        assert answer["errorCount"] == 0, answer["errors"][:3]
        assert answer["written"] == len(entries)

    def tree(self, workspace: str) -> dict[str, bytes]:
        """Every file of the workspace with its bytes: the export route, which shares nothing with the mirror."""
        answer = self.ask("GET", f"/v1/workspaces/{workspace}/fs/export?format=json")
        assert answer.status == 200, answer.body[:300]
        return {entry["path"].removeprefix("/"): _content(entry) for entry in answer.json}


def _content(entry: Mapping[str, Any]) -> bytes:
    content: str = entry["content"]
    return base64.b64decode(content) if entry.get("encoding") == "base64" else content.encode()
