"""Every row of the matrix of attacks has a test, or a reason why not.

A1 to A22 are attacks on HTTP/2, E1 to E22 on HTTP/1.1 and by way of it. A test names its rows in
front: `test_a01_...`, `test_e01_e02_...`.
"""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent

ROWS = [f"{family}{number}" for family in "AE" for number in range(1, 23)]

#: Rows that are nobody's business here.
NOT_OURS = {
    "E22": "decompression of bodies, cookies and URLs are the application's: cno has none of them",
}


def rows_of(name: str) -> list[str]:
    """The rows that the name of a test begins with."""
    rows = []
    for word in name.removeprefix("test_").split("_"):
        found = re.fullmatch(r"([ae])0*([0-9]+)", word, re.IGNORECASE)
        if found is None:
            break
        rows.append(found[1].upper() + found[2])
    return rows


def rows_tested() -> dict[str, list[str]]:
    """The tests of each row, found without importing anything."""
    found: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        if path.name == Path(__file__).name:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                rows = rows_of(node.name)
                assert rows, f"{path.name}: {node.name} names no row"
                for row in rows:
                    found.setdefault(row, []).append(f"{path.name}::{node.name}")
    return found


def test_every_row_has_a_test_or_a_reason() -> None:
    known = {*rows_tested(), *NOT_OURS}
    assert [row for row in ROWS if row not in known] == []


def test_every_named_row_exists() -> None:
    assert sorted({*rows_tested(), *NOT_OURS} - set(ROWS)) == []


def test_the_name_of_a_test_is_read_as_meant() -> None:
    assert rows_of("test_a01_rapid_reset") == ["A1"]
    assert rows_of("test_e01_E02_both") == ["E1", "E2"]
    assert rows_of("test_every_row") == []
