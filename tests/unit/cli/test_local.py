"""The client of a control socket: whole answers, answers line by line, and nobody there."""

import os
import socket
import threading

import pytest

from daemon_stand_in import StandIn
from relayfile.cli import local
from relayfile.credentials.home import Home


def socket_of(place):
    return local.sockets(os.fspath(Home(place / ".relayfile")))[0]


def test_an_answer_is_read_whole_however_it_is_cut_into_packets(place):
    body = b"x" * 300_000
    with StandIn(place, "m", body):
        answer = local.ask(socket_of(place), "GET", "/status", 5.0)
        assert (answer.status, answer.body()) == (200, body)


def test_lines_come_without_their_ends_and_the_last_one_needs_none(place):
    with StandIn(place, "m", b'{"a":1}\n{"b":2}\n{"exit":0}'):
        answer = local.ask(socket_of(place), "POST", "/pull", 5.0)
        assert list(answer.lines()) == [b'{"a":1}', b'{"b":2}', b'{"exit":0}']


def test_another_status_is_told(place):
    with StandIn(place, "m", b"no", status=404):
        answer = local.ask(socket_of(place), "GET", "/x", 5.0)
        assert answer.status == 404
        answer.close()


def test_nobody_there_is_told_apart_from_somebody_silent(place):
    with pytest.raises(local.NotRunning):
        local.ask(str(place / "none.sock"), "GET", "/status", 1.0)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(place / "left.sock"))
    with pytest.raises(local.NotRunning):
        local.ask(str(place / "left.sock"), "GET", "/status", 1.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place / "silent.sock"))
        silent.listen()
        with pytest.raises(TimeoutError):
            local.ask(str(place / "silent.sock"), "GET", "/status", 0.1)


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_what_is_no_daemon_is_an_error_not_an_answer(place, said):
    def serve(listening):
        connection, _ = listening.accept()
        connection.recv(65536)
        connection.sendall(said)
        connection.close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "odd.sock"))
        listening.listen()
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        with pytest.raises(ConnectionError):
            local.ask(str(place / "odd.sock"), "GET", "/status", 2.0)
        thread.join()
