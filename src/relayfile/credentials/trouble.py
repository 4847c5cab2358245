"""Why the last renewal that failed did: kept beside the credential file, for `auth status`, whoever tried it."""

import os
from contextlib import suppress

import msgspec

from relayfile.credentials import durable
from relayfile.wire.credentials import Trouble


def note(credentials: str, trouble: Trouble) -> None:
    """It is what `last` answers. Only under the lock of the credential file; worth no failure of its own."""
    with suppress(OSError):
        durable.replace(_path(credentials), msgspec.json.encode(trouble) + b"\n")


def last(credentials: str) -> Trouble | None:
    """The last trouble of this credential file; None when there was none, or it cannot be read."""
    try:
        return msgspec.json.decode(durable.read(_path(credentials)) or b"", type=Trouble)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _path(credentials: str) -> str:
    return os.path.realpath(credentials).removesuffix(".json") + ".trouble"
