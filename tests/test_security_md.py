"""SECURITY.md says what is so: its table of limits, the names it has, all classes of attack."""

import dataclasses
import re

from cno import Limits
from tests.limits_table import document, rows, shown, wanted
from tests.tree import PACKAGE


def text() -> str:
    return document().read_text("utf-8")


def test_the_table_is_that_of_limits_py() -> None:
    assert text() == wanted(text()), "python -m tests.limits_table writes it anew"


def test_the_table_has_every_limit_with_its_default() -> None:
    found = rows((PACKAGE / "limits.py").read_text("utf-8"))
    fields = dataclasses.fields(Limits)
    assert [name for _, name, _, _ in found] == [f.name for f in fields]
    for (_, name, default, comment), field in zip(found, fields, strict=True):
        assert shown(default) == shown(repr(field.default)), name
        assert comment, f"{name} has no comment"


def test_limits_that_are_mentioned_exist() -> None:
    names = {f.name for f in dataclasses.fields(Limits)}
    prefixes = {name.partition("_")[0] for name in names}
    mentioned = {n for n in re.findall(r"`(\w+)`", text()) if n.partition("_")[0] in prefixes}
    # Attributes of connections, not limits.
    assert mentioned - names <= {"write_data"}


def test_every_class_of_attack_is_told_of() -> None:
    told = re.findall(r"^\| ([AE]\d+) \|", text(), re.MULTILINE)
    assert told == [f"{family}{n}" for family in "AE" for n in range(1, 23)]
