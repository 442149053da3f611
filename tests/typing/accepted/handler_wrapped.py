"""A handler around another one."""

import time
from typing import assert_type

import cno


def timed(handler: cno.Handler) -> cno.Handler:
    async def handle(request: cno.Request) -> None:
        began = time.monotonic()
        await handler(request)
        print(request.code, request.sent, time.monotonic() - began)
        assert_type(request.sent, int)

    return handle
