"""One real server process for all contract tests; each test has a workspace of its own."""

import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.sync.client import connect

from plain_http import PlainHttp
from relayfile.wire import delta
from servers import Server


@dataclass
class Client:
    """One sign-in, or one workspace token, at one workspace."""

    http: PlainHttp
    workspace: str
    opened: list[PlainHttp] = field(default_factory=list)

    def other(self, token="", workspace=""):
        """A client of its own connection, with another token, at this or another workspace."""
        self.opened.append(PlainHttp(self.http.url, token))
        return Client(self.opened[-1], workspace or self.workspace, self.opened)

    def ask(self, method, route, **rest):
        return self.http.ask(method, f"/v1/workspaces/{self.workspace}/{route}", **rest)

    def ok(self, method, route, **rest):
        answer = self.ask(method, route, **rest)
        assert 200 <= answer.status < 300, (answer.status, answer.body[:500])
        return answer.json

    def bulk(self, *files):
        return self.ok("POST", "fs/bulk", body={"files": files})

    def write(self, path, content="x", **rest):
        """The position at which `path` got this text."""
        answer = self.bulk({"path": path, "content": content, **rest})
        assert not answer["errors"], answer
        return int(answer["results"][0]["revision"].removeprefix("rev_"))

    def remove(self, path):
        answer = self.bulk({"path": path, "op": "delete"})
        assert not answer["errors"], answer
        return int(answer["results"][0]["revision"].removeprefix("rev_"))

    def delta(self, query="since=0", headers=None):
        """Every frame of one delta stream."""
        answer = self.ask("GET", f"fs/delta?{query}", headers={"Accept": delta.CONTENT_TYPE, **(headers or {})})
        assert answer.status == 200, (answer.status, answer.body[:500])
        return list(delta.FrameReader().feed(answer.body))

    def join(self, name, *scopes):
        """A client with a workspace token of agent `name`."""
        joined = self.http.ok(
            "POST", f"/api/v1/workspaces/{self.workspace}/join", body={"agentName": name, "scopes": list(scopes)}
        )
        return self.other(joined["token"])

    def socket(self, query="marks=1", **rest):
        """A live socket, signed in by header."""
        url = f"{self.http.url.replace('http', 'ws', 1)}/v1/workspaces/{self.workspace}/fs/ws?{query}"
        headers = {"Authorization": f"Bearer {self.http.token}"}
        return connect(url, additional_headers=headers, compression=None, open_timeout=20, **rest)


@pytest.fixture(scope="session")
def shared_server():
    folder = Path(tempfile.mkdtemp(prefix="rf-contract-"))
    server = Server(folder).start()
    yield server
    assert server.stop() == 0
    assert not server.warnings()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def signed_in(shared_server):
    http = shared_server.observer()
    yield http
    http.close()


@pytest.fixture
def client(signed_in):
    """The owner, at a new workspace."""
    made = signed_in.ok("POST", "/api/v1/workspaces", body={"name": "t-" + secrets.token_hex(6)})
    made_here = Client(signed_in, made["workspaceId"])
    yield made_here
    for http in made_here.opened:
        http.close()
