"""A coroutine that has begun, as something to await.

Knows coroutines alone. Stays interpreted: a task sends to it, throws into it and closes it, as with
any generator.
"""

from collections.abc import Coroutine, Generator
from typing import Any


class Resumed:
    """Continues a coroutine whose first step has yielded `awaited`."""

    def __init__(self, work: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._work = work
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        work, awaited = self._work, self._awaited
        self._awaited = None
        while True:
            late: BaseException
            try:
                yield awaited
                break
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                late = error
            awaited = None  # it may hold this error, whose traceback has this frame
            try:
                awaited = work.throw(late)
            except StopIteration as end:
                return end.value
            finally:
                del late  # its traceback has this frame
        del awaited
        return (yield from work.__await__())
