"""Ids that a client has passed over are not those of streams that have been (RFC 9113 5.1.1)."""

from tests.support import (
    CANCEL,
    NO_RFC7540_PRIORITIES,
    POST,
    PROTOCOL_ERROR,
    REMOTE,
    REQUEST,
    STREAM_CLOSED,
    FrameFactory,
    Recorder,
    expect_connection_error,
    expect_nothing,
    frame,
    server,
    server_with_request,
    u32,
)


def skipping() -> tuple[Recorder, FrameFactory]:
    """Streams 1 and 7 have been opened, 1 was given up."""
    conn, peer = server()
    conn.data_received(peer.headers(1, POST) + peer.headers(7, POST) + peer.rst(1))
    assert conn.of("end") == [("end", 1, CANCEL, REMOTE)]
    conn.events.clear()
    conn.take()
    return conn, peer


def test_a_stream_that_has_been() -> None:
    expect_connection_error(
        skipping, lambda f: f.headers(1, REQUEST, end_stream=True), STREAM_CLOSED, last=7
    )


def test_an_id_that_was_passed_over() -> None:
    for stream in (3, 5):
        expect_connection_error(
            skipping, b"\0\0\x03\x01\x05" + u32(stream) + b"\x82\x87\x84", PROTOCOL_ERROR, last=7
        )


def test_only_so_many_runs_are_remembered() -> None:
    def far() -> tuple[Recorder, FrameFactory]:
        conn, peer = server()
        for stream in range(1, 2_001, 4):
            conn.data_received(peer.headers(stream, POST) + peer.rst(stream))
        conn.take()
        conn.events.clear()
        return conn, peer

    for stream, code in ((3, STREAM_CLOSED), (1_991, PROTOCOL_ERROR)):
        conn, peer = far()
        expect_connection_error(conn, peer.headers(stream, REQUEST, end_stream=True), code)


def test_priorities_of_streams_beyond_a_goaway() -> None:
    conn, peer = server_with_request(settings={NO_RFC7540_PRIORITIES: 1})
    conn.shutdown()
    conn.shutdown()
    conn.take()
    conn.events.clear()
    update = frame(16, 0, 0, u32(9) + b"u=1")
    conn.data_received(update)
    assert conn.events == []
    assert conn.take() == b""
    assert conn.open_streams == [1]
    expect_nothing(server_with_request, frame(16, 0, 0, u32(9) + b"u=1"))
    assert peer is conn.peer
