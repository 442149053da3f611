"""One task for several handlers, one after the other, none of which can tell.

A task is two fifths of a small request's cost, and most handlers of small requests never wait. So
those of one input take turns in a task, until one waits or leaves a trace in it. Knows nothing of
handlers or requests.
"""

import asyncio
import contextvars
import sys
import weakref
from typing import Any, Final

from mypy_extensions import i64

#: The name of a handler's task.
TASK_NAME: Final = "cno.Server"

# Looked up once: to look is half of what they take.
references: Final[Any] = sys.getrefcount
weak_references: Final[Any] = weakref.getweakrefcount
copy_context: Final[Any] = contextvars.copy_context


class Shared:
    """A task that runs, as it is before anybody has made anything of it."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task: Any = task
        self._context = copy_context()
        self._references: i64 = 0
        self._weak: i64 = 0

    def mark(self) -> None:
        """This is how it is. (Not in `__init__`, whose own references would be counted.)"""
        self._references = references(self._task)
        self._weak = weak_references(self._task)

    def untouched(self) -> bool:
        """Whether nothing is left in the task of whoever has run in it, and nobody refers to it.

        So nobody can cancel it, wait for it, or find there what belongs to another.
        """
        found: i64 = references(self._task)
        weak: i64 = weak_references(self._task)
        if found != self._references or weak != self._weak:
            return False
        task = self._task
        if task._callbacks or task.cancelling() != 0 or task.get_name() != TASK_NAME:
            return False
        try:
            same: bool = copy_context() == self._context
        except Exception:  # values that cannot be compared are other values
            return False
        return same
