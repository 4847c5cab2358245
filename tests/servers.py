"""A real `relayfile serve` process for a test: its own data folder, port 0, chosen lifetimes, readable logs."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leaks import leaks, shown_by, written_below
from plain_http import PlainHttp
from waiting import until

OWNER = "owner"
PASSWORD = "correct horse battery staple"
SERVING = re.compile(r"relayfile serving at (http://\S+)")


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """What a process of a test may know of this machine: a path, a home of its own, no terminal, no colours."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "RELAYFILE_HOME": str(home / ".relayfile"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "error::ResourceWarning",
        "TERM": "dumb",
        "NO_COLOR": "1",
        **extra,
    }


@dataclass
class Server:
    """One server over its restarts. `listen` becomes a fixed port after the first start, so clients find it again."""

    folder: Path
    access_ttl: str = "30m"
    refresh_overlap: str = "60s"
    options: Sequence[str] = ()
    expected: list[str] = field(default_factory=list)
    """Regular expressions of warnings this test means to cause."""
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    _shown: list[tuple[str, bytes]] = field(default_factory=list)
    _observers: list[PlainHttp] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> "Server":
        """It listens, and `url` says where."""
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        if not password.exists():
            password.write_text(PASSWORD + "\n")
            password.chmod(0o600)
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "relayfile", "serve", "--data", str(self.data), "--listen", listen),
                    *("--owner", OWNER, "--owner-password-file", str(password)),
                    *("--access-ttl", self.access_ttl, "--refresh-overlap", self.refresh_overlap),
                    *self.options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(self.folder),
                start_new_session=True,
            )

        def listening() -> str | None:
            assert self.process is not None
            assert self.process.poll() is None, f"the server exited {self.process.returncode}:\n{self.said()}"
            found = SERVING.search(self.log.read_bytes()[seen:].decode(errors="replace"))
            return found and found[1]

        self.url = until(listening, within_s=20, what="the server listens", evidence=self.said) or ""
        return self

    def said(self) -> str:
        """Everything it wrote so far, for evidence."""
        return self.log.read_text(errors="replace")[-8000:] if self.log.exists() else "(no log)"

    def stop(self) -> int:
        """It ended in good order."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """It died as by `kill -9`."""
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> int:
        process, self.process = self.process, None
        while self._observers:
            self._observers.pop().close()
        if process is None:
            return 0
        self._shown += shown_by(process.pid)
        process.send_signal(sign)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not end within 20 s of {sign.name}:\n{self.said()}") from None

    def observer(self) -> PlainHttp:
        """A connection with a sign-in of its own, so that watching never touches the login under test.

        It is closed with the server.
        """
        http = PlainHttp(self.url, credentials=(OWNER, PASSWORD))
        self._observers.append(http)
        http.sign_in(OWNER, PASSWORD)
        return http

    def access_log(self) -> list[dict[str, Any]]:
        """One object a request that was answered."""
        return [entry for entry in self._json_lines() if "method" in entry and "path" in entry]

    def audit(self) -> list[dict[str, Any]]:
        """Every token event so far, oldest first, over the API."""
        http, events, after = self.observer(), [], 0
        try:
            while page := _rows(http.ok("GET", f"/api/v1/auth/events?after={after}&limit=500")):
                events += page
                after = page[-1]["n"]
        finally:
            http.close()
        return events

    def warnings(self) -> list[str]:
        """Lines of its log at WARNING or above that this test did not ask for."""
        return unexpected(self.log, self.expected)

    def leaks(self) -> list[str]:
        """Secrets in what it wrote and in what its processes showed of themselves."""
        return leaks(self._shown) + leaks(written_below(self.folder))

    def _json_lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for source in (self.log, self.data / "access.log"):
            if source.exists():
                lines += [json.loads(line) for line in source.read_text().splitlines() if line.startswith("{")]
        return lines


def _rows(answer: Any) -> list[dict[str, Any]]:
    return answer if isinstance(answer, list) else answer["events"]


LEVEL = re.compile(
    r'"level":\s*"(?:warning|error|critical)"|\b(?:WARNING|ERROR|CRITICAL)\b|^Traceback', re.IGNORECASE
)


def unexpected(log: Path, expected: Sequence[str]) -> list[str]:
    """Lines of `log` at WARNING or above that match none of `expected`."""
    if not log.exists():
        return []
    lines = log.read_text(errors="replace").splitlines()
    loud = [line for line in lines if LEVEL.search(line) and not _is_access(line)]
    return [line for line in loud if not any(re.search(pattern, line) for pattern in expected)]


def _is_access(line: str) -> bool:
    return line.startswith("{") and '"method"' in line and '"level"' not in line
