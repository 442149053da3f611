"""What once went wrong in the HTTP/2 engine, and must not again: one test for each mistake.

Knows the wire and the public names of `cno.raw`; never why the mistake was made.
"""

import pytest

from cno import raw
from tests.support import (
    CONTINUATION,
    DATA,
    HEADERS,
    PING,
    POST,
    REQUEST,
    RST_STREAM,
    Recorder,
    read_blocks,
    server,
)


class Boom(Exception):
    """What an event raises."""


# -- on_frame_send ---------------------------------------------------------------------------------


class AnswersMore(Recorder):
    """Answers stream 3 when the response on stream 1 is shown."""

    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type == HEADERS and frame.stream == 1:
            self.write_head(3, 200, "", "", [("x-b", "two"), ("x-a", "one")], True)


def test_a_head_written_while_one_is_shown_decodes_after_it() -> None:
    conn, peer = server(recorder=AnswersMore)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.data_received(peer.headers(3, REQUEST, end_stream=True))
    conn.write_head(1, 200, "", "", [("x-a", "one")], True)
    assert read_blocks(conn) == [
        (1, [(":status", "200"), ("x-a", "one")]),
        (3, [(":status", "200"), ("x-b", "two"), ("x-a", "one")]),
    ]


class Pings(Recorder):
    """Sends a PING when a frame of these types is shown."""

    when: tuple[int, ...] = ()

    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type in self.when:
            self.write_ping(b"inserted")


def test_nothing_comes_between_the_frames_of_a_block() -> None:
    conn, peer = server(recorder=Pings)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.take()
    conn.when = (HEADERS, CONTINUATION)  # type: ignore[attr-defined]  # of Pings
    conn.write_head(1, 200, "", "", [("x-long", "~" * 40_000)], True)
    types = [f.type for f in conn.frames()]
    blocks = types.count(CONTINUATION)
    assert blocks >= 1
    assert types == [HEADERS] + [CONTINUATION] * blocks + [PING] * (1 + blocks)


class Resets(Recorder):
    """Resets the stream whose first DATA is shown."""

    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type == DATA:
            self.write_reset(frame.stream, raw.CNO_RST_CANCEL)


def test_a_reset_while_data_is_shown_is_the_last_frame_of_its_stream() -> None:
    conn, peer = server(recorder=Resets)
    conn.data_received(peer.headers(1, POST))
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, bytes(40_000), False)
    assert [f.type for f in conn.frames()] == [HEADERS, DATA, DATA, DATA, RST_STREAM]
    assert conn.open_streams == []


class RaisesOnReset(Recorder):
    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type == RST_STREAM:
            raise Boom


def test_a_frame_that_could_not_be_shown_has_done_its_work() -> None:
    conn, peer = server(recorder=RaisesOnReset)
    conn.data_received(peer.headers(1, POST))
    conn.take()
    with pytest.raises(Boom):
        conn.write_reset(1, raw.CNO_RST_CANCEL)
    assert conn.open_streams == []
    assert [f.type for f in conn.frames()] == [RST_STREAM]
