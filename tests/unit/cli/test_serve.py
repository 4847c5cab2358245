"""The settings of `serve`: what cannot be meant is refused before anything is started or made."""

import pytest

from relayfile.cli import main


@pytest.fixture
def started(monkeypatch, place):
    """The settings of each server that would have run."""
    found = []
    monkeypatch.setenv("RELAYFILE_HOME", str(place / "home"))
    monkeypatch.setattr("relayfile.server.serve.serve", lambda settings: found.append(settings) or 0)
    return found


ALLOWED = {
    "--access-ttl": "100ms to 3660d",
    "--refresh-ttl": "100ms to 3660d",
    "--absolute-ttl": "100ms to 3660d",
    "--refresh-overlap": "0s to 3660d",
    "--prune-tombstones": "0 to 36500",
    "--public-url": "https://HOST",
    "--owner": "1 to 64 letters",
}


@pytest.mark.parametrize(
    "word",
    [
        *(f"--access-ttl={text}" for text in ("0s", "1ms", "99999999999999d", "", "soon", "nan")),
        *(f"{option}={text}" for option in ("--refresh-ttl", "--absolute-ttl") for text in ("0s", "3661d")),
        *(f"--refresh-overlap={text}" for text in ("-1s", "3661d")),
        *(f"--prune-tombstones={text}" for text in ("nan", "inf", "-1", "36501")),
        *(f"--public-url={text}" for text in ("", "foo", "ftp://x/", "http://", "http://x:y", "http://x/?a")),
        *(f"--public-url={text}" for text in ("http://a b", "http://a\nb", "http://u:p@x")),
        *(f"--owner={text}" for text in ("", "ada\n", "../x", "a" * 400, "a b", "a/b", "-ada", "ada\x7f")),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named_with_what_is_allowed(started, place, capsys, word):
    assert main.run(["serve", "--data", str(place / "data"), word]) == 2
    said = capsys.readouterr().err
    option = word.partition("=")[0]
    assert not started
    assert option in said
    assert ALLOWED[option] in said
    assert "Nothing was started" in said
    assert not list(place.iterdir())


def test_settings_that_can_be_meant_reach_the_server(started, place):
    words = {
        "--access-ttl": "100ms",
        "--refresh-ttl": "3660d",
        "--absolute-ttl": "90d",
        "--refresh-overlap": "0s",
        "--prune-tombstones": "0",
        "--public-url": "https://files.example.org/relay/",
        "--owner": "Zoë.b-c_d@example.org",
    }
    assert main.run(["serve", "--data", str(place / "data"), *(f"{name}={words[name]}" for name in words)]) == 0
    [settings] = started
    assert (settings.lifetimes.access_ttl_s, settings.lifetimes.refresh_overlap_s) == (0.1, 0)
    assert settings.lifetimes.refresh_ttl_s == 3_660 * 86_400
    assert settings.limits.prune_tombstones_days == 0
    assert settings.listen.public_url == "https://files.example.org/relay/"
    assert settings.owner.name == "Zoë.b-c_d@example.org"
