"""What commands share: the event loop, limits, header fields and URLs as users type them.

Knows the words that users type. Must never know HTTP.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from cno.cli.limit_option import limits_from
from cno.cli.option_table import ArgumentError
from cno.cli.problems import Problem, end_line
from cno.cli.text import one_line
from cno.limits import Limits

T = TypeVar("T")

#: The value of a field that is to be sent without one.
NO_VALUE = "\0"


def run_loop(main: Coroutine[Any, Any, T], *, fast: bool = False) -> T:
    """Run a command. `fast`: on uvloop if it is installed, since that is slower to import.

    Raises Problem(status 130) when Ctrl-C ends it.
    """
    factory = None
    if fast:
        from cno.aio.running import usual_loop_factory

        factory = usual_loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    except KeyboardInterrupt:
        end_line()
        raise Problem("", 130) from None


def with_limits(texts: Iterable[str], base: Limits) -> Limits:
    """Return `base` with the changes of `--limit`. Raises ArgumentError."""
    try:
        return limits_from(texts, base)
    except ValueError as error:
        raise ArgumentError(f"--limit: {error}") from None


def split_header(line: str, option: str = "-H") -> tuple[str, str]:
    """Split `name: value`. An empty value removes a default field. Raises ArgumentError.

    `name;` is a field with an empty value.
    """
    name, colon, value = line.partition(":")
    if not colon and line.endswith(";"):
        name, colon, value = line[:-1], ":", NO_VALUE
    if not colon or not name or any(c in line for c in "\r\n\0"):
        raise ArgumentError(f"{option} {one_line(line)!r}: should be 'name: value'")
    if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()) is None:
        raise ArgumentError(f"{option} {one_line(line)!r}: malformed header field {name!r}")
    return name.strip().lower(), value.strip()


def with_scheme(url: str) -> str:
    """Return a URL; one without a scheme is taken as `http:`."""
    return url if "://" in url else f"http://{url}"
