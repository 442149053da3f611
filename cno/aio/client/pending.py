"""What `pool.request(...)` returns: a coroutine that is also an asynchronous context manager.

Must never know what the coroutine does.
"""

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Protocol, TypeVar


class Closable(Protocol):
    """An object whose `async with` block ends its use."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


T = TypeVar("T", bound=Closable)


class Pending(Coroutine[Any, Any, T]):
    """An operation that begins when you await it, or enter it by `async with`.

    Both give its result; leaving the block closes the result. It is a coroutine: you can also pass
    it to `asyncio.create_task` and the like, once.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._result: T | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        return self._coroutine.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any:
        if value is None and traceback is None:
            return self._coroutine.throw(kind)
        return self._coroutine.throw(kind, value, traceback)

    def close(self) -> None:
        self._coroutine.close()

    async def __aenter__(self) -> T:
        result = await self._coroutine
        self._result = result
        return result

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        result = self._result
        self._result = None
        if result is not None:
            await result.__aexit__(kind, error, traceback)

    # -- what asyncio and debuggers show: that of the coroutine, as far as it has it ---------------

    @property
    def __name__(self) -> str:
        inner: Any = self._coroutine
        name: str = getattr(inner, "__qualname__", "") or type(inner).__name__
        return name.replace("._", ".")

    @property
    def cr_await(self) -> Any:
        inner: Any = self._coroutine
        return inner.cr_await

    @property
    def cr_code(self) -> Any:
        inner: Any = self._coroutine
        return inner.cr_code

    @property
    def cr_frame(self) -> Any:
        inner: Any = self._coroutine
        return inner.cr_frame

    @property
    def cr_running(self) -> Any:
        return getattr(self._coroutine, "cr_running", False)  # compiled ones have none
