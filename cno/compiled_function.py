"""The type of compiled coroutine functions, which public methods of compiled classes get, too.

A leaf. In the sources it is the type of functions.
"""

from typing import Any, Final


async def nothing() -> None:
    """Do nothing: an example of the type."""


COMPILED_FUNCTION: Final[Any] = type(nothing)

#: Names of compiled methods that return a coroutine, and count as coroutine functions.
COROUTINE_METHODS: Final[set[str]] = set()
