"""SIGINT and SIGTERM, which ask a server to end gracefully.

Knows signals and event loops. Must never know what is to end.
"""

import asyncio
import functools
import signal
import threading
from typing import Any, Final

from cno.aio.waiters import wake

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

#: The futures that `watch` has given to the main thread, and the handlers that were there before
#: the first of them.
_watching: Final[list[asyncio.Future[None]]] = []
_before: Final[dict[signal.Signals, Any]] = {}


def watch() -> asyncio.Future[None]:
    """Return a future that is done at the first SIGINT or SIGTERM, until `unwatch`.

    A second signal ends the process. Signals that the application handles itself are left to it,
    as are all where the running loop is not that of the main thread, or knows no signals (Windows).
    """
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    if threading.current_thread() is not threading.main_thread():
        return stop
    if not _watching:
        for number in STOPPING:
            before = signal.getsignal(number)
            if is_default(before):
                try:
                    loop.add_signal_handler(number, _stop_all)
                except NotImplementedError:
                    continue
                _before[number] = before
    if any(other.done() and not other.cancelled() for other in _watching):
        stop.set_result(None)  # it has come, and others are ending
    _watching.append(stop)
    return stop


def unwatch(stop: asyncio.Future[None]) -> None:
    """Leave the signals as they were, once nobody watches them any more."""
    if stop not in _watching:
        return  # of another thread
    _watching.remove(stop)
    if not _watching:
        loop = asyncio.get_running_loop()
        for number, before in _before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
        _before.clear()


def is_default(handler: Any) -> bool:
    """Whether a signal has Python's own handler, or that of `asyncio.run`."""
    if handler is signal.SIG_DFL or handler is signal.default_int_handler:
        return True
    owner = getattr(handler.func, "__self__", None) if type(handler) is functools.partial else None
    return isinstance(owner, asyncio.Runner)


def _stop_all() -> None:
    for stop in _watching:
        wake(stop)
    for number in _before:
        signal.signal(number, signal.SIG_DFL)
