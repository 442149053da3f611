"""`cno.run`: a server that is the whole program.

Knows how an event loop is made and ended. Must never know connections. Stays interpreted, as
`serving.py`.
"""

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Unpack

from cno.aio.server.connection import Handler
from cno.aio.server.listener import Listener
from cno.aio.serving import Options, serve


class RunOptions(Options, total=False):
    """The options of `run` that `serve` has, too."""

    path: str | None
    mode: int | None


def run(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    on_start: Callable[[Listener], object] | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **options: Unpack[RunOptions],
) -> None:
    """Serve until SIGINT or SIGTERM; then answer the requests that have been received, and return.

    The arguments are those of `cno.serve`. `on_start` is called with the `Listener` once it accepts
    connections (`listener.sockets[0].getsockname()`). `loop_factory` makes the event loop; by
    default, it is uvloop's if uvloop is installed. A second signal ends the process at once.

    Raises as `cno.serve` (OSError where the address is in use), and RuntimeError if an event loop
    is running in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("an event loop is running in this thread: use cno.serve")
    factory = usual_loop_factory() if loop_factory is None else loop_factory
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serving(handler, host, port, on_start, dict(options)))


async def serving(
    handler: Handler,
    host: str | Sequence[str] | None,
    port: int | None,
    on_start: Callable[[Listener], object] | None,
    options: dict[str, Any],
) -> None:
    """Serve until a signal."""
    start: Any = serve  # the types of `run` have checked the arguments
    async with start(handler, host, port, **options) as listener:
        if on_start is not None:
            on_start(listener)
        await listener.serve_forever()


def usual_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes loops of uvloop, if that is installed; otherwise None."""
    try:
        uvloop: Any = import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
