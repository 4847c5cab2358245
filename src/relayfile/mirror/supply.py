"""Which contents one batch has, from where, and which it lacks."""

from collections.abc import Callable, Mapping

from relayfile.mirror.ports import Body, Fetched, Lost, Twin
from relayfile.model import Digest, Version


class Supply:
    """The contents of one batch while it is being filled.

    `bodies` are at hand, `lost` cannot be had now, `twin` finds what lies on this disk. `wants` are those lacking,
    with their sizes; `spent` those used that can be placed only once. `short`: one of these was asked for again.
    """

    def __init__(
        self, bodies: Mapping[Digest, Body], lost: Mapping[Digest, Lost], twin: Callable[[Version], Twin | None]
    ) -> None:
        self.bodies = bodies
        self.lost = lost
        self._twin = twin
        self._twins: dict[Digest, Twin] = {}
        self.wants: dict[Digest, int] = {}
        self.spent: set[Digest] = set()
        self.short = False

    def has(self, version: Version) -> bool:
        """Whether there is a body for it in this batch; otherwise it is wanted, unless it cannot be had now."""
        digest = version.digest
        if version.size == 0:
            return True
        if digest in self.spent:
            self.short = True  # it comes again, or in the next batch from where it lies by then
            return False
        if (body := self.bodies.get(digest)) is not None:
            if isinstance(body, Fetched):
                self.spent.add(digest)
            return True
        if twin := self._twins.get(digest) or self._twin(version):
            self._twins[digest] = twin
            return True
        if digest not in self.lost:
            self.wants[digest] = version.size
        return False

    def body(self, version: Version | None) -> Body:
        """The body of what it has."""
        if version is None or version.size == 0:
            return b""
        return self.bodies.get(version.digest, self._twins.get(version.digest, b""))
