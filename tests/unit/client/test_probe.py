"""One look at an address: what answers there, at what time, and why nothing does. Real sockets, real certificates."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relayfile.client.probe import NotReached, Reached, look
from relayfile.core import causes
from relayfile.core.causes import Kind
from relayfile.credentials.clock import SystemClock
from relayfile.wire.auth import ServerMetadata

METADATA = msgspec.json.encode(
    ServerMetadata(
        issuer="x",
        token_endpoint="x",
        device_authorization_endpoint="x",
        revocation_endpoint="x",
        jwks_uri="x",
        grant_types_supported=[],
        response_types_supported=[],
        token_endpoint_auth_methods_supported=[],
        scopes_supported=[],
        refresh_nonce_supported=True,
        refresh_token_expiration_types_supported=[],
        relayfile_version="9.9",
    )
)


@pytest.fixture
def answering(tmp_path):
    """Starts something that answers every GET in one way; its address."""
    listening = []

    def start(status=200, body=METADATA, *, off_by_s=0.0, valid_days=None):
        class Fixed(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response_only(status)
                self.send_header(
                    "Date", format_datetime(datetime.now(UTC) + timedelta(seconds=off_by_s), usegmt=True)
                )
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Fixed)
        server.handle_error = lambda *_: None  # a client that distrusts the certificate hangs up
        if valid_days is not None:
            server.socket = certified(tmp_path, valid_days).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        listening.append((server, thread))
        return f"http{'s' if valid_days is not None else ''}://localhost:{server.server_address[1]}"

    yield start
    for server, thread in listening:
        server.shutdown()
        thread.join()
        server.server_close()


def certified(folder, valid_days):
    """A server's side of TLS with a certificate that ends in so many days; nobody signed it but itself."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    ends = datetime.now(UTC) + timedelta(days=valid_days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - timedelta(days=30))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize("off_by_s", [0.0, -600.0, 3600.0])
def test_a_server_tells_its_version_and_how_far_our_clock_is_off(answering, off_by_s):
    found = look(answering(off_by_s=off_by_s), SystemClock())
    assert isinstance(found, Reached)
    assert found.version == "9.9"
    assert found.clock_ahead_s == pytest.approx(-off_by_s, abs=2)


def test_a_server_of_v1_only_is_a_relayfile_server(answering):
    found = look(answering(404, b'{"code": "not_found", "message": "route not found"}'), SystemClock())
    assert isinstance(found, Reached)
    assert found.version is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>", Kind.WRONG_SERVICE),
        (200, b'{"issuer": "another"}', Kind.WRONG_SERVICE),
        (404, b"not here", Kind.WRONG_SERVICE),
        (503, b"later", Kind.SERVER),
        (429, b"slowly", Kind.SERVER),
    ],
)
def test_another_answer_is_a_wrong_service_or_one_that_cannot_now(answering, status, body, kind):
    found = look(answering(status, body), SystemClock())
    assert isinstance(found, NotReached)
    assert found.kind is kind


def test_nobody_there_is_unreachable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = look(f"http://127.0.0.1:{free.getsockname()[1]}", SystemClock())
    assert isinstance(found, NotReached)
    assert found.kind is Kind.UNREACHABLE


def test_a_name_nobody_has_is_dns():
    found = look("http://no-such-host.invalid", SystemClock())
    assert isinstance(found, NotReached)
    assert found.kind is Kind.DNS


def test_a_certificate_nobody_signed_is_tls(answering):
    found = look(answering(valid_days=20), SystemClock())
    assert isinstance(found, NotReached)
    assert found.kind is Kind.TLS


def test_a_certificate_that_is_not_valid_now_points_at_the_clock(answering, tmp_path, monkeypatch):
    url = answering(valid_days=-1)
    # Trusted, so that nothing but its time is wrong with it.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    found = look(url, SystemClock())
    assert isinstance(found, NotReached)
    assert found.kind is Kind.CLOCK


def test_plain_http_where_tls_was_meant_is_not_called_a_certificate_that_is_not_trusted(answering):
    found = look(answering().replace("http://", "https://"), SystemClock())
    assert isinstance(found, NotReached)
    assert found.kind is Kind.NO_TLS
    assert "http://" in causes.failed(found.kind, found.cause)
