"""Where a server is: an address as people type it, split once into what a connection needs."""

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from relayfile.core.causes import Kind
from relayfile.errors import UsageError

_NOT_VALID_NOW: Final = frozenset({9, 10})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
"""How OpenSSL calls an answer that is no TLS, by its version."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a server, and the path its routes hang from (empty, or `/cloud`)."""

    secure: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, address: str) -> "Origin":
        """The server that `address` names.

        Raises:
            UsageError: it is no http or https address.
        """
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError as error:
            raise _not_an_address(address) from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise _not_an_address(address)
        if "@" in parts.netloc:
            raise UsageError(
                "an address holds no name and no password. Nothing was sent.",
                code="bad_address",
                hint=f"`relayfile login {parts.scheme}://{parts.netloc.rpartition('@')[2]}`, and sign in there",
            )
        if parts.query or parts.fragment or any(c.isspace() or ord(c) < 33 for c in address):
            raise _not_an_address(address)
        secure = parts.scheme == "https"
        return cls(secure, parts.hostname, port or (443 if secure else 80), parts.path.rstrip("/"))

    @property
    def netloc(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address in its one spelling, without a slash at its end."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}{self.prefix}"

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine, where compressing costs more than it saves."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection that is not open yet; `timeout_s` holds for each wait on it."""
        if self.secure:
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout_s, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)


def trouble_of(error: OSError) -> Kind:
    """What kept a connection from coming about."""
    match error:
        case socket.gaierror():
            return Kind.DNS
        case ssl.SSLCertVerificationError():
            return Kind.CLOCK if error.verify_code in _NOT_VALID_NOW else Kind.TLS
        case ssl.SSLError(reason=reason) if reason in _NO_TLS:
            return Kind.NO_TLS
        case ssl.SSLError():
            return Kind.TLS
        case _:
            return Kind.UNREACHABLE


def _not_an_address(address: str) -> UsageError:
    shown = address if len(address) <= 120 else address[:117] + "..."
    # What stands before an @ may be a password.
    shown = shown.rpartition("@")[2]
    return UsageError(
        f"not a server address: {shown!r}", code="bad_address", hint="write it as https://HOST or http://HOST:PORT"
    )
