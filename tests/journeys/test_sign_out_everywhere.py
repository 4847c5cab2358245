"""A laptop was lost: one command ends every sign-in of the account, and each machine is told by whom."""

import json

from servers import OWNER


def test_signing_out_everywhere_ends_other_machines_too_and_they_hear_whose_hand_it_was(machine, server, new_machine):
    lost = new_machine()
    lost.login(server)
    family = json.loads(lost.credentials.read_text())["family"]
    ran = machine.run("logout", "--everywhere", "--json")
    assert ran.json["ended"] >= 2
    assert ran.json["server_told"] is True
    assert not machine.credentials.exists()
    assert lost.try_("whoami").code == 4
    machine.login(server)
    told = [json.loads(line) for line in machine.run("auth", "log", "--json").out.splitlines()]
    [end] = [event for event in told if event["family"] == family and event["event"] == "revoked"]
    assert end["reason"] == "signed_out_everywhere"
    rows = machine.run("auth", "sessions", "--json").json
    assert [(row["kind"], row["username"], row["current"]) for row in rows if row["current"]] == [
        ("sign-in", OWNER, True)
    ]
    assert family not in {row["id"] for row in rows}


def test_signing_out_everywhere_changes_nothing_when_the_server_cannot_be_told(machine, server):
    server.stop()
    before = machine.credentials.read_bytes()
    ran = machine.try_("logout", "--everywhere")
    assert ran.code == 75, ran
    assert machine.credentials.read_bytes() == before


def test_signing_out_everywhere_needs_a_sign_in(new_machine):
    machine = new_machine()
    assert machine.try_("logout", "--everywhere").code == 4
    assert machine.try_("logout").code == 0
