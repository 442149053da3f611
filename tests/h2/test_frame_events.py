"""Events of frames: an application that gives the connection up when it is shown one."""

from typing import Any

from cno import raw
from tests.frames import parse_frames
from tests.rows import each_row
from tests.support import (
    DATA,
    GOAWAY,
    HEADERS,
    LOCAL,
    PING,
    POST,
    PUSH_PROMISE,
    REQUEST,
    SETTINGS,
    WINDOW_UPDATE,
    FrameFactory,
    Recorder,
    client_with_request,
    each_way,
    frame,
    server_with_request,
)


class Leaving(Recorder):
    """Gives up when shown a frame of this type."""

    type = -1

    def on_frame(self, frame: Any) -> None:
        if frame.type == self.type:
            self.write_reset(0, 2)


def frames(f: FrameFactory) -> dict[int, bytes]:
    return {
        DATA: f.data(1, b"octets", True),
        HEADERS: f.headers(3, POST),
        SETTINGS: f.settings({4: 1}),
        PING: f.ping(),
        GOAWAY: f.goaway(0),
        WINDOW_UPDATE: f.window_update(1, 5),
        0x42: frame(0x42, 0, 0, b"x"),
    }


@each_row("kind", frames(FrameFactory()))
def test_a_server_that_leaves(kind: int) -> None:
    def make() -> tuple[Recorder, FrameFactory]:
        conn, peer = server_with_request(recorder=Leaving)
        assert isinstance(conn, Leaving)
        conn.type = kind
        return conn, peer

    conn = each_way(make, lambda f: frames(f)[kind] + f.ping())
    assert conn.events[-2:] == [("end", 1, 2, LOCAL), ("close",)]
    assert [e[0] for e in conn.events].count("start") == 0
    assert [(f.type, f.code) for f in conn.frames()] == [(GOAWAY, 2)]


def test_a_client_that_leaves_when_promised_something() -> None:
    def make() -> tuple[Recorder, FrameFactory]:
        conn, peer = client_with_request(recorder=Leaving)
        assert isinstance(conn, Leaving)
        conn.type = PUSH_PROMISE
        return conn, peer

    conn = each_way(make, lambda f: f.push_promise(1, 2, REQUEST) + f.ping())
    assert conn.events == [("end", 1, 2, LOCAL), ("close",)]


def test_answers_to_nobodys_pings() -> None:
    class Deaf(raw.Connection):
        written = b""

        def on_writev(self, chunks: list[bytes]) -> None:
            self.written += b"".join(chunks)

    conn = Deaf(False)
    conn.connection_made(True)
    f = FrameFactory()
    conn.data_received(f.settings() + f.ping(ack=True))
    conn.write_ping(b"12345678")
    conn.data_received(f.ping(b"12345678", ack=True) + f.window_update(0, 1))
    assert [f.type for f in parse_frames(conn.written)] == [SETTINGS, SETTINGS, PING]
