"""The identity side of the server as one thing: keys, accounts, sign-in, tokens, workspaces, audit."""

import time
from typing import Final

from starlette.routing import BaseRoute

from relayfile.server.accounts import Accounts, OwnerSignin, first_owner
from relayfile.server.auth import OAuthRoutes
from relayfile.server.bearer import Bearer
from relayfile.server.config import Lifetimes, Listen, Settings
from relayfile.server.dashboard.device import DevicePage
from relayfile.server.dashboard.openid import OpenIDReturn
from relayfile.server.dashboard.pages import Pages
from relayfile.server.device import Devices
from relayfile.server.dpop import Proofs
from relayfile.server.enrolment import Enrolments
from relayfile.server.grants import Grants
from relayfile.server.intake import Place
from relayfile.server.keys import Keys
from relayfile.server.machine_tokens import MachineTokenRoutes
from relayfile.server.old_doors import OldDoors
from relayfile.server.openid import OpenID
from relayfile.server.processes import ProcessRoutes
from relayfile.server.provider import Provider
from relayfile.server.sessions import SessionRoutes
from relayfile.server.store.database import Database, connect
from relayfile.server.workspaces import WorkspaceRoutes

_AHEAD_FOR_S: Final = 90 * 86_400.0


class Identity:
    """Made once by `server/app.py`, after the schema is there: `Identity.open(database, settings)`.

    `welcome` is what the operator must be told at this start (how to sign in, what was ignored); None is nothing.
    It never holds a secret.
    """

    def __init__(
        self, database: Database, keys: Keys, settings: Settings, *, restored_until: float, welcome: str | None
    ) -> None:
        self.welcome = welcome
        self.bearer = Bearer(database, keys)
        self._owner = OwnerSignin(settings.data)
        place = Place(settings.listen.public_url)
        grants = Grants(database, keys, self.bearer, settings.lifetimes, restored_until=restored_until)
        people, devices, pages = Accounts(database), Devices(database, grants), Pages(keys)
        openid = None
        if (provider := settings.openid) is not None:
            openid = OpenID(
                Provider(provider), provider.rules, database=database, keys=keys, pages=pages, place=place
            )
        device_page = DevicePage(devices, people, pages, openid)
        old_doors = OldDoors(grants, people, pages, place, openid)
        self._routes = [
            *OAuthRoutes(
                grants=grants,
                people=people,
                devices=devices,
                owner=self._owner,
                enrolments=Enrolments(database, self.bearer, grants),
                proofs=Proofs(keys, place),
                keys=keys,
                database=database,
                place=place,
            ).routes(),
            *device_page.routes(),
            *old_doors.routes(),
            *(OpenIDReturn(openid, device_page, old_doors, pages).routes() if openid else []),
            *SessionRoutes(database, self.bearer, grants).routes(),
            *ProcessRoutes(database, self.bearer).routes(),
            *MachineTokenRoutes(database, self.bearer).routes(),
            *WorkspaceRoutes(database=database, keys=keys, bearer=self.bearer, grants=grants, place=place).routes(),
        ]

    @classmethod
    def open(cls, database: Database, settings: Settings, *, restored: bool = False) -> "Identity":
        """Keys and an owner exist, and DATA/owner-signin lets whoever can read it in once (R45).

        `restored`: an older database was found to have been put back; for 90 days from now clients that are ahead
        of it are believed (R1).

        Raises:
            Misconfigured: a key or the owner's password file cannot be used, or the keys are of another database.
        """
        connection = connect(database.path)
        try:
            if restored:
                connection.execute("INSERT INTO restored (at) VALUES (?)", (time.time(),))
            since = connection.execute("SELECT max(at) FROM restored").get
            keys = Keys.open(settings.keys_dir, connection)
            first = first_owner(connection, settings.owner, settings.data)
        finally:
            connection.close()
        return cls(
            database,
            keys,
            settings,
            restored_until=0.0 if since is None else float(since) + _AHEAD_FOR_S,
            welcome="\n".join(_told(settings, first)) or None,
        )

    def routes(self) -> list[BaseRoute]:
        """Every route of sign-in and of the control plane."""
        return list(self._routes)

    async def close(self) -> None:
        """The owner sign-in of this start is void and its file gone."""
        self._owner.close()


def _told(settings: Settings, first: str | None) -> list[str]:
    """What the operator should know at this start, one sentence a line."""
    lines = []
    if first is not None:
        lines.append(f"first start: run `relayfile login {_address(settings.listen)}` and {first}")
    elif settings.owner.name or settings.owner.password_file:
        lines.append("the owner settings are ignored: this data folder has accounts already")
    if _overlap_too_long(settings.lifetimes):
        lines.append(
            "warning: the refresh overlap is longer than an access lifetime; old clients can renew unnoticed for long"
        )
    return lines


def _address(listen: Listen) -> str:
    """Where people reach the server, as far as it is known before it listens."""
    return listen.public_url or (f"http://{listen.host}:{listen.port}" if listen.port else "ADDRESS")


def _overlap_too_long(lifetimes: Lifetimes) -> bool:
    return lifetimes.refresh_overlap_s > lifetimes.access_ttl_s
