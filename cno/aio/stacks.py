"""The stacks of tasks, to find where a handler or a request hangs.

asyncio shows only the outermost frame of a task. For a handler that is a frame of this package, and
compiled coroutines have no frames. Knows interpreted and compiled coroutines. Must never know
connections. Stays interpreted: it is for debugging, and follows compiled coroutines by `gc`.
"""

import asyncio
import gc
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, TextIO

#: The attributes of coroutines, generators and asynchronous generators: frame, awaited object.
PARTS: Final = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def print_stacks(file: TextIO | None = None) -> None:
    """Print the stack of each task of the running event loop, the innermost call last.

    The task of a handler is named `cno.Server`. Compiled coroutines appear by name, without lines.
    `file` is standard error by default. To print the stacks of a server that hangs, on a signal:

        loop.add_signal_handler(signal.SIGUSR1, cno.print_stacks)

    Raises RuntimeError where no event loop runs.
    """
    output = sys.stderr if file is None else file
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        output.write(f"Task {task.get_name()!r}:\n")
        for line in calls(task.get_coro()):
            output.write(line)
    output.flush()


def calls(start: Any) -> Iterator[str]:
    """Yield a line for a coroutine, and for each coroutine that it awaits, directly or not."""
    left = [start]
    seen = set()
    while left:
        each = left.pop()
        if id(each) in seen or asyncio.isfuture(each):
            continue
        seen.add(id(each))
        for frame_name, awaited_name in PARTS:
            if hasattr(each, frame_name):
                frame: FrameType | None = getattr(each, frame_name)
                if frame is not None:
                    yield from traceback.extract_stack(frame, limit=1).format()
                awaited = getattr(each, awaited_name)
                left.append(awaited)
                break
        else:
            kind = type(each)
            if kind.__name__.endswith("_gen"):  # pragma: no cover - compiled
                yield f"  {kind.__module__}: {kind.__name__.removesuffix('_gen')} (compiled)\n"
            # A coroutine that has ended holds no references, so these are awaited.
            left += [found for found in gc.get_referents(each) if is_awaited(type(found))]


def is_awaited(kind: type) -> bool:
    """Return whether objects of this type are coroutines or generators, or iterators over one."""
    return hasattr(kind, "send") or hasattr(kind, "asend")
