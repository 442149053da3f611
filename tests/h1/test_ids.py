"""HTTP/1.1 streams have the ids of HTTP/2: 1, 3, 5, ... in order of requests, and no others."""

import pytest

from cno import raw
from tests.h1.wire import FIELDS
from tests.support import h1_client


@pytest.mark.parametrize("stream", [0, 2, 3, 4, 5])
def test_the_first_request_goes_on_stream_1(stream: int) -> None:
    conn = h1_client()
    with pytest.raises(raw.InvalidStreamError, match="stream 1"):
        conn.write_head(stream, 0, "GET", "/", list(FIELDS), True)
    assert conn.take() == b""
    assert conn.events == []
    conn.write_head(1, 0, "GET", "/", list(FIELDS), True)
    assert conn.seen() == [("start", 1)]


@pytest.mark.parametrize("stream", [0, 2, 4, 5, 7])
def test_the_next_request_goes_on_the_next_stream(stream: int) -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", list(FIELDS), True)
    conn.take()
    with pytest.raises(raw.InvalidStreamError, match="stream 3"):
        conn.write_head(stream, 0, "GET", "/", list(FIELDS), True)
    assert conn.take() == b""
    conn.write_head(3, 0, "GET", "/", list(FIELDS), True)
