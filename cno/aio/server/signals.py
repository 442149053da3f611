"""Handlers of SIGINT and SIGTERM, which stop a server gracefully.

Knows signals and event loops. Must never know servers.
"""

import asyncio
import functools
import signal
import threading
from typing import Any, Final

from cno.aio.waiters import wake

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

#: The futures that `watch` has returned in the main thread, and the signal handlers before the
#: first of them.
_watching: Final[list[asyncio.Future[None]]] = []
_before: Final[dict[signal.Signals, Any]] = {}


def watch() -> asyncio.Future[None]:
    """Return a future that is done at the first SIGINT or SIGTERM, until `unwatch`.

    A second signal ends the process. Signals that the application handles are left alone, and so
    are all signals if the loop is not the main thread's, or has no signal handlers (Windows).
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
                except NotImplementedError:  # pragma: no cover - Windows
                    continue
                _before[number] = before
    if any(other.done() and not other.cancelled() for other in _watching):
        stop.set_result(None)  # a signal has arrived already
    _watching.append(stop)
    return stop


def unwatch(stop: asyncio.Future[None]) -> None:
    """Restore the signal handlers after the last `unwatch`."""
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
    """Return whether a handler is Python's default, or that of `asyncio.run`."""
    if handler is signal.SIG_DFL or handler is signal.default_int_handler:
        return True
    owner = getattr(handler.func, "__self__", None) if type(handler) is functools.partial else None
    return isinstance(owner, asyncio.Runner)


def _stop_all() -> None:
    for stop in _watching:
        wake(stop)
    for number in _before:
        signal.signal(number, signal.SIG_DFL)
