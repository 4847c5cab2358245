"""Real processes on a machine that must be mended: locks are refused (R8), the folder of the login goes away."""

import shutil
import time

from servers import OWNER, PASSWORD
from waiting import until

TTL_S = 2.0


def test_a_refused_lock_is_exit_78_for_a_command_and_config_error_for_a_daemon_until_it_is_mended(
    start_server, new_machine, place
):
    server, machine = start_server(access_ttl=f"{TTL_S:g}s", refresh_overlap="0s"), new_machine()
    machine.expected.append("this machine must be mended")
    machine.login(server)
    machine.run("workspace", "create", "w")
    root = place / "mirror"
    machine.run("mount", "w", root, "--shared-login")
    machine.until_live(root)
    lock = machine.credentials.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()  # nobody locks that
    parked = machine.until_mirror(
        root, lambda one: one["state"] == "config-error", within_s=60, what="the mirror says config-error"
    )
    assert "no lock on" in parked["cause"]["message"]
    before = machine.credentials.read_bytes()
    refused = machine.try_("whoami")
    assert refused.code == 78, refused
    assert "no lock on" in refused.err
    assert "RELAYFILE_HOME" in refused.err
    assert machine.credentials.read_bytes() == before
    lock.rmdir()
    machine.run("whoami")
    machine.until_live(root, within_s=60)
    assert {event["event"] for event in server.audit()} <= {"issued", "rotated"}


def test_a_daemon_whose_login_folder_vanishes_parks_quietly_and_goes_on_when_it_returns(
    start_server, new_machine, place
):
    server, machine = start_server(), new_machine()
    machine.expected.append("login: not signed in")
    signed_in = ("login", server.url, "--profile", "team", "--username", OWNER, "--password-stdin")
    machine.run(*signed_in, stdin=PASSWORD + "\n")
    machine.run("workspace", "create", "w", "--profile", "team")
    root = place / "mirror"
    machine.run("mount", "w", root, "--shared-login", "--profile", "team")
    machine.until_live(root)
    folder, aside = machine.home / "profiles" / "team", place / "aside"
    shutil.copytree(folder, aside)
    shutil.rmtree(folder)
    machine.until_mirror(
        root, lambda one: one["state"] == "auth-failed", within_s=60, what="the mirror says that a sign-in is needed"
    )
    asked, quiet_until = len(server.access_log()), time.monotonic() + 3
    until(lambda: time.monotonic() > quiet_until, within_s=10, what="three looks passed")
    ours = [one for one in server.access_log()[asked:] if "daemon" in str(one.get("client", ""))]
    assert not ours, "a parked daemon made requests"
    shutil.copytree(aside, folder)  # another folder of that name: no watch of the first one sees it
    (root / "new.txt").write_text("new\n")
    machine.until_live(root)
