"""Why one of many streams is slow, in words: below a waterfall."""

from cno.cli.slowest import slowest
from cno.cli.timeline import Row, Timeline
from cno.cli.waterfall import waterfall
from cno.cli.waterfall_svg import svg
from cno.trace import Trace
from tests import frames as f
from tests.cli.test_views import PLAIN


class Wire:
    """Both sides of a connection, whose clock the test sets."""

    def __init__(self, ours: dict[int, int], theirs: dict[int, int]) -> None:
        self.now = 0.0
        self.timeline = Timeline()
        self._trace = Trace(self.timeline.add, clock=lambda: self.now).open(False, True)
        self.client, self.server = f.FrameFactory(), f.FrameFactory()
        self.sent(f.PREFACE + self.client.settings(ours))
        self.received(self.server.settings(theirs))

    def sent(self, data: bytes) -> None:
        self._trace.sent(data)

    def received(self, data: bytes) -> None:
        self._trace.received(data)

    def ask(self, *streams: int) -> None:
        for stream in streams:
            path = [pair for pair in f.REQUEST if pair[0] != ":path"]
            self.sent(
                self.client.headers(stream, [*path, (":path", f"/{stream}")], end_stream=True)
            )

    def head(self, stream: int) -> None:
        self.received(self.server.headers(stream, f.RESPONSE))

    def data(self, stream: int, size: int, end: bool = True) -> None:
        self.received(self.server.data(stream, b"x" * size, end_stream=end))

    def answer(self, *streams: int, size: int = 100) -> None:
        for stream in streams:
            self.head(stream)
            self.data(stream, size)

    def rows(self) -> list[Row]:
        return self.timeline.rows([], 0.0)

    def lines(self) -> list[str]:
        return slowest(self.rows())


def test_a_server_that_thinks() -> None:
    wire = Wire({4: 3_000}, {})
    wire.ask(*range(1, 40, 2))
    wire.now = 0.02
    wire.answer(*(stream for stream in range(1, 40, 2) if stream != 27))
    wire.now = 1.22
    wire.answer(27)
    first, second = wire.lines()
    assert first.startswith("slowest: GET /27, 1220.0 ms, 100 B; the median is 20.0 ms, 100 B")
    assert "1220.0 ms until the answer began: for 1200.0 ms the server sent nothing" in second


def test_an_interim_response_is_no_answer() -> None:
    wire = Wire({}, {})
    wire.ask(1)
    for status in ("100", "103"):
        wire.now += 0.05
        wire.received(wire.server.headers(1, [(":status", status)]))
    wire.now = 2.0
    wire.answer(1)
    (row,) = wire.rows()
    assert (row.status, row.answered) == ("200", 2.0)


def test_a_server_that_pauses() -> None:
    wire = Wire({4: 3_000}, {})
    wire.ask(1, 3)
    wire.answer(3)
    wire.head(1)
    for _ in range(5):
        wire.now += 0.2
        wire.data(1, 10, end=False)
    wire.now += 0.2
    wire.data(1, 10)
    first, second = wire.lines()
    assert first.startswith("slowest: GET /1, 1200.0 ms")
    assert "until it was complete: for 1200.0 ms the server sent nothing" in second


def test_a_window_of_the_stream() -> None:
    wire = Wire({4: 3_000}, {})
    wire.ask(1, 3)
    wire.answer(1)
    wire.head(3)
    wire.data(3, 3_000, end=False)
    wire.now = 3.0
    wire.sent(wire.client.window_update(3, 3_000))
    wire.now = 3.1
    wire.data(3, 10)
    first, second = wire.lines()
    assert first.startswith("slowest: GET /3, 3100.0 ms")
    assert "for 3000.0 ms the stream's flow-control window of this client was used up" in second
    assert "initial_window_size" in second and "--limit-rate" in second


def test_a_window_of_the_connection() -> None:
    """It holds up a stream of which nothing has come."""
    wire = Wire({}, {})
    wire.ask(1, 3, 5, 7, 9)
    wire.answer(5, 7, 9, size=1)
    wire.head(1)
    for _ in range(4):
        wire.data(1, 16_380, end=False)
    wire.now = 2.0
    wire.sent(wire.client.window_update(0, 50_000))
    wire.answer(3)
    wire.data(1, 0)
    lines = wire.lines()
    assert lines[0].startswith("slowest: GET /1, 2000.0 ms, 64.0 KiB; the median is 0.0 ms")
    assert "for 2000.0 ms the connection's flow-control window" in lines[1]
    assert lines[2].startswith("slow: GET /3, 2000.0 ms")
    assert "began: for 2000.0 ms the connection's flow-control window" in lines[3]


def test_an_upload_that_the_server_does_not_read() -> None:
    wire = Wire({}, {4: 3_100})
    wire.sent(wire.client.headers(1, f.REQUEST, end_stream=False))
    wire.sent(wire.client.data(1, b"x" * 100))
    wire.now = 0.1
    wire.sent(wire.client.data(1, b"x" * 3_000))
    wire.now = 2.1
    wire.received(wire.server.window_update(1, 3_000))
    wire.sent(wire.client.data(1, b"x" * 2_000, end_stream=True))
    wire.answer(1)
    (row,) = wire.rows()
    assert row.blocked == [(0.1, 2.1)] and row.upload_size == 5_100
    lines = wire.lines()
    assert "2100.0 ms until its body was sent: 5.0 KiB; for 2000.0 ms a flow-control" in lines[1]
    assert "of the server" in lines[1] and len(lines) == 2
    drawn = waterfall([row], PLAIN, 120, True)
    assert "^-x" in drawn[1] and "sent 5.0 KiB" in drawn[1]
    assert 'class="upload"' in svg([row]) and 'class="blocked"' in svg([row])


def test_an_upload_that_never_ends() -> None:
    wire = Wire({}, {4: 3_000})
    wire.sent(wire.client.headers(1, f.REQUEST, end_stream=False))
    wire.sent(wire.client.data(1, b"x" * 3_000))
    wire.now = 2.0
    wire.received(wire.server.rst(1))
    assert "for 2000.0 ms a flow-control window of the server was used up" in wire.lines()[1]


def test_a_window_that_is_small_for_the_way() -> None:
    """By our count it has room: the server does not know that yet."""
    wire = Wire({4: 10_000}, {})
    wire.ask(1)
    wire.now = 0.1
    wire.head(1)
    for number in range(10):
        wire.data(1, 5_000, end=False)
        wire.sent(wire.client.window_update(1, 5_000))
        wire.data(1, 5_000, end=number == 9)
        wire.now += 0.1
        wire.sent(wire.client.window_update(1, 5_000))
    lines = wire.lines()
    assert lines[0].startswith("slowest: GET /1, 1000.0 ms, 97.7 KiB")
    assert "97.7 KiB; for 900.0 ms the server had filled the stream's flow-control" in lines[2]
    assert "small for the round trip" in lines[2]


def test_a_server_that_stalls_as_a_whole() -> None:
    wire = Wire({4: 3_000}, {})
    wire.ask(1, 3, 5, 7)
    wire.answer(7)
    wire.now = 2.0
    wire.answer(1, 3, 5)
    assert (
        "sent nothing of a response on the connection, for which 2 others waited"
        in (wire.lines()[1])
    )


def test_a_large_response_that_came_first() -> None:
    wire = Wire({4: 1 << 24}, {})
    wire.sent(wire.client.window_update(0, 1 << 24))
    wire.ask(1, 3, 5, 7, 9)
    wire.answer(5, 7, 9)
    wire.head(1)
    for number in range(100):
        wire.now += 0.01
        wire.data(1, 10_000, end=number == 99)
    wire.answer(3)
    lines = wire.lines()
    assert lines[0].startswith("slowest: GET /1, 1000.0 ms")
    assert "until it was complete: 976.6 KiB, 976.6 KiB/s" in lines[1]
    assert lines[2].startswith("slow: GET /3, 1000.0 ms")
    assert "976.6 KiB of other streams came meanwhile" in lines[3]
    assert "976.6 KiB of them of GET /1; a priority decides" in lines[3]


def test_streams_that_a_server_does_not_allow() -> None:
    wire = Wire({}, {3: 2})
    wire.ask(1, 3)
    wire.now = 1.0
    wire.answer(1)
    wire.ask(5)
    wire.answer(3)
    wire.now = 1.1
    wire.answer(5)

    rows = wire.rows()
    for row in rows:
        row.asked = 0.0
    first, second, *_ = slowest(rows)
    assert first.startswith("slowest: GET /5, 1100.0 ms")
    assert "1000.0 ms until it was sent: the server allows 2 streams at once" in second


def test_a_connection_of_http1() -> None:
    rows = [
        Row("GET http://h/1", 1, 1, 0.0, 0.0, 0.9, 1.0, 10, has_frames=False),
        Row("GET http://h/2", 1, 3, 0.0, 1.0, 1.0, 1.5, 2_048, has_frames=False),
        *(Row("GET http://h/", 2, 1, 0.0, 0.0, 0.0, 0.0, has_frames=False) for _ in range(3)),
    ]
    lines = slowest(rows)
    assert lines[0].startswith("slowest: GET /2, 1500.0 ms")
    assert (
        "1000.0 ms until it was sent: over HTTP/1.1" in lines[1]
        and "GET /1 was before it" in lines[1]
    )
    assert "500.0 ms until it was complete: 2.0 KiB, 4.0 KiB/s" in lines[2]
    assert lines[3].startswith("slow: GET /1, 1000.0 ms")
    assert "900.0 ms until the answer began: for 900.0 ms the server sent nothing" in lines[4]


def test_requests_that_the_command_held_back() -> None:
    rows = [
        Row("GET http://h/1", 1, 1, 0.0, 0.0, 0.9, 1.0, 10),
        Row("GET http://h/2", 1, 3, 1.0, 1.0, 1.0, 1.0, 10, held=1.0),
    ]
    assert slowest(rows)[-1].startswith("held back: 1 of 2 requests, for up to 1000.0 ms")


def test_what_never_was_answered() -> None:
    assert slowest([]) == []
    assert slowest([Row("GET http://h/")])[0] == "slowest: GET /, 0.0 ms, 0 B"
    (_, line) = slowest([Row("GET http://h/\x1b[0m", ended=1.0)])
    assert "until it was sent: it never was" in line
