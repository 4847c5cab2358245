"""Path patterns mean what v1's do, and none of them can hold up a server."""

import random
import re
import time

import pytest

from relayfile.core.patterns import MAX_PATTERNS, matcher
from relayfile.errors import UsageError


@pytest.mark.parametrize(
    ("pattern", "fits", "not_"),
    [
        ("/docs/**", ["docs", "docs/a", "docs/a/b"], ["docs2", "adocs", "x/docs"]),
        ("/docs/*", ["docs/a"], ["docs", "docs/a/b"]),
        ("/docs", ["docs"], ["docs/a", "docs2"]),
        ("*.md", ["a.md", ".md"], ["a/b.md", "a.mdx"]),
        ("**/b", ["a/b", "a/a/b"], ["b", "ab"]),
        ("a/**/b", ["a/x/b", "a/x/y/b"], ["a/b"]),
        ("**", ["a", "a/b"], []),
        ("a?[b]*", ["a?[b]", "a?[b]c"], ["axb", "a?b"]),
        ("*a*b*", ["ab", "xaxbx", "aab"], ["ba", "a/b"]),
        ("a\n*", ["a\nb"], ["ab"]),
    ],
)
def test_a_pattern_fits_these_and_not_those(pattern, fits, not_):
    fit = matcher([pattern])
    assert [path for path in [*fits, *not_] if fit(path)] == fits


def test_no_pattern_and_the_root_fit_everything():
    assert matcher([])("a/b")
    assert matcher(["/", "nothing"])("a/b")
    assert matcher(["a", "b"])("b")


def test_it_agrees_with_one_regular_expression_for_the_whole_path():
    chance = random.Random(5)
    for _ in range(4_000):
        pattern = "/".join(chance.choice(["a", "*", "**", "a*", "*b", "a*b*"]) for _ in range(chance.randint(1, 4)))
        path = "/".join("".join(chance.choices("ab", k=chance.randint(1, 3))) for _ in range(chance.randint(1, 4)))
        parts = [".*" if part == "**" else part.replace("*", "[^/]*") for part in pattern.split("/")]
        text = "/".join(parts)
        text = text[: -len("/.*")] + "(?:/.*)?" if text.endswith("/.*") else text
        assert matcher([pattern])(path) == bool(re.fullmatch(text, path)), (pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 100 + "b", "a" * 255),
        ("*" * 255 + "b", "a" * 255),
        ("/".join(["**"] * 200) + "/b", "/".join(["a"] * 1_000)),
        ("/".join(["**", "*a*a*a*b"] * 20), "/".join(["a" * 200] * 20)),
    ],
)
def test_a_hostile_pattern_is_answered_quickly(pattern, path):
    began = time.perf_counter()
    assert not matcher([pattern])(path)
    assert time.perf_counter() - began < 0.5


def test_too_many_patterns_and_too_long_ones_are_refused():
    for patterns in (["a"] * (MAX_PATTERNS + 1), ["a" * 5_000]):
        with pytest.raises(UsageError) as refused:
            matcher(patterns)
        assert refused.value.code == "invalid_pattern"
