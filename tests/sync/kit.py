"""Servers in a thread with an event loop, for clients that block."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from tests.aio.lab import Handler, Lab, Wire

T = TypeVar("T")


@contextmanager
def background(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Enter an asynchronous context in a thread, and leave it at the end."""
    ready = threading.Event()
    found: list[Any] = []
    problems: list[BaseException] = []

    async def main() -> None:
        async with make() as value:
            stop = asyncio.Event()
            found.extend((value, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            problems.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    try:
        if found:
            yield found[0]
    finally:
        if found:
            found[1].call_soon_threadsafe(found[2].set)
        thread.join(20)
        if problems:
            raise problems[0]


@contextmanager
def serving(lab: Lab, wire: Wire, handler: Handler, **options: Any) -> Iterator[str]:
    """A server in a thread; gives its URL, with the scheme that makes clients speak like this."""
    with background(lambda: lab.serving(wire, handler, **options)) as url:
        yield url.replace("http:", "h2c:") if wire.http2 and not wire.tls else url


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run this in many threads at once; raise the first error."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]
