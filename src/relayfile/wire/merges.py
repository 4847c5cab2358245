"""The JSON bodies of `POST fs/merge` (3-protocol B 1.12)."""

import msgspec

from relayfile.wire.data import Identity


class MergeRequest(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Body of `POST fs/merge`. `baseContent` may be left out: the log has it."""

    strategy: str
    content: str
    base_revision: str
    base_content: str | None = None
    content_type: str = ""
    content_identity: Identity | None = None


class MergeAnswer(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Answer of `POST fs/merge` (200)."""

    target_revision: str
    strategy: str
    base_revision: str
    merged_against_revision: str


class MergeConflict(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """One place where both sides changed the same lines."""

    unit: str
    reason: str
    base: str
    mine: str
    theirs: str
