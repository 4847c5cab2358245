"""What a machine token may be: its name, its life, its scopes. Pure.

A machine token acts for the account that made it, within scopes of its own. It never holds what manages an account:
a token that could make tokens would outlive its own end.
"""

from collections.abc import Iterable
from typing import Final

from relayfile.core.scopes import ACCOUNT, ACTIONS, Scopes
from relayfile.errors import Forbidden, UsageError

LONGEST_S: Final = 366 * 86_400.0
MOST: Final = 500
"""Living tokens of one account."""

_LONGEST_NAME: Final = 64
_SHORT: Final = tuple(action for action in ACTIONS if action != ACCOUNT)


def name(text: str) -> str:
    """`text` as the name of a token.

    Raises:
        UsageError: code `invalid_name`: it is empty, too long, unprintable, or could be taken for an id.
    """
    found = text.strip()
    if not found or len(found) > _LONGEST_NAME or not found.isprintable() or found.startswith(("mt_", "-")):
        raise UsageError(
            f"a token's name has 1 to {_LONGEST_NAME} printable characters and does not begin with mt_ or -",
            code="invalid_name",
        )
    return found


def life_s(seconds: float) -> float:
    """`seconds` as the life of a token.

    Raises:
        UsageError: code `invalid_ttl`: not positive, or more than a year.
    """
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(
            f"a machine token lives at most {LONGEST_S / 86_400:.0f} days, and more than none", code="invalid_ttl"
        )
    return seconds


def word(text: str) -> str:
    """`text` as a scope word: `fs:read:/docs`, as people write it, is /docs and everything below it."""
    for action in _SHORT:
        if text.startswith(f"{action}:/"):
            path = text.removeprefix(f"{action}:")
            return f"relayfile:{action}:{path if path.endswith('*') else path.rstrip('/') + '/**'}"
    return text


def shown(scope: str) -> str:
    """A scope word as people write it: the inverse of `word`, where it has one."""
    for action in _SHORT:
        if scope.startswith(f"relayfile:{action}:/") and scope.endswith("/**"):
            return scope.removeprefix("relayfile:").removesuffix("/**")
    return scope


def granted(wanted: Iterable[str], maker: Iterable[str], workspace: str | None = None) -> list[str]:
    """The words of a token's scopes: each means something, and none more than its maker's own sign-in.

    Raises:
        UsageError: code `invalid_scope`: there is none, or one that no machine token can have.
        Forbidden: code `scope_insufficient`: the sign-in that makes it may do less than that.
    """
    words = [word(text) for text in wanted]
    if not words:
        raise UsageError("a machine token needs a scope, such as fs:read or fs:read:/docs", code="invalid_scope")
    for text in words:
        grants = Scopes.parse([text], workspace=workspace).grants
        if not grants or ACCOUNT in grants or not text.isprintable():
            raise UsageError(
                f"not a scope that a machine token can have: {text[:80]!r}",
                code="invalid_scope",
                hint=f"one of {', '.join(_SHORT)}, alone or with a path as in fs:read:/docs",
            )
    asked = Scopes.parse(words, workspace=workspace)
    if not asked.within(Scopes.parse(maker, workspace=workspace)):
        raise Forbidden("your sign-in may do less than was asked for; no token was made", code="scope_insufficient")
    return asked.words()
