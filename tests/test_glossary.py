"""docs/glossary.md is true: each term is defined where it says."""

import re

import pytest

from tests.tree import PACKAGE, ROOT

TEXT = ROOT.joinpath("docs", "glossary.md").read_text("utf-8")
#: The cells of a row, and the file and name in the last one.
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `([\w/]+\.py)`(?: `(\w+)`)? \|$", TEXT, re.MULTILINE)


def test_the_table_is_read() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(ROWS) == len([line for line in lines if not line.startswith("| term ")]) > 30
    assert len({term for term, _, _, _ in ROWS}) == len(ROWS)


def test_it_is_short() -> None:
    assert len(TEXT.split()) < 1_000  # two pages


@pytest.mark.parametrize(("path", "name"), [row[2:] for row in ROWS])
def test_a_term_is_defined_there(path: str, name: str) -> None:
    folder = PACKAGE.parent if path.startswith("cno/") else ROOT
    source = folder.joinpath(path).read_text("utf-8")
    if name:
        definition = rf"^\s*(?:class |(?:async )?def |self\.)?{name}\b\s*[(:=]"
        assert re.search(definition, source, re.MULTILINE), f"{name} is not defined in {path}"
