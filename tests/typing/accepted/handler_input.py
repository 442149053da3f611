"""What a handler can look at."""

from ssl import SSLObject
from typing import Any, assert_type

import cno


async def handle(request: cno.Request) -> None:
    assert_type(request.query, list[tuple[str, str]])
    assert_type(request.peer, tuple[str, int] | None)
    assert_type(request.tls, SSLObject | None)
    assert_type(request.header("host", "none"), str)
    assert_type(await request.json(limit=100), Any)
    assert_type(await request.text(), str)
    assert_type(request.conn, cno.Server)
    assert_type(request.trailers, cno.Headers | None)
