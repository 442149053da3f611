"""The state of one connection: the engine, the event loop, and the parts as fields.

Functions in other modules are the behaviour; they take a `Link`. Must never know requests and
responses.
"""

import asyncio
import contextvars
import itertools
import time
from typing import Final

from mypy_extensions import mypyc_attr

from cno.aio.connection.lifecycle import Lifecycle
from cno.engine import Engine
from cno.limits import Limits
from cno.settings import SettingsDict, check_dict

#: Numbers of connections, by which an error names its connection without a reference to it.
NUMBERS: Final = itertools.count(1)


@mypyc_attr(allow_interpreted_subclasses=True)
class Link(Engine, asyncio.Protocol):
    """The engine with the parts that connect it to a transport."""

    #: Set by connection_made().
    transport: asyncio.Transport

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, limits=limits, clock=time.monotonic)
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop() if loop is None else loop
        #: The context in which the connection was made. All of its callbacks, readers and timers
        #: run in it, not in that of a handler, whose variables the next request would see.
        self._context = contextvars.copy_context()
        self._number: int = next(NUMBERS)
        self._life = Lifecycle()
        self.manual_flow_control = True
        if settings is not None:
            check_dict(settings, server)
            self.configure(**settings)
