"""SECURITY.md and docs/limits.md are true: their tables, and the names of limits."""

import dataclasses
import re
from pathlib import Path

import pytest

from cno import Limits
from tests.limits_table import document, rows, shown, wanted
from tests.tree import PACKAGE, ROOT

SECURITY = ROOT / "SECURITY.md"


def test_the_table_is_that_of_limits_py() -> None:
    text = document().read_text("utf-8")
    assert text == wanted(text), "python -m tests.limits_table writes it anew"


def test_the_table_has_every_limit_with_its_default() -> None:
    found = rows((PACKAGE / "limits.py").read_text("utf-8"))
    fields = dataclasses.fields(Limits)
    assert [name for _, name, _, _ in found] == [f.name for f in fields]
    for (_, name, default, comment), field in zip(found, fields, strict=True):
        assert shown(default) == shown(repr(field.default)), name
        assert comment, f"{name} has no comment"


def test_no_row_of_the_table_is_there_twice() -> None:
    lines = [line for line in document().read_text("utf-8").splitlines() if line[:3] == "| `"]
    meanings = [line.split(" | ", 2)[2] for line in lines]
    assert len(lines) == len(dataclasses.fields(Limits))
    assert {text for text in meanings if meanings.count(text) > 1} == set()


def test_the_example_of_limits_md() -> None:
    (code,) = re.findall(r"```python\n(.+?)```", document().read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["LIMITS"], Limits)


@pytest.mark.parametrize("path", [SECURITY, document(), ROOT / "README.md"], ids=lambda p: p.name)
def test_limits_that_are_mentioned_exist(path: Path) -> None:
    names = {f.name for f in dataclasses.fields(Limits)}
    prefixes = {name.partition("_")[0] for name in names}
    found = re.findall(r"`(\w+)`", path.read_text("utf-8"))
    mentioned = {name for name in found if name.partition("_")[0] in prefixes and "_" in name}
    # Methods of connections, and an argument of pools.
    assert mentioned - names <= {"write_data", "pause_writing", "resume_writing", "max_per_origin"}


@pytest.mark.parametrize("path", [SECURITY, document()], ids=lambda p: p.name)
def test_links(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", path.read_text("utf-8")):
        assert path.parent.joinpath(target).exists(), target


def test_every_class_of_attack_is_there() -> None:
    found = re.findall(r"^\| ([AE]\d+) \|", SECURITY.read_text("utf-8"), re.MULTILINE)
    assert found == [f"{family}{n}" for family in "AE" for n in range(1, 23)]
