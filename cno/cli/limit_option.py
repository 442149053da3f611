"""The option `--limit NAME=VALUE`, which sets a field of `cno.Limits`.

Knows the names and the syntax of values. Must never know what a limit is for.
"""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, Final

from cno.cli.text import one_line
from cno.limits import Limits

#: Values that switch a limit off.
OFF: Final = ("none", "off")
_SWITCH: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def names() -> list[str]:
    """Return the names of all limits."""
    return [field.name for field in fields(Limits)]


def epilog() -> str:
    """Return the end of `--help`: the names of all limits."""
    return f"Limits (none: no limit; sizes also as 64k or 2M): {', '.join(names())}."


def limits_from(texts: Iterable[str], base: Limits) -> Limits:
    """Return `base` with the changes that `texts` name. Raises ValueError, worded for users."""
    changes: dict[str, Any] = {}
    types = {field.name: field.type for field in fields(Limits)}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ValueError(f"{one_line(text)!r} should be NAME=VALUE")
        if name not in types:
            raise ValueError(f"there is no limit {one_line(name)!r}; see --help")
        changes[name] = value_of(name, value.strip())
        if changes[name] is None and types[name] in (int, float):
            raise ValueError(f"{name} cannot be switched off")
    return replace(base, **changes)


def value_of(name: str, text: str) -> float | bool | None:
    """Return the value of a limit: None, a number (`100`, `64k`, `2M`), or a bool for `allow_…`."""
    if text.lower() in OFF and not name.startswith("allow_"):
        return None
    try:
        if name.startswith("allow_"):
            return _SWITCH[text.lower()]
        if name.endswith(("_timeout", "_interval", "_rate", "_age")):
            return float(text)
        return whole(text)
    except (KeyError, ValueError):
        raise ValueError(f"{name} cannot be {one_line(text)!r}") from None


def whole(text: str) -> int:
    """Return an integer; the suffix k stands for 1,024, M and G for its powers."""
    unit = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1:].lower(), 1)
    return int(text[:-1] if unit > 1 else text) * unit
