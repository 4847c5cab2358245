"""A daemon gets a credential of its own: the token exchange (RFC 8693) at the token endpoint (R10).

The person's access token says who they are, a proof says which key the credential is bound to, the form says which
mirror of which workspace it is for. What comes out is a credential family of kind `daemon`, a child of the sign-in.
"""

from collections.abc import Mapping
from typing import Final

import apsw

from relayfile.core.enrolment import scopes_of
from relayfile.errors import LoginRequired, RelayfileError, Unavailable, UsageError
from relayfile.model import Principal
from relayfile.server.bearer import Bearer
from relayfile.server.grants import Grants, Issued, Wish
from relayfile.server.store import accounts, families, proofs
from relayfile.server.store.database import Database
from relayfile.server.store.families import DAEMON, SIGN_IN
from relayfile.server.store.proofs import KeyProof
from relayfile.server.throttle import Throttle
from relayfile.wire.auth import INVALID_DPOP_PROOF, TYPE_ACCESS, TYPE_REFRESH, ClientName

_MAX_MIRROR: Final = 80
_A_MINUTE: Final = 30
REPLAYED: Final = "the proof of the key does not hold: it was used before"


class Enrolments:
    """Begins daemon credentials."""

    def __init__(self, database: Database, bearer: Bearer, grants: Grants) -> None:
        self._database = database
        self._bearer = bearer
        self._grants = grants
        self._begun = Throttle(_A_MINUTE, 60.0)

    async def enrol(self, fields: Mapping[str, str], key: KeyProof, client: ClientName) -> Issued:
        """A daemon credential for the mirror that the form names, bound to `key`.

        Raises:
            UsageError: `invalid_request` (the form; or the subject token, whose error is then the reason),
                `invalid_scope`, `invalid_dpop_proof` (the proof was used before).
            Unavailable: 429: too many by this sign-in.
            NotFound, Forbidden, RelayfileError: the workspace, as at every route.

        Durable: the family, its audit row, and that the proof was used.
        """
        _check_types(fields)
        mirror = _mirror(fields)
        subject = await self._subject(fields.get("subject_token"))
        self._begun.check(subject.family)
        self._begun.count(subject.family)
        workspace = (await self._bearer.access(subject, _given(fields, "workspace"))).workspace
        scopes = scopes_of(subject.scopes, fields.get("scope", "").split(), workspace)
        if scopes is None:
            raise UsageError("more was asked for than this sign-in may do, or nothing", code="invalid_scope")
        wish = Wish(
            client=client,
            scopes=" ".join(scopes.words()),
            old_clients=False,
            door="enrolment",
            profile=_shown(fields.get("profile", ""))[:80] or None,
            kind=DAEMON,
            parent=subject.family,
            workspace=workspace,
            mirror=mirror,
            jkt=key.jkt,
        )

        def work(connection: apsw.Connection) -> Issued:
            account = accounts.by_id(connection, subject.account)
            if account is None or subject.family is None or families.ended(connection, subject.family):
                raise _unfit("token_revoked", "that sign-in has ended")
            issued = self._grants.begin_in(connection, account, wish)
            if not proofs.spend(connection, key, issued.now):
                raise UsageError(REPLAYED, code=INVALID_DPOP_PROOF)
            return issued

        return await self._database.write(work)

    async def _subject(self, token: str | None) -> Principal:
        """The sign-in that enrols."""
        if not token:
            raise UsageError("subject_token is missing", code="invalid_request")
        try:
            subject = await self._bearer.principal(token)
        except Unavailable:
            raise
        except LoginRequired as error:
            raise _unfit(error.code, error.message) from error
        if subject.labels.get("kind") != SIGN_IN:
            raise _unfit("not_a_sign_in", "only a person's own sign-in can enrol a daemon")
        return subject


def _check_types(fields: Mapping[str, str]) -> None:
    wanted = {"subject_token_type": TYPE_ACCESS, "requested_token_type": TYPE_REFRESH}
    for name, only in wanted.items():
        if _given(fields, name) != only:
            raise UsageError(f"{name} must be {only}", code="invalid_request")


def _mirror(fields: Mapping[str, str]) -> str:
    mirror = _given(fields, "mirror")
    if len(mirror) > _MAX_MIRROR or _shown(mirror) != mirror:
        raise UsageError(f"mirror has at most {_MAX_MIRROR} printable characters", code="invalid_request")
    return mirror


def _given(fields: Mapping[str, str], name: str) -> str:
    if not (value := fields.get(name)):
        raise UsageError(f"{name} is missing", code="invalid_request")
    return value


def _shown(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def _unfit(reason: str, why: str) -> RelayfileError:
    """The subject token is no good: `invalid_request` (RFC 8693 section 2.2.2), which ends no sign-in (I9)."""
    return UsageError(f"the subject token is of no use: {why}", code="invalid_request", details={"reason": reason})
