"""Plain functions that return a coroutine, and count as coroutine functions all the same.

`unittest.mock` replaces a coroutine function by an `AsyncMock`, and asks `inspect` which functions
are some. Stays interpreted: compiled functions have no code whose flags could be set.
"""

import inspect
import sys
from types import FunctionType
from typing import TypeVar

F = TypeVar("F")


def coroutine_function(function: F) -> F:
    """Have `inspect.iscoroutinefunction` return True for a function that returns a coroutine."""
    if isinstance(function, FunctionType):  # pragma: no branch - else it is compiled
        if sys.version_info >= (3, 12):  # pragma: no cover - not in all Pythons
            inspect.markcoroutinefunction(function)
        else:  # pragma: no cover - not in all Pythons
            # The flag changes nothing else: another instruction at its beginning makes a function
            # one of coroutines.
            code = function.__code__
            function.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)
    return function
