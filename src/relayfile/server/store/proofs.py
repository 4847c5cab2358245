"""Rows of key proofs that were used. Every function works inside the caller's transaction."""

from dataclasses import dataclass

import apsw


@dataclass(frozen=True, slots=True)
class KeyProof:
    """A proof of the key with thumbprint `jkt` that holds by itself; whether it was used before, only `spend` knows.

    `digest` names it among all proofs of that key; its nonce is refused from `expires_at` on.
    """

    jkt: str
    digest: bytes
    expires_at: float


def spend(connection: apsw.Connection, proof: KeyProof, now: float) -> bool:
    """The proof has been used; False when it was before. Some whose nonce is over are forgotten on the way."""
    connection.execute(
        "DELETE FROM key_proof WHERE digest IN (SELECT digest FROM key_proof WHERE expires_at <= ? LIMIT 20)", (now,)
    )
    connection.execute("INSERT OR IGNORE INTO key_proof VALUES (?, ?)", (proof.digest, proof.expires_at))
    return connection.changes() > 0
