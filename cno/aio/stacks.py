"""Where each task waits: for a handler or a request that seems to hang.

asyncio shows the outermost frame of a task; that of a handler belongs to this package, and compiled
coroutines have no frames. Knows coroutines of both kinds. Must never know connections. Stays
interpreted: it is for debugging, and looks at the innards of compiled coroutines from outside.
"""

import asyncio
import gc
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, TextIO

#: Where coroutines, generators and asynchronous generators keep their frame, and what they await.
PARTS: Final = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def print_stacks(file: TextIO | None = None) -> None:
    """Print the stack of each task of the running event loop: where it waits, innermost call last.

    A handler's task is named `cno.Server`. Of code that is compiled, there are names but no lines.
    `file` is by default standard error. For a server that can be asked while it hangs:

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
    """Describe a coroutine and, after it, whatever it waits in."""
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
                left.append(getattr(each, awaited_name))
                break
        else:
            kind = type(each)
            if kind.__name__.endswith("_gen"):
                yield f"  {kind.__module__}: {kind.__name__.removesuffix('_gen')} (compiled)\n"
            # What has ended refers to nothing, so this leads to what is awaited.
            left += [found for found in gc.get_referents(each) if is_awaited(type(found))]


def is_awaited(kind: type) -> bool:
    """Whether these are coroutines, generators, or what awaits the next item of one."""
    return hasattr(kind, "send") or hasattr(kind, "asend")
