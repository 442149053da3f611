"""Every row of the checklist of RFC 9113, 7541, 9112 and 8441 has a test, or a reason why not here.

A test names its rows in front: `test_F19_...`, `test_B1_B2_...`. A module may list rows that it
leaves out in `NOT_HERE = {"ST6": "the reason, and where it is tested"}`.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: All tests count: those of a row need not stand in this folder.
TESTS = Path(__file__).parent.parent

#: Families of rows and how many each has.
FAMILIES = {
    "ST": 8,
    "FR": 13,
    "S": 16,
    "F": 30,
    "H": 21,
    "HP": 17,
    "M": 16,
    "B": 9,
    "K": 8,
    "W": 11,
    "C": 5,
    "X": 7,
}
ROWS = [f"{family}{n}" for family, count in FAMILIES.items() for n in range(1, count + 1)]


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(TESTS.rglob("test_*.py")):
        yield path, ast.parse(path.read_text("utf-8"), str(path))


def rows_of(name: str) -> list[str]:
    """The rows that the name of a test begins with."""
    rows = []
    for word in name.removeprefix("test_").split("_"):
        if not re.fullmatch(r"[A-Z]+[0-9]+", word):
            break
        rows.append(word)
    return rows


@cache
def rows_tested() -> dict[str, list[str]]:
    """The tests of each row, found without importing anything."""
    found: dict[str, list[str]] = {}
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in rows_of(node.name):
                    found.setdefault(row, []).append(f"{path.name}::{node.name}")
    return found


@cache
def left_out() -> dict[str, str]:
    """The reasons given in NOT_HERE."""
    reasons: dict[str, str] = {}
    for _, tree in modules():
        for node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(node, ast.AnnAssign):
                target = node.target
            if isinstance(target, ast.Name) and target.id == "NOT_HERE":
                assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
                reasons |= ast.literal_eval(node.value)
    return reasons


def test_every_row_has_a_test_or_a_reason() -> None:
    known = {*rows_tested(), *left_out()}
    assert [row for row in ROWS if row not in known] == []


def test_every_named_row_exists() -> None:
    assert sorted({*rows_tested(), *left_out()} - set(ROWS)) == []


def test_every_reason_is_one() -> None:
    assert {row: reason for row, reason in left_out().items() if len(reason) < 10} == {}


def test_the_name_of_a_test_is_read_as_meant() -> None:
    assert rows_of("test_F19_window_update") == ["F19"]
    assert rows_of("test_B1_B2_both") == ["B1", "B2"]
    assert rows_of("test_every_row") == []
