"""A test of many rows tries all, and names those that fail; files are divided by their weights."""

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import files_to_run
from tests.rows import each_row
from tests.shares import divide


@each_row("number", [1, 2, 3, 4])
def even(number: int) -> None:
    assert number % 2 == 0


@each_row("left, right", [("a", "a"), ("a", "b")], ids=["same", "other"])
@each_row("upper", [False, True], ids=str)
def equal(fixture: str, left: str, right: str, upper: bool) -> None:
    assert not upper or (left + fixture).upper() == (right + fixture).upper()


@each_row("value", [1])
def not_raised(value: int) -> None:
    with pytest.raises(ValueError, match="no"):
        int(value)


def test_each_row_that_fails_is_named() -> None:
    with pytest.raises(BaseExceptionGroup, match="2 of 4 rows failed:\n1\n3") as raised:
        even()  # type: ignore[call-arg]  # the rows give the rest
    assert [error.__notes__ for error in raised.value.exceptions] == [["row: 1"], ["row: 3"]]


def test_one_failure_is_raised_as_it_is() -> None:
    with pytest.raises(AssertionError) as raised:
        equal(fixture="c")  # type: ignore[call-arg]  # the rows give the rest
    assert raised.value.__notes__ == ["row: True", "row: other"]
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        not_raised()  # type: ignore[call-arg]  # the rows give the rest


def test_rows_are_no_fixtures() -> None:
    assert list(inspect.signature(equal).parameters) == ["fixture"]


def test_rows_and_names_fit() -> None:
    with pytest.raises(AssertionError, match="not 2 values"):
        each_row("a, b", [(1, 2, 3)])
    with pytest.raises(AssertionError, match="no such arguments"):
        each_row("other", [1])(lambda value: None)
    with pytest.raises(ValueError, match="shorter"):
        each_row("value", [1, 2], ids=["one"])
    with pytest.raises(AssertionError, match="no rows"):
        each_row("value", [])(lambda value: None)()  # type: ignore[call-arg]  # the rows give the rest


def test_a_timeout_ends_all_rows() -> None:
    tried = []

    def slow(value: int) -> None:
        tried.append(value)
        pytest.fail("Timeout (>120.0s) from pytest-timeout.")

    with pytest.raises(pytest.fail.Exception):
        each_row("value", [1, 2])(slow)()  # type: ignore[call-arg]  # the rows give the rest
    assert tried == [1]


def test_a_row_may_be_a_pytest_param() -> None:
    seen: list[tuple[object, ...]] = []
    rows = [pytest.param(True, 1, id="yes"), (False, 2)]

    def see(value: object, number: int = 0) -> None:
        seen.append((value, number))

    each_row(("value", "number"), rows)(see)()  # type: ignore[call-arg]  # as above
    each_row("value", [pytest.param(3, id="three")])(see)()  # type: ignore[call-arg]  # as above
    assert seen == [(True, 1), (False, 2), (3, 0)]

    def fail(value: object) -> None:
        raise ValueError

    with pytest.raises(ValueError) as caught:  # noqa: PT011  # it has no text
        each_row("value", [pytest.param(3, id="three")])(fail)()  # type: ignore[call-arg]  # as above
    assert caught.value.__notes__ == ["row: three"]
    with pytest.raises(AssertionError, match="no marks"):
        each_row("value", [pytest.param(3, marks=pytest.mark.slow)])


def test_a_row_that_skips_fails() -> None:
    tried = []

    def skip(value: int) -> None:
        tried.append(value)
        assert value != 1
        if value == 2:
            pytest.skip("not here")

    with pytest.raises((BaseExceptionGroup, pytest.skip.Exception)) as raised:
        each_row("value", [1, 2, 3])(skip)()  # type: ignore[call-arg]  # as above
    assert isinstance(raised.value, BaseExceptionGroup)
    assert raised.value.message == "2 of 3 rows failed:\n1\n2"
    assert "needs parametrize: not here" in str(raised.value.exceptions[1])
    assert tried == [1, 2, 3]


def test_shares_of_paths_with_two_dots() -> None:
    here = Path(__file__).parent
    config: Any = SimpleNamespace(
        args=["tests/aio/../compliance", "tests/../tests/test_rows.py::test_a"],
        invocation_params=SimpleNamespace(dir=here.parent),
        option=SimpleNamespace(ignore=["tests/aio/../compliance/test_7541.py"], quick=False),
    )
    found = files_to_run(config)
    assert here / "test_rows.py" in found
    assert here / "compliance" / "test_9113_flow.py" in found
    assert here / "compliance" / "test_7541.py" not in found


def test_shares_are_about_the_same() -> None:
    weights = {"a": 5.0, "b": 4.0, "c": 3.0, "d": 3.0, "e": 1.0}
    shares = divide(weights, 2)
    assert sorted(name for share in shares for name in share) == sorted(weights)
    assert [sum(weights[name] for name in share) for share in shares] == [8.0, 8.0]
    assert divide({"a": 1.0}, 2) == [["a"], []]
