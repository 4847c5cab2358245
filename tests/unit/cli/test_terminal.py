"""What the terminal is like: whether a browser can open where the person sits."""

import pytest

from relayfile.cli import terminal

NAMES = ("SSH_CONNECTION", "SSH_TTY", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@pytest.mark.parametrize(
    ("surroundings", "opens"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({}, False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "10.0.0.1 22"}, False),
        ({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, False),
        ({"BROWSER": "wslview"}, True),
        ({"BROWSER": "lynx"}, False),
        ({"BROWSER": "/usr/bin/w3m %s:www-browser"}, False),
        ({"BROWSER": "lynx", "DISPLAY": ":0"}, True),
    ],
    ids=str,
)
def test_a_browser_opens_only_at_a_screen_of_this_machine(monkeypatch, surroundings, opens):
    monkeypatch.setattr(terminal, "is_terminal", lambda _: True)
    monkeypatch.setattr(terminal.sys, "platform", "linux")
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    assert terminal.has_browser() is opens


def test_without_a_terminal_none_opens(monkeypatch):
    monkeypatch.setattr(terminal, "is_terminal", lambda _: False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert not terminal.has_browser()


def test_where_a_screen_is_always_there_it_opens(monkeypatch):
    monkeypatch.setattr(terminal, "is_terminal", lambda _: True)
    monkeypatch.setattr(terminal.sys, "platform", "darwin")
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert terminal.has_browser()
