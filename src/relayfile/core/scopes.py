"""What a token's scope words allow (3-protocol B.2): which actions, on which paths.

A word is `fs:read` (everywhere), `relayfile:fs:read:/docs/**` (there), `*:fs:read[:path]` or
`workspace:<id>:read[:path]`. An unknown word allows nothing. One narrow grant for an action takes the bare word for
that action its meaning of "everywhere".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

ACCOUNT: Final = "account:manage"
"""Ours: manage the account itself (workspaces, sessions). Tokens of one workspace never hold it."""

ACTIONS: Final = (
    "fs:read",
    "fs:write",
    "ops:read",
    "ops:replay",
    "sync:read",
    "sync:trigger",
    "admin:read",
    "admin:replay",
    ACCOUNT,
)
_BARE: Final = frozenset(ACTIONS)
_EVERYWHERE: Final = "*"
_READ_AND_WRITE: Final = frozenset({"read", "write"})


@dataclass(frozen=True, slots=True)
class Scopes:
    """For each action the path patterns it is granted on. Made by `parse`; the same words give an equal value."""

    grants: Mapping[str, frozenset[str]]

    @classmethod
    def parse(cls, words: Iterable[str], *, workspace: str | None = None) -> "Scopes":
        """What `words` allow in `workspace` (grants to other workspaces by id count for nothing)."""
        bare: set[str] = set()
        grants: dict[str, set[str]] = {}
        for word in words:
            if word in _BARE:
                bare.add(word)
                continue
            for action, pattern in _granted(word, workspace):
                grants.setdefault(action, set()).add(pattern)
        for action in bare:
            if not any(pattern != _EVERYWHERE for pattern in grants.get(action, ())):
                grants.setdefault(action, set()).add(_EVERYWHERE)
        return cls({action: _reduced(patterns) for action, patterns in grants.items()})

    def allows(self, action: str, path: str | None) -> bool:
        """May `action` be done on `path` (with or without its leading `/`); None asks: on any path at all?"""
        patterns = self.grants.get(action)
        if not patterns or path is None:
            return bool(patterns)
        full = path if path.startswith("/") else "/" + path
        return any(_matches(pattern, full) for pattern in patterns)

    def everywhere(self, action: str) -> bool:
        """May `action` be done on every path there is or will be?"""
        return _EVERYWHERE in self.grants.get(action, ())

    def fingerprint(self, action: str) -> bytes:
        """Equal for two scopes exactly when they grant `action` by the same patterns: names a filtered view (R22)."""
        return sha256("\0".join(sorted(self.grants.get(action, ()))).encode("utf-8", "surrogatepass")).digest()

    def only(self, actions: Iterable[str]) -> "Scopes":
        """These grants, for `actions` alone: what is left of them for a membership that gives less."""
        kept = frozenset(actions)
        return Scopes({action: patterns for action, patterns in self.grants.items() if action in kept})

    def words(self) -> list[str]:
        """Scope words that mean exactly this, in a fixed order."""
        return [
            action if pattern == _EVERYWHERE else f"relayfile:{action}:{pattern}"
            for action in ACTIONS
            for pattern in sorted(self.grants.get(action, ()))
        ]

    def within(self, other: "Scopes") -> bool:
        """Nothing is granted here that `other` does not grant."""
        return all(
            other.everywhere(action) or all(_covered(pattern, other.grants.get(action, ())) for pattern in patterns)
            for action, patterns in self.grants.items()
        )


def _granted(word: str, workspace: str | None) -> Iterable[tuple[str, str]]:
    """The (action, pattern) pairs one word with parts grants."""
    if word.startswith("workspace:"):
        parts = word.split(":", 3)
        if len(parts) < 3 or parts[1] not in {workspace, "*"}:
            return []
        resource, act, pattern = "fs", parts[2], parts[3] if len(parts) > 3 else _EVERYWHERE
    else:
        parts = word.split(":", 3)
        if len(parts) < 3 or parts[0] not in {"relayfile", "*"}:
            return []
        resource, act, pattern = parts[1], parts[2], parts[3] if len(parts) > 3 else _EVERYWHERE
    if pattern != _EVERYWHERE and not pattern.startswith("/"):
        return []  # an empty path too: a forgotten variable must not mean everywhere
    if pattern in {"/*", "/**"}:
        pattern = _EVERYWHERE
    return [(action, pattern) for action in ACTIONS if action != ACCOUNT and _names(action, resource, act)]


def _names(action: str, resource: str, act: str) -> bool:
    its_resource, its_act = action.split(":")
    return resource in {"*", its_resource} and (
        act in {"*", its_act} or (act == "manage" and its_act in _READ_AND_WRITE)
    )


def _reduced(patterns: set[str]) -> frozenset[str]:
    return frozenset({_EVERYWHERE}) if _EVERYWHERE in patterns else frozenset(patterns)


def _matches(pattern: str, path: str) -> bool:
    if pattern == _EVERYWHERE:
        return True
    if pattern.endswith("/**"):
        return path == pattern[:-3] or path.startswith(pattern[:-2])
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path == pattern


def _covered(pattern: str, by: Iterable[str]) -> bool:
    """Whether some pattern in `by` matches everything that `pattern` does."""
    if pattern == _EVERYWHERE:
        return False  # only an equal grant covers it, and `within` has looked for that
    if pattern.endswith("/**"):
        return any(
            wider == pattern
            or (wider.endswith("/**") and pattern[:-2].startswith(wider[:-2]))
            or (wider.endswith("*") and not wider.endswith("/**") and pattern[:-3].startswith(wider[:-1]))
            for wider in by
        )
    if pattern.endswith("*"):
        stem = pattern[:-1]
        return any(wider.endswith("*") and stem.startswith(wider.rstrip("*")) for wider in by)
    return any(_matches(wider, pattern) for wider in by)
