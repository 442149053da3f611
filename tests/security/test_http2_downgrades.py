"""The corpus of HTTP/2 requests that would smuggle where they are written as HTTP/1.1.

Each is given whole, byte by byte and cut in two everywhere: the stream is reset with
PROTOCOL_ERROR, nothing forged is delivered, no end is, and the connection works on.
"""

import pytest

from tests.security.downgrades import GROUPS, REFUSED, VALID, Downgrade
from tests.support import PROTOCOL_ERROR, FrameFactory, each_way, expect_stream_error, server


def frames(peer: FrameFactory, request: Downgrade) -> bytes:
    content = request.content
    out = peer.headers(1, request.fields, end_stream=content is None)
    for number, piece in enumerate(content or ()):
        last = request.trailers is None and number + 1 == len(content or ())
        out += peer.data(1, piece, end_stream=last)
    if request.trailers is not None:
        out += peer.headers(1, request.trailers, end_stream=True)
    return out


@pytest.mark.parametrize("name", REFUSED)
def test_e14_downgraded(name: str) -> None:
    request = REFUSED[name]
    conn = expect_stream_error(server, lambda peer: frames(peer, request), 1, PROTOCOL_ERROR)
    assert len(conn.of("head")) == request.head
    assert b"".join(e[2] for e in conn.of("data")) == request.data
    assert conn.of("tail") == []


@pytest.mark.parametrize("name", VALID)
def test_e11_e14_honest(name: str) -> None:
    want = VALID[name]
    conn = each_way(server, lambda peer: peer.headers(1, want.fields, end_stream=True))
    assert conn.of("head", "data", "tail") == [
        ("head", 1, 0, want.method, want.path, want.delivered),
        ("tail", 1, None),
    ]


def test_e14_the_corpus_is_long_enough() -> None:
    assert len(REFUSED) == sum(len(group.requests) for group in GROUPS), "two of one name"
    assert len(REFUSED) >= 100
    assert len(VALID) >= 20
