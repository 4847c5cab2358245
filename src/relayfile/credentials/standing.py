"""Where a login stands, as its files and the last attempt of this process tell. No network, no lock."""

from contextlib import suppress

from relayfile.core import session as core
from relayfile.credentials.file import CredentialFile
from relayfile.credentials.sight import Sight
from relayfile.errors import Damaged, Misconfigured, RelayfileError
from relayfile.wire.auth import RefreshToken
from relayfile.wire.credentials import Pair, fingerprint


def of(file: CredentialFile, sight: Sight, trouble: RelayfileError | None) -> core.LoginState:
    """The state of the login in `file`; `trouble` is what kept the last renewal from succeeding."""
    try:
        content, ending = sight.look()
    except (Damaged, Misconfigured) as error:
        return _unusable(file, error)
    if (pair := content.pair) is None:
        return _signed_out(file)
    life = sight.life(pair)
    phase, code, reason, by, since, hint = core.Phase.VALID, None, None, None, None, None
    if ending is not None:
        ended = core.Phase.AUTH_FAILED if ending.error == "invalid_grant" else core.Phase.CLIENT_REJECTED
        phase, code, reason, by, since = ended, ending.error, ending.reason, ending.by, ending.at
    elif trouble is not None:
        phase, code, reason, hint = phase_of(trouble), trouble.code, trouble.message, trouble.hint
    elif sight.urgency(pair) is not core.Urgency.FINE:
        phase = core.Phase.DUE
    return core.LoginState(
        phase=phase,
        api_url=pair.grant.api_url,
        account=pair.grant.account,
        family=pair.grant.family or _family_in(pair),
        generation=pair.grant.generation,
        rt_fp=fingerprint(pair.grant.refresh_token),
        access_left_s=life.left_s,
        refresh_expires_at=pair.grant.refresh_expires_at,
        absolute_expires_at=pair.grant.absolute_expires_at,
        code=code,
        reason=reason,
        by=by,
        since=since,
        holder=file.holder().pid if phase is core.Phase.AUTH_BUSY else None,
        clock_skew_s=skew_s(pair),
        path=file.path,
        hint=hint,
    )


def phase_of(trouble: RelayfileError) -> core.Phase:
    """Where a login stands whose last renewal ended with this."""
    if trouble.code == "credentials_unwritable":
        return core.Phase.PERSIST_FAILED
    if isinstance(trouble, Misconfigured):
        return core.Phase.CONFIG_ERROR
    return {"auth_busy": core.Phase.AUTH_BUSY, "auth_ambiguous": core.Phase.AMBIGUOUS}.get(
        trouble.code, core.Phase.DEGRADED
    )


def skew_s(pair: Pair) -> float | None:
    """How far this machine's clock is ahead of the server's, as the last answer told."""
    if pair.server_date is None or pair.grant.issued_at is None:
        return None
    try:
        return pair.grant.issued_at - float(pair.server_date)
    except ValueError:
        return None


def _unusable(file: CredentialFile, error: Damaged | Misconfigured) -> core.LoginState:
    """A file that says nothing; of one that was damaged the history still knows the server."""
    newest = file.journal.history().newest if isinstance(error, Damaged) else None
    return core.LoginState(
        core.Phase.CONFIG_ERROR,
        api_url=None if newest is None else newest.grant.api_url,
        code=error.code,
        reason=error.message,
        path=file.path,
        hint=error.hint,
    )


def _signed_out(file: CredentialFile) -> core.LoginState:
    with suppress(Misconfigured):
        if tombstones := file.journal.endings().tombstones:
            return core.LoginState(core.Phase.LOGGED_OUT, since=tombstones[-1].at, path=file.path)
    return core.LoginState(core.Phase.NO_SESSION, code="login_required", path=file.path)


def _family_in(pair: Pair) -> str | None:
    """The family that a foreign writer's token names by its form, if it is one of ours."""
    refresh = pair.grant.refresh_token
    told = None if refresh is None else RefreshToken.parse(refresh.reveal())
    return None if told is None else told.family
