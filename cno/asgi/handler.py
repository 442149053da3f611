"""An ASGI application as a handler of `cno.serve`, with its lifespan."""

import logging
from types import TracebackType
from typing import Final

from cno.aio.fields import Headers
from cno.asgi.application import Application
from cno.asgi.http import OnEnd, OnStart
from cno.asgi.lifespan import App, Lifespan
from cno.websocket.options import DEFAULT, Options

log: Final = logging.getLogger("cno.asgi")


class Handler(Application):
    """Serves an ASGI 3 application: `cno.serve(Handler(app), host, port)`.

    `async with Handler(app) as handler:` runs its lifespan around that (`lifespan` is "auto", "on"
    or "off"). `root_path` is where it is mounted; `headers` are added to each response.
    `websocket` are the options of WebSockets (None: requests for them are like others). `on_start`
    is called with the status of each response as it begins, `on_end` once with each that has ended.
    """

    def __init__(
        self,
        app: App,
        *,
        root_path: str = "",
        lifespan: str = "auto",
        headers: Headers | None = None,
        websocket: Options | None = DEFAULT,
        on_start: OnStart | None = None,
        on_end: OnEnd | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"an ASGI application is callable: {app!r} is not")
        self.lifespan = Lifespan(app, lifespan)
        super().__init__(
            app,
            root_path=root_path,
            state=self.lifespan.state,
            headers=[] if headers is None else headers,
            websocket=websocket,
            log=log,
            on_start=on_start,
            on_end=on_end,
        )

    async def __aenter__(self) -> "Handler":
        await self.lifespan.startup()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.lifespan.shutdown()
