"""What stands beside the credential file and outlives a crash: intent, history, verdicts, stash (4-sessions B.1).

Everything is read and written by the holder of the lock only; `ending` alone is also read without it.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from relayfile.credentials import durable
from relayfile.credentials.home import mark_secrets
from relayfile.errors import Misconfigured
from relayfile.model import Secret
from relayfile.wire import credentials as wire

KEPT = 32


class Journal:
    """The sidecars of one credential file, whose path without its suffix is `base`."""

    def __init__(self, base: str, stash_places: Sequence[str], reach: durable.Reach) -> None:
        self._base = base
        self._reach = reach
        name = f"{hashlib.sha256(base.encode()).hexdigest()[:16]}.stash"
        self._stashes = (f"{base}.stash", *(os.path.join(place, name) for place in stash_places))
        self.verdict_path = f"{base}.verdict"

    # ---------------------------------------------------------------------------------------------- intent

    def nonce(self, pair: wire.Pair, now: float) -> Secret:
        """The nonce for this refresh token: the one already promised, else a new one, durable on return (I2).

        Raises:
            OSError: it cannot be made durable, or an earlier promise cannot be read; nothing may be sent.
        """
        fp, path = wire.fingerprint(pair.grant.refresh_token), f"{self._base}.intent"
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            kept = msgspec.json.decode(durable.read_strictly(path) or b"", type=wire.Intent)
            if kept.rt_fp == fp and kept.nonce:
                # Whoever promised it may have died before the folder was synced: then a power cut would take it back.
                durable.sync_folder(path)
                return Secret(kept.nonce)
        nonce = secrets.token_hex(16)
        intent = wire.Intent(fp, nonce, wire.moment(now), pair.grant.family, pair.grant.generation)
        durable.replace(path, msgspec.json.encode(intent) + b"\n", self._on_intent)
        return Secret(nonce)

    def _on_intent(self, point: str) -> None:
        names = {"FP9 written": "FP4 intent written", "FP12 folder synced": "FP5 intent synced"}
        if point in names:
            self._reach(names[point])

    def drop_intent(self) -> None:
        """No intent is kept: its token is consumed, or its login over. What cannot be dropped is keyed: harmless."""
        with suppress(OSError):
            durable.remove(f"{self._base}.intent")

    # --------------------------------------------------------------------------------------------- history

    def history(self) -> wire.History:
        """Which refresh tokens were exchanged here, and the newest pair."""
        return wire.decode_history(durable.read(f"{self._base}.history") or b"")

    def record(self, consumed: str | None, newest: wire.Pair | None) -> None:
        """`consumed` is never presented again, and `newest` may be put back.

        Raises:
            OSError: it cannot be made durable.
        """
        kept = [fp for fp in self.history().consumed if fp != consumed]
        history = wire.History(tuple([*kept, *([consumed] if consumed else [])][-KEPT:]), newest)
        durable.replace(f"{self._base}.history", wire.encode_history(history))

    # ---------------------------------------------------------------------------- verdicts and tombstones

    def endings(self) -> wire.Endings:
        """Every verdict and tombstone.

        Raises:
            Misconfigured: the file is there and cannot be understood; presenting anything might break I5.
        """
        raw = durable.read(self.verdict_path)
        if raw is None and not os.path.lexists(self.verdict_path):
            return wire.Endings()
        try:
            return msgspec.json.decode(raw or b"", type=wire.Endings)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Misconfigured(
                f"{self.verdict_path} cannot be read, so no token is presented",
                code="verdict_unreadable",
                hint=f"remove {self.verdict_path} and sign in again",
            ) from error

    def add_verdict(self, ending: wire.Ending) -> None:
        """The token named in `ending` is never presented again, by any process (I5).

        Raises:
            OSError: it cannot be made durable.
        """
        kept = self.endings()
        others = tuple(one for one in kept.verdicts if one.rt_fp != ending.rt_fp)
        self._write_endings(wire.Endings((*others, ending)[-KEPT:], kept.tombstones))

    def add_tombstone(self, tombstone: wire.Tombstone) -> None:
        """Nothing of that login is ever written or presented again (I4).

        Raises:
            OSError: it cannot be made durable.
        """
        kept = self.endings()
        others = tuple(one for one in kept.tombstones if one.rt_fp != tombstone.rt_fp)
        self._write_endings(wire.Endings(kept.verdicts, (*others, tombstone)[-KEPT:]))

    def forget_unreadable_endings(self) -> None:
        """A verdict file that cannot be understood is out of the way; a new login has replaced what it spoke of."""
        try:
            self.endings()
        except Misconfigured:
            os.replace(self.verdict_path, f"{self.verdict_path}.damaged")

    def _write_endings(self, endings: wire.Endings) -> None:
        durable.replace(self.verdict_path, msgspec.json.encode(endings) + b"\n")

    # ----------------------------------------------------------------------------------------------- stash

    def stash(self, consumed: str, pair: wire.Pair) -> bool:
        """Whether the successor of `consumed` lies durably in one of the places; the first that takes it."""
        raw = wire.encode_stash(consumed, pair)
        for path in self._stashes:
            try:
                durable.private_folder(os.path.dirname(path))
                mark_secrets(os.path.dirname(path))
                durable.replace(path, raw)
            except OSError:
                continue
            return True
        return False

    def stashed(self, consumed: str) -> wire.Pair | None:
        """The successor of `consumed`, if it was stashed."""
        found = (wire.decode_stash(durable.read(path) or b"", consumed) for path in self._stashes)
        return next((pair for pair in found if pair is not None), None)

    def drop_stash(self) -> None:
        """No successor is stashed any more, where it can be removed; what stays is keyed by a consumed token."""
        for path in self._stashes:
            with suppress(OSError):
                durable.remove(path)
