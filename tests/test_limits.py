"""`cno.Limits`: what values bounds can have, and that those who take it pass it on."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

import cno
from cno import raw
from cno.limits import Limits, bound
from tests.limits_table import rows
from tests.tree import PACKAGE

NAMES = [field.name for field in dataclasses.fields(Limits)]


def test_all_can_be_given_and_are_as_given() -> None:
    defaults = Limits()
    same = Limits(**{name: getattr(defaults, name) for name in NAMES})
    assert same == defaults
    assert dataclasses.replace(defaults, max_pushes=7).max_pushes == 7


def test_repr_tells_what_is_not_as_usual() -> None:
    assert repr(Limits()) == "Limits()"
    text = "Limits(max_pushes=None, allow_obs_fold=True, header_timeout=2.5)"
    changed: Limits = eval(text)
    assert (changed.max_pushes, changed.header_timeout) == (None, 2.5)
    assert repr(changed) == text


def test_it_is_frozen() -> None:
    changed: Any = Limits()
    with pytest.raises((AttributeError, TypeError)):
        changed.max_pushes = 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_pushes", -1),
        ("max_frame_size", 16_383),
        ("max_frame_size", 16_777_216),
        ("initial_window_size", 1 << 31),
        ("connection_window", 1 << 31),
        ("header_table_size", 1 << 32),
        ("max_concurrent_streams", 1 << 32),
        ("header_timeout", -0.5),
        ("header_timeout", float("nan")),
        ("header_timeout", float("inf")),
        ("glitch_rate", -1.0),
    ],
)
def test_values_that_no_bound_has(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        Limits(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_pushes", "7"),
        ("max_pushes", 7.5),
        ("max_frame_size", None),
        ("glitch_rate", None),
        ("linger_timeout", "soon"),
        ("allow_bare_lf", None),
    ],
)
def test_values_of_other_types(name: str, value: Any) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(TypeError):
        Limits(**given)


def test_whole_seconds_are_seconds() -> None:
    assert Limits(header_timeout=5, glitch_rate=3).header_timeout == 5


def test_none_is_no_bound() -> None:
    assert bound(None) > 1 << 60
    assert bound(7) == 7


def test_each_has_a_comment_of_its_own() -> None:
    found = rows(Path(PACKAGE, "limits.py").read_text("utf-8"))
    assert [name for _, name, _, _ in found] == NAMES
    comments = [comment for _, _, _, comment in found]
    assert all(comments) and len(set(comments)) == len(comments)


async def handle(request: cno.Request) -> None:
    await request.respond(200, [], b"")


def test_all_take_it() -> None:
    limits = Limits(max_header_list_size=7_000)

    async def made() -> list[raw.Connection | cno.Server | cno.Client]:
        loop = asyncio.get_running_loop()
        cno.Pool(limits=limits)
        async with await cno.serve(handle, "127.0.0.1", 0, limits=limits):
            pass
        server = cno.Server(loop, handle, limits=limits)
        client = cno.Client("example.com", "http", limits=limits)
        return [raw.Connection(True, limits=limits), server, client]

    for each in asyncio.run(made()):
        assert each.local_settings.max_header_list_size == 7_000
