"""Checks of the arguments that applications pass: refuse at once what cannot work.

Knows kinds of callables, limits and settings. Must never know what uses them.
"""

import asyncio
import inspect
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

from cno.limits import Limits
from cno.settings import check_dict

#: Wrappers around a handler that `unwrapped` removes at most.
MAX_WRAPPERS: Final = 16


def check_limits(limits: object) -> None:
    """Raise TypeError unless these are limits, or None; ValueError if no body could be received."""
    if limits is None:
        return
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be cno.Limits, not {type(limits).__name__}")
    if limits.initial_window_size == 0:
        # The asyncio layer opens windows by what was read. (`raw.Connection` has `open_flow`.)
        raise ValueError("initial_window_size=0: no peer could send a body")


def check_configuration(settings: object, limits: object, server: bool) -> None:
    """Raise TypeError or UsageError unless a connection can be made with these."""
    check_limits(limits)
    check_dict(settings, server)


def check_loop(own: asyncio.AbstractEventLoop) -> None:
    """Raise RuntimeError in another event loop than a connection's own."""
    if asyncio.get_running_loop() is not own:
        raise RuntimeError("the connection belongs to another event loop")


def check_handler(handler: object) -> None:
    """Raise TypeError for a handler that cannot return an awaitable.

    A handler need not be a coroutine function: it may return any awaitable. A plain function is
    refused only if all of its `return` statements return None.
    """
    if not callable(handler):
        raise TypeError(f"a handler must be callable: {handler!r} is not")
    function = unwrapped(handler)
    if not isinstance(function, FunctionType):
        return
    code = function.__code__
    flags = code.co_flags
    if flags & (inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE):
        return
    if flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        raise TypeError(f"a handler must return an awaitable: {handler!r} is a generator function")
    if returns_none(code):
        raise TypeError(f"a handler must be `async def`, or return an awaitable: {handler!r}")


def unwrapped(handler: object) -> object:
    """Return the function that runs when a handler is called, if it can be found."""
    for _ in range(MAX_WRAPPERS):
        if isinstance(handler, partial):
            handler = handler.func
        elif isinstance(handler, MethodType):
            handler = handler.__func__
        elif isinstance(handler, FunctionType):
            break
        else:
            call = getattr(type(handler), "__call__", None)  # noqa: B004  # not whether, but which
            if not isinstance(call, FunctionType):
                break
            handler = call
    return handler


@lru_cache(64)
def returns_none(code: CodeType) -> bool:
    """Return whether a function can return, and returns nothing but None."""
    from dis import get_instructions  # slow to import

    found = False
    previous: Any = None  # an instruction
    for each in get_instructions(code):
        if each.opname == "RETURN_CONST":  # pragma: no cover - Python 3.12 and 3.13
            if each.argval is not None:
                return False
            found = True
        elif each.opname == "RETURN_VALUE":
            if previous is None or previous.opname != "LOAD_CONST" or each.is_jump_target:
                return False
            if previous.argval is not None:
                return False
            found = True
        previous = each
    return found
