"""A client that knows only the v1 keys and the v1 door, on a credential file that it shares with our processes.

It has the field report's defect: the refresh token stays in memory, no lock is taken, and the file is read again only
after a refusal.
"""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from plain_http import PlainHttp

V1_KEYS = ("apiUrl", "accessToken", "refreshToken", "accessTokenExpiresAt", "refreshTokenExpiresAt")


@dataclass
class OldClient:
    """One thread of an old daemon. `with` it: it ends."""

    url: str
    credentials: Path
    every_s: float
    rotated: int = 0
    refused: int = 0
    limited: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._daemon, name="old-client")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _daemon(self) -> None:
        http = PlainHttp(self.url, agent="relayfile-mount/0.10.46")
        memory = self._on_disk()
        while not self._over.wait(self.every_s):
            answer = http.ask("POST", "/api/v1/auth/token/refresh", body={"refreshToken": memory})
            if answer.status == 200:
                self.rotated += 1
                memory = answer.json["refreshToken"]
                self._write(answer.json)
            elif answer.status == 429:
                self.limited += 1
            else:
                assert answer.status == 403, answer
                self.refused += 1
                memory = self._on_disk()
        http.close()

    def _on_disk(self) -> str:
        return str(json.loads(self.credentials.read_bytes())["refreshToken"])

    def _write(self, grant: dict[str, Any]) -> None:
        """The v1 keys and nothing else, renamed over the file as the Go client does."""
        draft = self.credentials.with_suffix(".old")
        draft.touch(0o600)
        draft.write_text(json.dumps({name: {**grant, "apiUrl": self.url}[name] for name in V1_KEYS}))
        draft.rename(self.credentials)
