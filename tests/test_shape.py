"""The shape of the code: small modules, small classes, names that say something."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "relayfile"
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_LINES = 500
MAX_METHODS = 20
MAX_FIELDS = 12
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def classes(source: str) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))


def methods(cls: ast.ClassDef) -> list[str]:
    return [node.name for node in cls.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def fields(cls: ast.ClassDef) -> set[str]:
    """Annotated names of the class body, and what its methods set on `self`."""
    declared = {
        node.target.id for node in cls.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    targets = [
        target
        for node in ast.walk(cls)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return declared | {
        part.attr
        for part in flat
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self"
    }


def is_value(cls: ast.ClassDef) -> bool:
    """A frozen dataclass or Struct without methods: a record, whose length is that of what it records (R38).

    A msgspec Struct that describes a body of the wire is one even when it is not marked frozen.
    """
    frozen = any(
        isinstance(word.value, ast.Constant) and word.arg == "frozen" and word.value.value is True
        for call in [*cls.decorator_list]
        if isinstance(call, ast.Call)
        for word in call.keywords
    )
    struct = any(ast.unparse(base).endswith(("Struct", "NamedTuple", "Body", "TypedDict")) for base in cls.bases)
    return (frozen or struct) and not methods(cls)


def faults(name: str, source: str) -> list[str]:
    """What about this module has the wrong shape."""
    found = []
    if (lines := source.count("\n")) > MAX_LINES:
        found.append(f"{name} has {lines} lines; split it by what changes together")
    for cls in classes(source):
        if (count := len(methods(cls))) > MAX_METHODS:
            found.append(f"{name}: {cls.name} has {count} methods")
        if not is_value(cls) and (count := len(fields(cls))) > MAX_FIELDS:
            found.append(f"{name}: {cls.name} has {count} fields: {sorted(fields(cls))}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_keeps_its_shape(module):
    assert not faults(str(module.relative_to(SOURCE)), module.read_text())


def test_no_module_has_a_name_that_says_nothing():
    assert not [path for path in SOURCE.rglob("*") if path.stem in EMPTY_NAMES]


def test_the_gate_itself_sees_what_is_too_large():
    many = "\n".join(f"        self.f{number} = 0" for number in range(MAX_FIELDS + 1))
    tall = "class Tall:\n" + "\n".join(f"    def m{number}(self): ..." for number in range(MAX_METHODS + 1))
    assert faults("long.py", "x = 1\n" * (MAX_LINES + 1))
    assert faults("wide.py", f"class Wide:\n    def __init__(self):\n{many}\n")
    assert faults("tall.py", tall)
    assert not faults(
        "record.py", "@dataclass(frozen=True)\nclass R:\n" + "\n".join(f"    f{n}: int" for n in range(30))
    )
