"""The local name of a path on a file system that cannot hold its own: deterministic, readable, and reversible.

`report: final.txt` lies as `report%3A final~=9d6c1f0e2b7a.txt` where `:` is reserved, and of two names that only case
tells apart one lies as `readme~=b335630551682`. What such a name says is checked against the digest in it, so an
ordinary name is taken for one only where somebody worked that digest out. A name that is too long even so is cut;
only whoever knows the whole one can tell what `a very long na~-4f6c1b20a9d3e875.txt` stands for.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from relayfile.model import MAX_SEGMENT_BYTES

_WHOLE: Final = re.compile(r"(?P<stem>.+)~=[0-9a-f]{12}(?P<ending>\.[^.]*)?", re.DOTALL)
_CUT: Final = re.compile(r".*~-[0-9a-f]{16}(\.[^.]*)?", re.DOTALL)
_ESCAPE: Final = re.compile(rb"%(?:([0-9A-F]{2})|)")
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
_ENDING_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file system asks of its names. As made without arguments it takes whatever a workspace does.

    `highest` is the last letter it can write down, `ends` whether a name may end in a dot or a space, `devices`
    whether one may be called as a device of old (`aux.txt`). `folds`: names that differ only in case or in their
    normal form are one.
    """

    most_bytes: int = MAX_SEGMENT_BYTES
    reserved: frozenset[str] = field(default=frozenset())
    highest: str = "\U0010ffff"
    ends: bool = True
    devices: bool = True
    folds: bool = False


def mapped(name: str, rules: Rules) -> str:
    """The local name that stands for the segment `name` where its own cannot be had."""
    odd = {index for index, letter in enumerate(name) if letter == "%" or not _writable(letter, rules)}
    if not rules.ends and name[-1] in ". ":
        odd.add(len(name) - 1)
    if not rules.devices and _DEVICE.fullmatch(name):
        odd.add(0)
    escaped = "".join(_escaped(letter) if index in odd else letter for index, letter in enumerate(name))
    stem, dot, ending = escaped.rpartition(".")
    if not stem:  # no dot, or only a leading one
        stem, dot, ending = escaped, "", ""
    digest = sha256(name.encode()).hexdigest()
    whole = f"{stem}~={digest[:12]}{dot}{ending}"
    if len(whole.encode()) <= rules.most_bytes:
        return whole
    tail = f"~-{digest[:16]}" + (f"{dot}{ending}" if len(ending.encode()) < _ENDING_BYTES else "")
    return stem.encode()[: max(1, rules.most_bytes - len(tail.encode()))].decode(errors="ignore") + tail


def needs(name: str, rules: Rules) -> bool:
    """Whether `name` can never be its own local name: the file system cannot hold it, or it would mean another."""
    return (
        len(name.encode()) > rules.most_bytes
        or not all(_writable(letter, rules) for letter in name)
        or (not rules.ends and name[-1] in ". ")
        or (not rules.devices and _DEVICE.fullmatch(name) is not None)
        or meant(name, rules) != name
    )


def meant(local: str, rules: Rules) -> str | None:
    """The segment that the local name `local` stands for; None: a name was cut to this, and only a list can tell."""
    if rules == Rules():
        return local
    if _CUT.fullmatch(local):
        return None
    found = _WHOLE.fullmatch(local)
    name = None if found is None else _unescaped(found["stem"] + (found["ending"] or ""))
    if name is None or mapped(name, rules) != local:
        return local
    return name if rules.folds or needs(name, rules) else local


def _writable(letter: str, rules: Rules) -> bool:
    return letter not in rules.reserved and letter <= rules.highest


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _unescaped(text: str) -> str | None:
    """What `text` was before it was escaped, if that can be a segment of a path."""
    try:
        name = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode()).decode()
    except (UnicodeError, AttributeError):  # surrogates, bytes that are no text, a % that escapes nothing
        return None
    return None if name in {"", ".", ".."} or not {"/", "\\", "\0"}.isdisjoint(name) else name
