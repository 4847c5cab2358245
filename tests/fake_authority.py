"""A small authorization server with a strict policy and knobs for faults: for tests of what a client does.

It is real where the client looks (HTTP on a socket, families, generations, nonces, theft ends a family) and lets a
test lose replies, delay them, or answer like a proxy. Everything presented to it is kept in `presented`.
"""

import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from relayfile.model import Grant, Secret


@dataclass
class Family:
    generation: int = 1
    consumed_nonce: str = ""
    alive: bool = True


@dataclass(frozen=True)
class Presented:
    at: float
    family: str
    generation: int
    nonce: str
    outcome: str
    agent: str


@dataclass(frozen=True)
class Said:
    """What the server says in place of its own answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that died in the middle is what these tests are about."""


class Authority:
    """Use it in a `with`. `lose(n)`: is the reply to renewal number n (from 1) lost after its commit?"""

    def __init__(self, access_ttl_s=1800.0, latency_s=0.0):
        self.access_ttl_s = access_ttl_s
        self.latency_s = latency_s
        self.oauth = True
        self.closed: dict[str, Said] = {}
        self.lose = lambda _: False
        self.instead = lambda _: None
        self.families: dict[str, Family] = {}
        self.presented: list[Presented] = []
        self.requests: Counter[str] = Counter()
        self.revoked: list[str] = []
        self._lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), _Door)
        self._server.authority = self
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    # ------------------------------------------------------------------------------------ for tests

    def grant(self, *, expires_in_s: float | None = None) -> Grant:
        """A new sign-in."""
        family = secrets.token_hex(8)
        self.families[family] = Family()
        now = time.time()
        return Grant(
            api_url=self.url,
            access_token=Secret(self._access(family, 1)),
            access_expires_at=now + (self.access_ttl_s if expires_in_s is None else expires_in_s),
            refresh_token=Secret(self._refresh(family, 1)),
            refresh_expires_at=now + 86_400 * 30,
            issued_at=now,
            family=family,
            generation=1,
            account="ada",
        )

    def outcomes(self) -> Counter[str]:
        return Counter(one.outcome for one in self.presented)

    # ------------------------------------------------------------------------------------- the rules

    def _refresh(self, family, generation):
        mac = hashlib.sha256(f"{family}{generation}".encode()).hexdigest()[:43]
        return f"cld_rt_{family}.{generation}.{mac}"

    def _access(self, family, generation):
        return f"cld_at_{family}.{generation}.{secrets.token_hex(4)}"

    def renew(self, token, nonce, agent):
        with self._lock:
            name, generation, _ = token.removeprefix("cld_rt_").split(".")
            family, generation = self.families[name], int(generation)
            outcome = "rejected"
            if family.alive and generation == family.generation:
                family.generation, family.consumed_nonce, outcome = generation + 1, nonce, "rotated"
            elif family.alive and generation == family.generation - 1 and nonce and nonce == family.consumed_nonce:
                outcome = "replayed"
            elif family.alive:
                family.alive, outcome = False, "reused"
            self.presented.append(Presented(time.monotonic(), name, generation, nonce, outcome, agent))
            if outcome in {"rejected", "reused"}:
                return {"error": "invalid_grant", "error_reason": outcome}, 400
            return {
                "access_token": self._access(name, family.generation),
                "expires_in": self.access_ttl_s,
                "refresh_token": self._refresh(name, family.generation),
                "refresh_token_expires_in": 86_400 * 30.0,
                "absolute_expires_at": "2099-01-01T00:00:00Z",
                "scope": "fs:read fs:write",
                "family": name,
                "generation": family.generation,
                "api_url": self.url,
                "account": "ac_1",
                "username": "ada",
            }, 200


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        authority = self.server.authority
        authority.requests[self.path] += 1
        if self.path != "/.well-known/oauth-authorization-server" or not authority.oauth:
            self.say(Said(404, b'{"code": "not_found", "message": "route not found"}'))
            return
        self.say_json(METADATA)

    def do_POST(self):
        authority = self.server.authority
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length).decode()
        if len(body) < length:
            self.close_connection = True
            return
        authority.requests[self.path] += 1
        if self.path in authority.closed:
            self.say(authority.closed[self.path])
            return
        number = authority.requests[self.path]
        if self.path == "/oauth/revoke":
            authority.revoked.append(parse_qs(body)["token"][0])
            self.say(Said(200, b""))
            return
        if (said := authority.instead(number)) is not None:
            self.say(said)
            return
        time.sleep(authority.latency_s)
        answer, status = self.oauth(body) if self.path == "/oauth/token" else self.v1(body)
        if authority.lose(number):
            self.close_connection = True
            return
        self.say_json(answer, status)

    def oauth(self, body):
        form = {name: values[0] for name, values in parse_qs(body).items()}
        agent = self.headers["User-Agent"]
        return self.server.authority.renew(form["refresh_token"], form.get("refresh_nonce", ""), agent)

    def v1(self, body):
        told, status = self.server.authority.renew(json.loads(body)["refreshToken"], "", self.headers["User-Agent"])
        if status != 200:
            return told, 403
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + told["expires_in"]))
        return {
            "accessToken": told["access_token"],
            "refreshToken": told["refresh_token"],
            "accessTokenExpiresAt": end,
            "apiUrl": self.server.authority.url,
            "tokenType": "Bearer",
        }, 200

    def say_json(self, body, status=200):
        self.say(Said(status, json.dumps(body).encode()))

    def say(self, said):
        self.send_response(said.status)
        self.send_header("Content-Type", said.content_type)
        self.send_header("Content-Length", str(len(said.body)))
        for name, value in said.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.body)


METADATA = {
    "issuer": "http://authority",
    "token_endpoint": "http://authority/oauth/token",
    "device_authorization_endpoint": "http://authority/oauth/device_authorization",
    "revocation_endpoint": "http://authority/oauth/revoke",
    "jwks_uri": "http://authority/jwks",
    "grant_types_supported": ["urn:ietf:params:oauth:grant-type:device_code"],
    "response_types_supported": [],
    "token_endpoint_auth_methods_supported": ["none"],
    "scopes_supported": [],
    "refresh_nonce_supported": True,
    "refresh_token_expiration_types_supported": [],
    "relayfile_version": "1",
}
