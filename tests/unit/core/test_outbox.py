"""What becomes of an edit that was sent (R29)."""

import pytest

from relayfile.core.outbox import Agreed, Drop, Entry, Resend, Wait, after_restart, stored
from relayfile.model import Digest, TreePath, Version


def version(content, revision=0):
    return Version(revision, Digest(content * 32), 1, "644")


SENT = Entry("k", TreePath("a"), 3, version(b"s"))
DELETION = Entry("k", TreePath("a"), 3, None)


def test_what_the_server_stored_is_agreed_at_its_revision():
    assert stored(SENT, 9) == Agreed(9, version(b"s", 9))
    assert stored(DELETION, 9) == Agreed(9, None)


@pytest.mark.parametrize(
    ("entry", "local", "remote", "observed", "fate"),
    [
        (SENT, version(b"s"), version(b"s", 9), False, Agreed(9, version(b"s", 9))),
        (SENT, version(b"t"), version(b"s", 9), False, Agreed(9, version(b"s", 9))),
        (SENT, version(b"s"), version(b"o", 3), False, Resend()),
        (SENT, version(b"s"), version(b"x", 9), True, Resend()),
        (SENT, version(b"t"), version(b"o", 3), False, Wait()),
        (SENT, version(b"t"), version(b"o", 3), True, Drop()),
        (SENT, None, None, True, Drop()),
        (DELETION, None, version(b"o", 3), False, Resend()),
        (DELETION, version(b"t"), version(b"o", 3), False, Wait()),
        (DELETION, version(b"t"), None, True, Drop()),
    ],
)
def test_the_fate_of_an_entry_whose_answer_was_lost(entry, local, remote, observed, fate):
    assert after_restart(entry, local, remote, observed=observed) == fate
