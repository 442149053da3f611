"""`cno serve --top`: shows a server in the terminal once a second, or as lines in a pipe.

Knows time and threads: a terminal that takes nothing does not hold up the server. Must never know
how a snapshot looks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final, TextIO

from cno.cli.top import ENTER, LEAVE, Meter, Observer, Screen, Stats, summary
from cno.cli.worker import Worker, write_text

#: Seconds from one look to the next; in a pipe, from one line to the next.
INTERVAL: Final = 1.0
PIPE_INTERVAL: Final = 5.0
#: Seconds to wait for the terminal at the end.
PATIENCE: Final = 1.0


@contextlib.asynccontextmanager
async def showing(
    look: Callable[[], Sequence[Stats]], meter: Meter, file: TextIO, title: str
) -> AsyncIterator[None]:
    """Show what `look` returns, until the end of the context."""
    worker = Worker("cno-top")
    terminal = file.isatty()
    loop = asyncio.get_running_loop()
    observer = Observer(meter, loop.time())

    async def show() -> None:
        screen = Screen(file, title) if terminal else None
        if screen is not None:
            await worker.run(partial(write_text, file, ENTER))
        while True:
            shot = observer.look(look(), loop.time())
            text = f"{summary(shot)}\n" if screen is None else screen.draw(shot)
            await worker.run(partial(write_text, file, text))
            await asyncio.sleep(PIPE_INTERVAL if screen is None else INTERVAL)

    task = asyncio.create_task(show())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if terminal:
            leaving = asyncio.create_task(worker.run(partial(write_text, file, LEAVE)))
            await asyncio.wait({leaving}, timeout=PATIENCE)
            leaving.cancel()
        if not task.cancelled():
            task.exception()  # a reader that has gone: the server goes on
        worker.close()
