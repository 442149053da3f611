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

#: From Python 3.12 on a task tells its context, in which others may then run what they like.
TELLS_CONTEXT: Final = sys.version_info >= (3, 12)

#: What no context variable is set to.
NOTHING: Final = object()

# Looked up once: to look is half of what they take.
references: Final[Any] = sys.getrefcount
weak_references: Final[Any] = weakref.getweakrefcount
copy_context: Final[Any] = contextvars.copy_context


class Shared:
    """A task that runs, as it is before anybody has made anything of it."""

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self.task: Any = task
        self._context = copy_context()
        self._references: i64 = 0
        self._weak: i64 = 0
        self._of_context: i64 = 0

    def mark(self) -> None:
        """This is how it is. (Not in `__init__`, whose own references would be counted.)"""
        self._references = references(self.task)
        self._weak = weak_references(self.task)
        if TELLS_CONTEXT:
            self._of_context = references(self.task.get_context())

    def untouched(self) -> bool:
        """Whether nothing is left in the task of whoever has run in it, and nobody refers to it.

        So nobody can cancel it, wait for it, or find there what belongs to another.
        """
        found: i64 = references(self.task)
        weak: i64 = weak_references(self.task)
        if found != self._references or weak != self._weak:
            return False
        if TELLS_CONTEXT:
            found = references(self.task.get_context())
            if found != self._of_context:
                return False
        task = self.task
        # (To take a cancellation back does not undo it before Python 3.13.)
        if task._callbacks or task._must_cancel or task.cancelling() != 0:
            return False
        return task.get_name() == TASK_NAME and self._same_context()

    def _same_context(self) -> bool:
        now, before = copy_context(), self._context
        if len(now) != len(before):
            return False
        for variable, value in before.items():
            if now.get(variable, NOTHING) is not value:
                return False
        return True
