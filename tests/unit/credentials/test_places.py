"""Where a login lies, and which one a command uses (R16, R33)."""

import subprocess
import sys

import pytest

from relayfile.credentials import profiles
from relayfile.credentials.home import Home
from relayfile.errors import Misconfigured, UsageError


def test_the_environment_names_the_home(monkeypatch, place):
    monkeypatch.setenv("RELAYFILE_HOME", str(place / "h"))
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "run"))
    home = Home.from_environment()
    assert home.path == place / "h"
    assert home.credentials() == place / "h" / "cloud-credentials.json"
    assert home.credentials("work-1") == place / "h" / "profiles" / "work-1" / "cloud-credentials.json"
    assert home.mirror("m1") == place / "h" / "mirrors" / "m1"
    assert home.mirrors == place / "h" / "mirrors"
    assert home.server == place / "h" / "server"
    assert home.stash_places == (place / "state" / "relayfile", place / "run" / "relayfile")
    assert not (place / "h").exists(), "looking makes nothing"


def test_without_one_it_is_in_the_home_of_the_person(monkeypatch, place):
    monkeypatch.delenv("RELAYFILE_HOME", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(place))
    assert Home.from_environment().path == place / ".relayfile"


def test_folders_are_made_private(place):
    made = Home(place / "h").prepare("mirrors", "m1")
    assert made == place / "h" / "mirrors" / "m1"
    assert {one.stat().st_mode & 0o777 for one in (made, made.parent, place / "h")} == {0o700}
    (place / "file").write_text("")
    with pytest.raises(Misconfigured) as caught:
        Home(place / "file").prepare()
    assert caught.value.hint == "set RELAYFILE_HOME"


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ü", "x" * 65, "a\0"])
def test_a_profile_name_cannot_lead_out_of_its_folder(place, name):
    with pytest.raises(UsageError):
        profiles.choose(Home(place), name)


def test_the_default_login_wins_and_a_single_other_one_stands_in_for_it(place):
    home = Home(place)

    def sign_in(name):
        path = home.credentials(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")

    assert profiles.names(home) == []
    assert profiles.choose(home) == "default"
    sign_in("local")
    assert profiles.choose(home) == "local"
    assert profiles.choose(home, "other") == "other"
    sign_in("work")
    assert profiles.choose(home) == "default"
    sign_in("default")
    assert profiles.names(home) == ["default", "local", "work"]
    assert profiles.choose(home) == "default"


def test_the_home_is_found_without_loading_anything():
    code = (
        "import sys; before = set(sys.modules); import relayfile.credentials.home; "
        "print(sorted(set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "['relayfile', 'relayfile.credentials', 'relayfile.credentials.home']"
