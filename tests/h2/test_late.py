"""Input after the end of the last stream of a connection that is shutting down."""

from tests.support import (
    CANCEL,
    NO_ERROR,
    PING,
    REFUSED_STREAM,
    REMOTE,
    RESPONSE,
    FrameFactory,
    Recorder,
    client_with_request,
    each_way,
    frame,
    server_with_request,
)


def broken(f: FrameFactory) -> bytes:
    """No PING has three octets."""
    return f.ping() + frame(PING, 0, 0, b"123")


def test_a_client_ignores_what_follows_the_goaway_that_ends_all() -> None:
    conn = each_way(client_with_request, lambda f: f.goaway(0) + broken(f))
    assert conn.events == [("end", 1, REFUSED_STREAM, REMOTE), ("close",)]
    assert conn.take() == b""


def test_a_client_ignores_what_follows_its_last_response() -> None:
    conn = each_way(
        client_with_request,
        lambda f: f.goaway(1) + f.headers(1, RESPONSE, end_stream=True) + broken(f),
    )
    assert conn.events == [
        ("head", 1, 200, "", "", []),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
        ("close",),
    ]
    assert conn.take() == b""


def test_a_server_ignores_what_follows_its_last_stream() -> None:
    def make() -> tuple[Recorder, FrameFactory]:
        conn, peer = server_with_request()
        conn.shutdown()
        conn.shutdown()
        conn.take()
        return conn, peer

    conn = each_way(make, lambda f: f.rst(1) + broken(f))
    assert conn.events == [("end", 1, CANCEL, REMOTE), ("close",)]
    assert conn.take() == b""
