"""Handlers without sockets."""

from typing import assert_type

import cno
from cno.testing import Answer, answer, connected


async def main(handle: cno.Handler) -> None:
    response = await answer(handle, "POST", "/", [("accept", "*/*")], b"body", http2=False)
    assert_type(response, Answer)
    assert_type((response.code, response.body, response.text()), tuple[int, bytes, str])
    async with connected(handle, http2=True) as client:
        assert_type(client, cno.Client)
