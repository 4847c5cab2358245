"""OpenID Connect providers for tests: a real one, somebody else's, as a process; and one that lies when told to."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from waiting import until

CLIENT_ID = "relayfile at home"
CLIENT_SECRET = "a secret: with + and / in it"
ADA = {"sub": "248289761001", "email": "Ada@Example.org", "email_verified": True}
BOB = {"sub": "248289761002", "email": "bob@example.org", "email_verified": True}
MALLORY = {"sub": "666", "email": "mallory@evil.example", "email_verified": True}
UNSURE = {"sub": "777", "email": "unsure@example.org", "email_verified": False}


@contextmanager
def real_provider(folder: Path, *people: Mapping[str, Any]) -> Iterator[str]:
    """The address of `oidc-provider-mock`, a provider of other people's making, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    claims = [word for person in people for word in ("--user-claims", json.dumps(person))]
    with (folder / "provider.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", *claims],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, (folder / "provider.log").read_text()
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/.well-known/openid-configuration")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    try:
        until(answers, within_s=20, what="the provider answers")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def client_secret(folder: Path) -> Path:
    """A file that holds the client's secret."""
    path = folder / "client-secret"
    path.write_text(CLIENT_SECRET + "\n")
    path.chmod(0o600)
    return path


def serve_options(issuer: str, secret: Path, *options: str) -> list[str]:
    """How a server is told of a provider."""
    known = ("--oidc-issuer", issuer, "--oidc-client-id", CLIENT_ID, "--oidc-client-secret-file", str(secret))
    return [*known, "--oidc-name", "Example", *options]


@dataclass
class LyingProvider:
    """A provider of our own, strict about what it is sent, that says whatever a test wants it to.

    `claims` are laid over the true ones; `algorithm` and `key` sign; `metadata` is laid over its own.
    """

    issuer: str = ""
    person: Mapping[str, Any] = field(default_factory=lambda: dict(ADA))
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    userinfo: Mapping[str, Any] | None = None
    algorithm: str = "RS256"
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    shown_keys: list[dict[str, Any]] | None = None
    """The JWKS, when it is not that of `key`."""
    instead: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Answers by path, in place of the real ones."""
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """What the client did that a strict provider refuses."""

    def authorize(self, address: str, **changes: str) -> str:
        """Where the browser goes when the person there says yes."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["state"]) > 20 < len(asked["nonce"])
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer} | changes
        return f"{asked['redirect_uri']}?{urlencode({k: v for k, v in answer.items() if v})}"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.asked.append(f"{method} {path}")
        if path in self.instead:
            return self.instead[path]
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self._about()).encode()
        if path == "/keys":
            rows = [self.key.as_dict(private=False)] if self.shown_keys is None else self.shown_keys
            return 200, json.dumps({"keys": rows}).encode()
        if path == "/token" and method == "POST":
            return self._token(headers, {name: values[0] for name, values in parse_qs(body.decode()).items()})
        if path == "/userinfo" and headers.get("authorization") == "Bearer at":
            return 200, json.dumps(self.userinfo or self.person).encode()
        return 404, b"{}"

    def _about(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        } | self.metadata

    def _token(self, headers: Mapping[str, str], form: dict[str, str]) -> tuple[int, bytes]:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        given = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        if given != "relayfile%20at%20home:a%20secret%3A%20with%20%2B%20and%20%2F%20in%20it":
            return self._no("invalid_client", f"client {given!r}", 401)
        if asked is None:
            return self._no("invalid_grant", "the code is unknown or spent")
        if (
            challenge.rstrip(b"=").decode() != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return self._no("invalid_grant", "verifier or redirect_uri")
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "exp": now + 300, "iat": now, "nonce": asked["nonce"]}
        claims = {k: v for k, v in (claims | dict(self.person) | self.claims).items() if v is not None}
        return 200, json.dumps(
            {"access_token": "at", "token_type": "Bearer", "id_token": self.signed(claims)}
        ).encode()

    def signed(self, claims: dict[str, Any]) -> str:
        if self.algorithm == "none":
            return f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."
        if self.algorithm == "HS256":  # the trick of old: the secret is the public key that everybody knows
            head, body = (_encoded(part) for part in ({"alg": "HS256", "kid": self.key.kid}, claims))
            mac = hmac.digest(self.key.as_pem(private=False), f"{head}.{body}".encode(), "sha256")
            return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        header = {"alg": self.algorithm, **({"kid": self.key.kid} if self.key.kid else {})}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])

    def _no(self, word: str, why: str, status: int = 400) -> tuple[int, bytes]:
        self.wrong.append(why)
        return status, json.dumps({"error": word}).encode()


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def rsa_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def ec_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


@contextmanager
def lying_provider() -> Iterator[LyingProvider]:
    """A `LyingProvider` that listens on this machine."""
    provider = LyingProvider()

    class Door(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = provider.answer(self.command, urlsplit(self.path).path, headers, body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", answer.decode())
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    provider.issuer = f"http://127.0.0.1:{listening.server_port}"
    try:
        yield provider
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
