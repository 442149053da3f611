"""What a response tells."""

from typing import assert_type

import cno


def look(response: cno.Response) -> None:
    assert_type(response.header("etag"), str | None)
    assert_type(response.header("etag", ""), str)
    assert_type(response.header_values("set-cookie"), list[str])
    assert_type(response.reason, str)
    assert_type(response.trailers, cno.Headers | None)
    assert_type(response.raise_for_status(), cno.Response)
    assert_type(response.conn, cno.Client)
