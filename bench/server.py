"""How many files a second the server takes, in an empty workspace and behind 500,000 events of history."""

import json
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Event

from bench import bare_server
from bench.figures import Figure
from bench.world import World, body, world
from plain_http import Answer, PlainHttp

GROUP = 200
MEASURED_FILES = 12_000
HISTORY = 500_000
ROUNDS = 5
CONNECTIONS = 2


def _request(begin: int) -> bytes:
    """One bulk request of 200 files of 1 KB, as it travels."""
    files = [
        {"path": f"/w{number % 4000 % 40}/f{number % 4000}.txt", "content": body(number), "contentType": "text/plain"}
        for number in range(begin, begin + GROUP)
    ]
    return json.dumps({"files": files}).encode()


@dataclass
class Client:
    """A client process: sends its requests, one after another, and reports when it began and ended."""

    url: str
    token: str
    workspace: str
    payloads: list[bytes]

    def __call__(self, go: Event, done: multiprocessing.SimpleQueue) -> None:
        """Everything was sent and acknowledged."""
        http = PlainHttp(self.url, self.token)
        http.ask("GET", "/health")
        go.wait()
        began = time.monotonic()
        for payload in self.payloads:
            answer = _bulk(http, self.workspace, payload)
            assert answer.status == 202, answer.body[:300]
        done.put((began, time.monotonic()))
        http.close()


def _bulk(http: PlainHttp, workspace: str, payload: bytes) -> Answer:
    headers = {"Content-Type": "application/json"}
    return http.ask("POST", f"/v1/workspaces/{workspace}/fs/bulk", raw=payload, headers=headers)


def _files_per_second(here: World, workspace: str, first: int) -> float:
    """Files a second over HTTP, two clients at a time, each in a process of its own."""
    token = here.server.observer().token
    payloads = [_request(begin) for begin in range(first, first + MEASURED_FILES, GROUP)]
    context = multiprocessing.get_context("spawn")
    done, go = context.SimpleQueue(), context.Event()
    clients = [
        context.Process(target=Client(here.server.url, token, workspace, payloads[n::CONNECTIONS]), args=(go, done))
        for n in range(CONNECTIONS)
    ]
    for client in clients:
        client.start()
    time.sleep(1)  # both have started their interpreters
    go.set()
    spans = [done.get() for _ in clients]
    for client in clients:
        client.join()
    return MEASURED_FILES / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _history(here: World, workspace: str, first: int, last: int) -> None:
    """The workspace's log has `last` events."""
    http = here.server.observer()
    for begin in range(first, last, GROUP):
        assert _bulk(http, workspace, _request(begin)).status == 202
    http.close()


def writes() -> list[Figure]:
    """Bulk writes a second at 0 and at 500,000 events of history, taken in turn, beside the bare pipeline."""
    rates: dict[int, list[float]] = {0: [], HISTORY: []}
    with world() as old:
        workspace = old.workspace(old.machine(), "w")
        _history(old, workspace, 0, HISTORY)
        for number in range(ROUNDS):
            with world() as new:
                rates[0].append(_files_per_second(new, new.workspace(new.machine(), "w"), 0))
            rates[HISTORY].append(_files_per_second(old, workspace, HISTORY + number * MEASURED_FILES))
    floor = bare_server.files_per_second([_request(begin) for begin in range(0, MEASURED_FILES, GROUP)])
    empty, full = statistics.median(rates[0]), statistics.median(rates[HISTORY])
    return [
        Figure("bulk writes at 0 events", empty, "files/s", floor, bare_server.WHAT, empty / floor,
               "", True, rates[0]),
        Figure("bulk writes at 500,000 events", full, "files/s", empty,
               "the rate at 0 events", full / empty, ">= 0.9 of the rate at 0", full >= 0.9 * empty, rates[HISTORY]),
    ]  # fmt: skip
