"""Tests that try many rows of data as one test item."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

import pytest

#: The type of `pytest.param`, which has no public name.
ParameterSet = type(pytest.param())

Test = TypeVar("Test", bound=Callable[..., None])
Ids = Iterable[object] | Callable[[Any], object] | None


def each_row(
    names: str | Sequence[str], values: Iterable[Any], *, ids: Ids = None
) -> Callable[[Test], Test]:
    """Call the test for each row, as `pytest.mark.parametrize` does, but as one test item.

    An item costs some milliseconds of CPU time in each run, most rows far less. All rows are tried,
    and the failure names each that failed. They share the fixtures. A test that skips rows, marks
    them or changes its fixtures needs `parametrize`.
    """
    fields = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    table = [Row(value, len(fields)) for value in values]
    if callable(ids):
        for row in table:
            row.name = "-".join(str(ids(each)) for each in row.values)
    elif ids is not None:
        for row, name in zip(table, ids, strict=True):
            row.name = str(name)

    def decorate(test: Test) -> Test:
        @wraps(test)
        def run(**fixtures: Any) -> None:
            assert table, "no rows"
            failed: list[tuple[str, BaseException]] = []
            for row in table:
                try:
                    test(**fixtures, **dict(zip(fields, row.values, strict=True)))
                except pytest.skip.Exception as skip:
                    # It would hide the rows that failed before it, and end those after it.
                    skipped = AssertionError(f"a row was skipped, which needs parametrize: {skip}")
                    skipped.add_note(f"row: {row.name}")
                    failed.append((row.name, skipped))
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"row: {row.name}")
                    if "pytest-timeout" in str(error):
                        raise  # of the whole item
                    failed.append((row.name, error))
            if len(failed) == 1:
                raise failed[0][1]
            if failed:
                listed = "\n".join(name for name, _ in failed)
                text = f"{len(failed)} of {len(table)} rows failed:\n{listed}"
                raise BaseExceptionGroup(text, [error for _, error in failed])

        signature = inspect.signature(test)
        assert set(fields) <= {*signature.parameters}, "the test has no such arguments"
        rest = [each for name, each in signature.parameters.items() if name not in fields]
        run.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]  # of functions
        return run  # type: ignore[return-value]  # it has fewer arguments

    return decorate


class Row:
    """The values of a row, and how a failure names it."""

    def __init__(self, value: Any, size: int) -> None:
        name = None
        if isinstance(value, ParameterSet):  # `pytest.param`
            assert not value.marks, f"a row has no marks: {value!r}"
            name, values = value.id, value.values
        else:
            values = tuple(value) if size > 1 else (value,)
        self.values: tuple[Any, ...] = tuple(values)
        assert len(self.values) == size, f"not {size} values: {value!r}"
        text = str(name) if name is not None else ", ".join(map(repr, self.values))
        self.name = text if len(text) <= 200 else f"{text[:200]}..."
