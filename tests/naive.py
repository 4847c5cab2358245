"""The client of the field report: a daemon that keeps its refresh token in memory, and commands that renew beside it.

Both share one v1 credential file of their own. Neither rereads before presenting; each behaves as the report says.
"""

import threading
from dataclasses import dataclass, field

from plain_http import PlainHttp
from servers import OWNER, PASSWORD


@dataclass
class NaiveClient:
    """A pair of threads, each with its own connection, on one family begun through the v1 door (R2)."""

    url: str
    every_s: float = 1.2
    refused: int = 0
    rotated: int = 0
    cycles_cancelled: int = 0
    family: str = ""
    _disk: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> "NaiveClient":
        door = PlainHttp(self.url, agent="relayfile-mount/0.10.46")
        grant = door.ok("POST", "/api/v1/cli/login", body={"username": OWNER, "password": PASSWORD})
        door.close()
        self._disk = grant["refreshToken"]
        self.family = self._disk.removeprefix("cld_rt_").split(".")[0]
        for work in (self._daemon, self._command):
            thread = threading.Thread(target=work)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _renew(self, http: PlainHttp, token: str) -> str | None:
        answer = http.ask("POST", "/api/v1/auth/token/refresh", body={"refreshToken": token})
        if answer.status == 200:
            self.rotated += 1
            return answer.json["refreshToken"]
        assert answer.status == 403, answer
        assert answer.json["error"] == "invalid_grant"
        self.refused += 1
        return None

    def _daemon(self) -> None:
        """Steps 1, 3 and 4: a token in memory; refused; the cycle cancelled; a moment's look at the disk."""
        http, memory = PlainHttp(self.url, agent="relayfile-mount/0.10.46"), self._disk
        while not self._stop.wait(self.every_s):
            if renewed := self._renew(http, memory):
                memory = self._disk = renewed
            else:
                self.cycles_cancelled += 1
                memory = self._disk
        http.close()

    def _command(self) -> None:
        """Step 2: `relayfile status` and its like, each a fresh process that renews what the disk holds."""
        http = PlainHttp(self.url, agent="relayfile-cli/0.10.46")
        while not self._stop.wait(self.every_s * 0.8):
            if renewed := self._renew(http, self._disk):
                self._disk = renewed
        http.close()
