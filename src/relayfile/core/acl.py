"""Who may see and change a path, by the rules that stand in the tree itself (3-protocol B.2).

A marker file `.relayfile.acl` carries rules for everything below its folder; a file may carry rules of its own.
All rules that reach a path count together: a denial wins; when there is any rule and none allows, it is denied.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from relayfile.model import TreePath

MARKER: Final = ".relayfile.acl"
_ANYONE: Final = frozenset({"public", "any", "*"})
_KINDS: Final = frozenset({"scope", "agent", "workspace"})


@dataclass(frozen=True, slots=True)
class Who:
    """A reader or writer as rules know it. The workspace's owner can always mend a marker."""

    subject: str
    workspace: str
    scopes: frozenset[str]
    owner: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Allow or deny whoever it names; kind `public` is everyone."""

    allow: bool
    kind: str
    name: str = ""

    def names(self, who: Who) -> bool:
        """Whether it speaks of `who`."""
        if self.kind == "public":
            return True
        if self.kind == "scope":
            return self.name in who.scopes
        return self.name == (who.subject if self.kind == "agent" else who.workspace)


def parse(words: Iterable[str]) -> tuple[Rule, ...]:
    """The rules that `words` are: `[allow:|deny:]` and `public`, `any`, `*`, `scope:S`, `agent:A` or `workspace:W`.

    Words that are none of these say nothing.
    """
    rules = []
    for word in words:
        text = word.strip()
        allow = not text.startswith("deny:")
        text = text.removeprefix("deny:" if not allow else "allow:")
        kind, _, name = text.partition(":")
        if text in _ANYONE:
            rules.append(Rule(allow, "public"))
        elif kind in _KINDS and name:
            rules.append(Rule(allow, kind, name))
    return tuple(rules)


def is_marker(path: TreePath) -> bool:
    """Whether rules on `path` stand for its whole folder."""
    return path == MARKER or path.endswith("/" + MARKER)


def rules_in(content: bytes) -> list[str]:
    """The rule words a marker's JSON content gives; none when it is something else."""
    try:
        words = json.loads(content)["semantics"]["permissions"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


@dataclass(frozen=True, slots=True)
class Acl:
    """Every rule of one workspace: by the folder it stands on ("" is the root), and by the path itself."""

    folders: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    paths: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, standing: Iterable[tuple[TreePath, Iterable[str]]]) -> "Acl":
        """The rules that stand on these paths."""
        folders: dict[str, tuple[Rule, ...]] = {}
        paths: dict[str, tuple[Rule, ...]] = {}
        for path, words in standing:
            if rules := parse(words):
                if is_marker(path):
                    folders[path[: -len(MARKER)].rstrip("/")] = rules
                else:
                    paths[path] = rules
        return cls(folders, paths)

    def __bool__(self) -> bool:
        return bool(self.folders or self.paths)

    def allows(self, path: TreePath, who: Who) -> bool:
        """Whether the rules that reach `path` let `who` see and change it."""
        if not self or (who.owner and is_marker(path)):
            return True
        rules = [*self.folders.get("", ()), *self.paths.get(path, ())]
        if self.folders:
            end = path.find("/")
            while end > 0:
                rules += self.folders.get(path[:end], ())
                end = path.find("/", end + 1)
        allowed = not rules
        for rule in rules:
            if rule.names(who):
                if not rule.allow:
                    return False
                allowed = True
        return allowed
