"""Calls a function of the application for each response: `serve(..., on_response=)`.

Knows when a handler returns. Must never know how a response is sent.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from cno.aio.server.connection import Handler, Request

#: Called with the request, the status (0: the client has gone before there was one), the bytes of
#: the body that were sent, and the seconds since the request's head was received.
ResponseHook: TypeAlias = Callable[[Request, int, int, float], object]


class HookedHandler:
    """A handler that calls another one, and then the hook."""

    def __init__(self, handler: Handler, hook: ResponseHook) -> None:
        self._handler = handler
        self._hook = hook

    async def __call__(self, request: Request) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        failure: BaseException | None = None
        try:
            await self._handler(request)
        except BaseException as error:
            failure = error
        cancelled = failure is not None and not isinstance(failure, Exception)
        code = request.code
        if code == 0 and not cancelled and not request._ended:
            code = 500  # which the server sends now
        try:
            self._hook(request, code, request.sent, loop.time() - began)
        except Exception as bug:
            context = {"message": "cno: on_response failed", "exception": bug}
            loop.call_exception_handler(context)
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # else it would hold, by its traceback, what holds it
