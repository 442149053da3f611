"""Plain functions that return a coroutine, and count as coroutine functions all the same.

`unittest.mock` replaces a coroutine function by an `AsyncMock`, and asks `inspect` which functions
are some. Stays interpreted: compiled functions have no code whose flags could be set.
"""

import inspect
from types import FunctionType
from typing import TypeVar

F = TypeVar("F")


def coroutine_function(function: F) -> F:
    """Have `inspect.iscoroutinefunction` return True for a function that returns a coroutine.

    `inspect.markcoroutinefunction` would do so from Python 3.12 on only. The flag changes nothing
    else: another instruction at its beginning makes a function one of coroutines.
    """
    if isinstance(function, FunctionType):
        code = function.__code__
        function.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)
    return function
