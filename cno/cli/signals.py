"""Signal handlers of the commands: a server stops, a download removes its temporary files.

Knows signals and the event loop. Must never know the command.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

#: The signals that stop a server.
STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
#: The signals that end a download, beside SIGINT, which asyncio.run handles.
ENDING: Final = tuple(
    number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)


@contextlib.contextmanager
def stopping() -> Iterator["asyncio.Future[int]"]:
    """Give a future whose result is the number of the first SIGINT or SIGTERM.

    A second signal ends the process at once.
    """
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    undo: list[Callable[[], object]] = []

    def first(number: int) -> None:
        if not stop.done():
            stop.set_result(number)
        for each in STOPPING:
            signal.signal(each, signal.SIG_DFL)

    def later(number: int, _: object) -> None:
        loop.call_soon_threadsafe(first, number)

    for number in STOPPING:
        try:
            loop.add_signal_handler(number, first, number)
            undo.append(partial(loop.remove_signal_handler, number))
        except NotImplementedError:  # Windows
            undo.append(partial(signal.signal, number, signal.signal(number, later)))
    try:
        yield stop
    finally:
        for step in undo:
            step()


@contextlib.contextmanager
def reopening(call: Callable[[], object]) -> Iterator[None]:
    """Call a function on SIGHUP, which tells a server that its log file has been moved away."""
    number = getattr(signal, "SIGHUP", None)
    loop = asyncio.get_running_loop()
    if number is None:
        yield
        return
    loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


@contextlib.contextmanager
def cancelling(task: "asyncio.Task[object]") -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP cancel a task, and append their number to the list that this gives.

    A second signal ends the process at once. An ignored signal (`nohup`) stays ignored.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []
    handled: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        task.cancel()

    def later(number: int, _: object) -> None:
        loop.call_soon_threadsafe(end, number)

    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            # Only the main thread may set handlers. (Those of the event loop import `inspect`.)
            with contextlib.suppress(ValueError):
                signal.signal(number, later)
                handled.append(number)
    try:
        yield received
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
