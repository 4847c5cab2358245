"""Every phase of a login, as people and programs read it: its text, its state, its exit code, and what mends it."""

import pytest

from relayfile.cli.auth_status import Found
from relayfile.core.session import LoginState, Phase, as_fields, remedy, sentence

LOGIN = "run `relayfile login http://s`"
MEND = "mend it, or move RELAYFILE_HOME to a local disk"
TABLE = {
    Phase.NO_SESSION: ("no-session", "not signed in", 4, LOGIN),
    Phase.VALID: ("valid", "signed in", 0, None),
    Phase.DUE: ("due", "signed in, renewal due", 0, None),
    Phase.AMBIGUOUS: ("ambiguous", "outcome of a renewal unknown, will be repeated safely", 0, None),
    Phase.PERSIST_FAILED: ("persist-failed", "cannot save the renewed login", 78, MEND),
    Phase.DEGRADED: ("degraded", "renewal does not get through", 0, None),
    Phase.AUTH_BUSY: ("auth-busy", "another process has been renewing for long", 0, None),
    Phase.AUTH_FAILED: ("auth-failed", "auth-failed: needs re-login", 4, LOGIN),
    Phase.CLIENT_REJECTED: ("client-rejected", "this client is not accepted", 4, "upgrade relayfile"),
    Phase.CONFIG_ERROR: ("config-error", "this machine must be mended", 78, MEND),
    Phase.LOGGED_OUT: ("logged-out", "signed out", 4, LOGIN),
}


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_its_text_its_state_its_exit_code_and_its_remedy(phase):
    state = LoginState(phase, api_url="http://s")
    found = Found(profile="default", state=state, ran_out=False, renewed_at=None, failure=None)
    told = (as_fields(state)["state"], sentence(state), found.exit_code, remedy(state))
    assert told == TABLE[phase]


@pytest.mark.parametrize(
    ("code", "hint", "mends"),
    [
        ("credentials_damaged", "run `relayfile login URL`", LOGIN),
        ("credentials_newer", "upgrade relayfile", "upgrade relayfile"),
        (
            "no_lock",
            "move RELAYFILE_HOME to a local, writable folder",
            "move RELAYFILE_HOME to a local, writable folder",
        ),
        ("config", None, MEND),
    ],
)
def test_what_mends_a_machine_is_named_by_the_trouble_itself(code, hint, mends):
    assert remedy(LoginState(Phase.CONFIG_ERROR, api_url="http://s", code=code, hint=hint)) == mends
