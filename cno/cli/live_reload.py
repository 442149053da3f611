"""Pages that load themselves again when a file of the folder changes: `--live-reload`.

A script, which is appended to each page of HTML, listens to an event stream. Knows the files that
change and who listens. Must never know a connection.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from cno.cli.assets import read_asset
from cno.cli.paths import Refused
from cno.cli.problems import Problem

#: Pages that listen at a time. Further requests are refused (503).
MAX_LISTENERS: Final = 128
#: Seconds after which a comment shows that the stream goes on.
HEARTBEAT: Final = 15.0

#: The names of the script and of the stream, below the prefix. They begin with a dot, as no file
#: that is served.
SCRIPT: Final = "/.cno/live.js"
EVENTS: Final = "/.cno/events"

_STYLES: Final = (".css",)


class LiveReload:
    """Tells pages about changes. `prefix`: what the paths of the server begin with."""

    def __init__(self, prefix: str = "") -> None:
        self.script = prefix + SCRIPT
        self.events = prefix + EVENTS
        self.tail = f'\n<script src="{self.script}"></script>\n'.encode()
        self._listeners: set[EventBody] = set()
        self._stopped = False

    def is_own(self, target: str) -> bool:
        """Return whether a target is that of the script or of the stream."""
        return target in (self.script, self.events)

    def code(self) -> bytes:
        """Return the script."""
        return f"const EVENTS = '{self.events}';\n{read_asset('live.js')}".encode()

    def listen(self) -> "EventBody":
        """Return a stream of events. Raises Refused (503: too many pages listen)."""
        if len(self._listeners) >= MAX_LISTENERS or self._stopped:
            raise Refused(503)
        body = EventBody(self)
        self._listeners.add(body)
        return body

    def forget(self, body: "EventBody") -> None:
        self._listeners.discard(body)

    def changed(self, paths: Iterable[str]) -> None:
        """Tell all pages that these files have changed."""
        kind = "style" if all(path.lower().endswith(_STYLES) for path in paths) else "page"
        for body in self._listeners:
            body.add(kind)

    def stop(self) -> None:
        """End all streams, so that the server can end."""
        self._stopped = True
        for body in list(self._listeners):
            body.add("")


class EventBody:
    """An async iterator over the bytes of an event stream (HTML 9.2). Call `close`."""

    def __init__(self, source: LiveReload) -> None:
        self.sent = 0
        self._source = source
        self._kind: str | None = None  # of what has changed since the last event; '': the end
        self._wake = asyncio.Event()
        self._begun = False

    def add(self, kind: str) -> None:
        """Tell this page about a change; several changes become one."""
        if self._kind in (None, "style") or not kind:
            self._kind = kind
        self._wake.set()

    def __aiter__(self) -> "EventBody":
        return self

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            return self._counted(b"retry: 500\n\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                await self._wake.wait()
        kind, self._kind = self._kind, None
        self._wake.clear()
        if kind == "":
            raise StopAsyncIteration
        return self._counted(b":\n\n" if kind is None else f"data: {kind}\n\n".encode())

    def _counted(self, data: bytes) -> bytes:
        self.sent += len(data)
        return data

    def close(self) -> None:
        self._source.forget(self)

    async def aclose(self) -> None:
        self.close()


@contextlib.asynccontextmanager
async def watching(root: str, live: LiveReload) -> AsyncIterator[None]:
    """Watch a folder, and tell pages about changes. Raises Problem without the library."""
    try:
        from watchfiles import awatch
    except ModuleNotFoundError:
        raise Problem("--live-reload needs watchfiles: pip install 'cno[serve]'") from None
    stop = asyncio.Event()

    async def watch() -> None:
        async for changes in awatch(root, stop_event=stop, debounce=200, raise_interrupt=False):
            live.changed([path for _, path in changes])

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        stop.set()
        live.stop()
        await asyncio.wait({task})
