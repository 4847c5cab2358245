"""What one reader or writer may see and change of a workspace, as of one transaction (R22).

A view is full when its token reads everywhere and no rule stands in the workspace; then nothing is filtered and
nothing costs. Otherwise the epoch that its reader sees carries the view's name, so that a reader whose view changed
is told so.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

import apsw

from relayfile.core.acl import Acl, Who
from relayfile.errors import CursorExpired, Forbidden
from relayfile.model import TreePath
from relayfile.server.bearer import Access
from relayfile.server.store import feed, files
from relayfile.server.store.feed import Log

K = TypeVar("K")
V = TypeVar("V")

READ: Final = "fs:read"
WRITE: Final = "fs:write"
_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class View:
    """The workspace's log and what of it this access reaches. `name` is empty for a full view."""

    log: Log
    access: Access
    acl: Acl
    who: Who
    name: str

    @property
    def epoch(self) -> str:
        """The log's epoch as this reader sees it."""
        return f"{self.log.epoch}.{self.name}" if self.name else self.log.epoch

    @property
    def filter(self) -> Callable[[TreePath], bool] | None:
        """Which paths it shows; None when it shows all."""
        return self.shows if self.name else None

    def shows(self, path: TreePath) -> bool:
        """Whether its reader may see `path`."""
        return not self.name or self.can(READ, path)

    def can(self, action: str, path: TreePath) -> bool:
        """Whether `action` on `path` is allowed by scopes and by rules."""
        return self.access.scopes.allows(action, path) and self.acl.allows(path, self.who)

    def require(self, action: str, path: TreePath) -> None:
        """`action` on `path` is allowed.

        Raises:
            Forbidden: by the token's scopes, or by a rule.
        """
        self.access.require(action, path)
        if not self.acl.allows(path, self.who):
            raise Forbidden("access denied by ACL", hint="a rule in a .relayfile.acl above this path says so")

    def require_epoch(self, epoch: str) -> None:
        """A cursor of `epoch` still means something in this view.

        Raises:
            CursorExpired: `view_changed` when only the view is another one, else `cursor_expired`; a cursor without
                an epoch may be of any log (R17).
        """
        if epoch == self.epoch:
            return
        if not epoch:
            raise CursorExpired(
                "the cursor names no epoch, so it may be of another log",
                hint="give epoch= as the answer said that the cursor is from, or observe again from 0",
            )
        if epoch.partition(".")[0] == self.log.epoch:
            raise CursorExpired("what this sign-in may see has changed; observe again from 0", code="view_changed")
        raise CursorExpired("the log was restored and has a new epoch; observe again from 0")


class Views:
    """Makes views. Remembers parsed rules and the digests of filtered views; safe in any thread."""

    def __init__(self) -> None:
        self._acls: OrderedDict[tuple[int, int, str], Acl] = OrderedDict()
        self._digests: OrderedDict[tuple[int, str, int], tuple[bytes, int]] = OrderedDict()

    def of(self, connection: apsw.Connection, access: Access) -> View:
        """The view that `access` has, as of this transaction.

        Raises:
            NotFound: `workspace_not_found`.
        """
        log = feed.log_of(connection, access.workspace)
        principal = access.principal
        in_person = principal.workspace is None and principal.token is None  # not an agent's token
        owner = access.role == "owner" and in_person
        who = Who(principal.subject, access.workspace, principal.scopes, owner)
        acl = self._acl(connection, log)
        return View(log, access, acl, who, _name(access, log, acl, who))

    def digest(self, connection: apsw.Connection, view: View) -> tuple[bytes, int]:
        """The tree digest of what the view shows at its log's head, and how many files that is."""
        if not view.name:
            return view.log.tree_digest, view.log.files
        key = (view.log.id, view.epoch, view.log.head)
        if (known := self._digests.get(key)) is None:
            known = feed.visible_digest(connection, view.log, view.filter)
            _remember(self._digests, key, known)
        return known

    def _acl(self, connection: apsw.Connection, log: Log) -> Acl:
        if not log.acl_position:
            return _NO_RULES
        key = (log.id, log.acl_position, log.epoch)
        if (known := self._acls.get(key)) is None:
            known = files.permissions(connection, log)
            _remember(self._acls, key, known)
        return known


_NO_RULES: Final = Acl()


def _name(access: Access, log: Log, acl: Acl, who: Who) -> str:
    if access.scopes.everywhere(READ) and not acl:
        return ""
    parts = [access.scopes.fingerprint(READ).hex(), str(log.acl_position)]
    if acl:
        parts += [who.subject, str(who.owner), *sorted(who.scopes)]
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    while len(kept) > _REMEMBERED:
        try:
            kept.popitem(last=False)
        except KeyError:  # another thread made room
            return
