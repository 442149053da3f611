"""The lifespan of an ASGI application: messages for the start and the end of serving.

Knows the lifespan protocol of ASGI 3 and nothing of requests.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from cno.asgi.errors import LifespanError

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

log: Final = logging.getLogger("cno.asgi")

SPEC_VERSION: Final = "2.0"
MODES: Final = ("auto", "on", "off")


class Lifespan:
    """Runs the lifespan of an application in a separate task.

    `mode` is "auto" (an application that fails before it has answered is taken to have none), "on"
    (that is an error) or "off". `state` holds what the application puts
    into the scope's `state`.
    """

    def __init__(self, app: App, mode: str = "auto") -> None:
        if mode not in MODES:
            raise ValueError(f"lifespan is one of {', '.join(MODES)}, not {mode!r}")
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._inbox: asyncio.Queue[Message] | None = None
        self._supported = False  # the application has said that it has started
        self._refusal: str | None = None  # why it has not

    async def startup(self) -> None:
        """Tell the application to start, and wait until it has.

        Raises LifespanError if it says that it cannot, or (mode "on") knows no lifespan.
        """
        if self._mode == "off" or self._task is not None:
            return
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        self._stopped = loop.create_future()
        self._inbox = asyncio.Queue()
        self._inbox.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run(), name="cno.asgi.lifespan")
        await self._started
        if self._refusal is not None:
            await self._task
            raise LifespanError(self._refusal)

    async def shutdown(self) -> None:
        """Tell the application to stop, and wait until it has.

        Raises LifespanError if it says that it failed to.
        """
        if self._task is None or self._stopped is None or self._inbox is None:
            return
        if self._supported and not self._task.done():
            self._inbox.put_nowait({"type": "lifespan.shutdown"})
            await self._stopped
        await self._task
        if self._supported and self._refusal is not None:
            raise LifespanError(self._refusal)

    async def _run(self) -> None:
        scope: dict[str, Any] = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self._failed(error)
        finally:
            for waiter in (self._started, self._stopped):
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)

    def _failed(self, error: Exception) -> None:
        if self._supported:
            self._refusal = self._refusal or f"the application failed: {error!r}"
            log.error("the lifespan of the application failed", exc_info=error)
        elif self._refusal is not None:
            pass  # it has said why already
        elif self._mode == "on":
            self._refusal = f"the application failed to start: {error!r}"
            log.error("the lifespan of the application failed", exc_info=error)
        else:
            log.info("the application has no lifespan (it raised %r)", error)

    async def _receive(self) -> Message:
        assert self._inbox is not None
        return await self._inbox.get()

    async def _send(self, message: Message) -> None:
        kind: str = message["type"]
        started, stopped = self._started, self._stopped
        assert started is not None and stopped is not None
        starting = not started.done()
        if kind == "lifespan.startup.complete" and starting:
            self._supported = True
            started.set_result(None)
        elif kind == "lifespan.startup.failed" and starting:
            self._refusal = message.get("message", "") or "the application refused to start"
            started.set_result(None)
        elif kind == "lifespan.shutdown.complete" and not starting and not stopped.done():
            stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and not starting and not stopped.done():
            self._refusal = message.get("message", "") or "the application failed to stop"
            stopped.set_result(None)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent by the lifespan.")
