"""Header fields: lists of (name, value). Must never know a connection."""

from collections.abc import Iterable
from typing import TypeAlias

Headers: TypeAlias = list[tuple[str, str]]


def as_list(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the fields as a list; the same object if they are one.

    Raises TypeError for a dictionary: to iterate over it gives the names alone.
    """
    if isinstance(headers, list):
        return headers
    if isinstance(headers, dict) and headers:
        raise TypeError("headers are pairs (name, value), not a dict: give its items()")
    return list(headers)


def value_of(headers: Headers, name: str) -> str | None:
    """Return the first value of a field; None if there is none."""
    for key, value in headers:
        if key == name:
            return value
    return None


def with_length(headers: Headers, size: int) -> Headers:
    """Return the headers with a content-length, unless they frame the body already."""
    for name, _ in headers:
        if name.lower() in ("content-length", "transfer-encoding"):
            return headers
    return [*headers, ("content-length", str(size))]
