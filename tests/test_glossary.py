"""docs/glossary.md is true: each term is defined where it says. So are the functions that
CONTRIBUTING.md gives as places to start from."""

import re

from tests.rows import each_row
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


def places_to_start_from() -> list[tuple[str, str]]:
    """Each file of the table in CONTRIBUTING.md, with each name that stands before it, or none."""
    text = ROOT.joinpath("CONTRIBUTING.md").read_text("utf-8")
    table = text.partition("| to change | read |\n|---|---|\n")[2].partition("\n\n")[0]
    found = []
    for line in table.splitlines():
        folder, names = "", []
        for each in re.findall(r"`([\w/.]+)`", line):
            if not each.endswith(".py"):
                names.append(each)
                continue
            path = each if "/" in each else f"{folder}/{each}"  # in that of the file before it
            folder = path.rpartition("/")[0]
            found += [(path, name) for name in names or [""]]
            names = []
        assert not names, line
    return found


@each_row(("path", "name"), [*(row[2:] for row in ROWS), *places_to_start_from()])
def test_a_term_is_defined_there(path: str, name: str) -> None:
    folder = PACKAGE.parent if path.startswith("cno/") else ROOT
    source = folder.joinpath(path).read_text("utf-8")
    if name:
        definition = rf"^\s*(?:class |(?:async )?def |self\.)?{name}\b\s*[(:=]"
        assert re.search(definition, source, re.MULTILINE), f"{name} is not defined in {path}"
