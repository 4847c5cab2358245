"""Where one mirror keeps its credential and its key: two files of mode 0600 in the mirror's own folder.

Only the process that holds the lease of the mirror's root writes them, so there is no lock and nobody to race with.
"""

import os
from typing import TYPE_CHECKING, Final

from relayfile.credentials import durable
from relayfile.errors import Damaged, Misconfigured
from relayfile.model import Secret
from relayfile.wire.daemon_credential import Held, decode_held, encode_held

if TYPE_CHECKING:
    from pathlib import Path

CREDENTIAL: Final = "credential.json"
KEY: Final = "key.pem"
_LARGEST_BYTES: Final = 65_536


class DaemonFile:
    """The credential of one mirror on disk."""

    def __init__(self, folder: "Path", reach: durable.Reach = durable.no_reach) -> None:
        self._credential = os.fspath(folder / CREDENTIAL)
        self._key = os.fspath(folder / KEY)
        self._reach = reach

    @property
    def path(self) -> str:
        """The credential's file."""
        return self._credential

    def exists(self) -> bool:
        """Whether there is a credential or a key."""
        return os.path.lexists(self._credential) or os.path.lexists(self._key)

    def read(self) -> Held | None:
        """The credential; None when there is none, or none that can be understood: then a new one is asked for."""
        raw = _private(self._credential)
        if raw is None:
            return None
        try:
            return decode_held(raw)
        except (Damaged, Misconfigured):
            return None

    def key(self) -> Secret | None:
        """The key; None when there is none that can be read."""
        raw = _private(self._key)
        try:
            return Secret(raw.decode("ascii")) if raw else None
        except UnicodeDecodeError:
            return None

    def save(self, held: Held) -> None:
        """The file holds `held`.

        Raises:
            OSError: as `durable.replace`: the old one is whole, or else this one is.
        Durable: on return.
        """
        durable.replace(self._credential, encode_held(held), self._reach)

    def save_key(self, key: Secret) -> None:
        """The key is this one; whatever was bound to the one before is lost.

        Raises:
            OSError: it could not be written; the old one is whole.
        Durable: on return.
        """
        durable.private_folder(os.path.dirname(self._key))
        durable.replace(self._key, key.reveal().encode("ascii"), self._reach)

    def check_writable(self) -> None:
        """A credential could be saved now.

        Raises:
            OSError: it could not.
        """
        durable.private_folder(os.path.dirname(self._credential))
        durable.probe(self._credential, 8192)

    def remove(self) -> None:
        """Neither is there any more.

        Raises:
            OSError: one cannot be removed.
        """
        durable.remove(self._credential)
        durable.remove(self._key)


def _private(path: str) -> bytes | None:
    """The bytes of a file that only we can read and that is no link; what others could read is closed to them."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            return None
        if found.st_mode & 0o077:
            os.fchmod(fd, 0o600)
        return os.read(fd, _LARGEST_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)
