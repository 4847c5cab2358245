"""The access log: what is in it, that it rotates, and that it never fails a request."""

import json

import pytest

from relayfile.server import requestlog
from relayfile.server.requestlog import LogFile, RequestLog, asked


@pytest.fixture
def log(tmp_path):
    return LogFile(tmp_path / "access.log")


async def test_lines_are_written_soon_and_only_its_owner_reads_them(log, tmp_path):
    log.line({"a": 1})
    log.line({"a": 2})
    log.flush()
    path = tmp_path / "access.log"
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"a": 2}]
    assert path.stat().st_mode & 0o077 == 0


async def test_a_full_log_is_rotated_and_the_oldest_forgotten(log, tmp_path, monkeypatch):
    monkeypatch.setattr(requestlog, "ROTATE_BYTES", 1)
    for number in range(4):
        log.line({"n": number})
        log.flush()
    assert {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()} == {
        "access.log.1": {"n": 3},
        "access.log.2": {"n": 2},
    }


async def test_a_log_that_cannot_be_written_costs_its_lines_only(tmp_path):
    log = LogFile(tmp_path / "no" / "access.log")
    log.line({"a": 1})
    log.flush()


async def test_a_request_that_fails_is_logged_as_500_and_still_fails():
    lines = []

    async def app(scope, receive, send):
        asked(scope).account = "ac_1"
        raise ZeroDivisionError

    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"token=secret", "headers": []}
    with pytest.raises(ZeroDivisionError):
        await RequestLog(app, lines.append)(scope, None, None)
    (line,) = lines
    assert (line["status"], line["account"], line["path"]) == (500, "ac_1", "/x")
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("given", "kept"), [(b"mine", True), (b"", False), (b"x" * 129, False), (b"a\nb", False), (b"\x00", False)]
)
def test_a_correlation_id_of_the_client_is_kept_only_when_it_is_harmless(given, kept):
    scope = {"type": "http", "headers": [(b"x-correlation-id", given)]}
    assert (asked(scope).correlation == given.decode()) is kept
