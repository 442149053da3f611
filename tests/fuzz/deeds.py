"""Calls of an application, right and wrong: one method for each call, with two numbers.

Knows the methods of `cno.raw`. The base of every world in `worlds`.
"""

from typing import Any

from tests.fuzz.observed import Watched
from tests.support import Headers

METHODS = ("GET", "POST", "HEAD", "CONNECT", "PUT", "OPTIONS", "BAD METHOD", "")
PATHS = ("/", "/a?b=c", "*", "", "x", "/\r\n", "/é", "/" + "p" * 300)
STATUS = (200, 204, 304, 100, 103, 101, 404, 99, 1000, 599)
CODES = (0, 1, 2, 8, 11, 7, 0xFFFFFFFF, -1, 1 << 33)
HOST = (":authority", "example.com")
SCHEME = (":scheme", "https")

FIELDS: tuple[Headers, ...] = (
    [SCHEME, HOST],
    [SCHEME, HOST, ("x-a", "b"), ("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers")],
    [SCHEME, HOST, ("content-length", "10")],
    [SCHEME, HOST, ("transfer-encoding", "chunked"), ("connection", "close, x-a"), ("x-a", "b")],
    [SCHEME, HOST, ("x-big", "!" * 9_000), ("x-big", "?!" * 5_000)],
    [HOST, ("upgrade", "x"), ("connection", "upgrade")],
    [SCHEME, HOST, (":protocol", "websocket")],
    [("host", "example.com"), ("expect", "100-continue")],
    [SCHEME, HOST, ("X-Upper", "\udcff\udc80é"), ("set-cookie", "a")],
    [SCHEME, HOST, ("bad name", "x")],
    [SCHEME, HOST, ("x", "a\r\nb: c")],
    [SCHEME, HOST, (":path", "/x")],
    [("content-length", "3"), ("content-length", "4")],
    [],
)
ANSWERS: tuple[Headers, ...] = (
    [],
    [("server", "x"), ("date", "now")],
    [("content-length", "10")],
    [("content-length", "0")],
    [("transfer-encoding", "chunked")],
    [("connection", "close")],
    [("x-big", "!" * 9_000), ("x-big", "?!" * 5_000)],
    [("upgrade", "x"), ("connection", "upgrade")],
    [("content-length", "x")],
    [("x", "a\0b")],
    [(":status", "200")],
)
TRAILERS: tuple[Headers, ...] = (
    [],
    [("x-sum", "1")],
    [("x-big", "!" * 9_000)],
    [("content-length", "1")],
    [(":path", "/")],
    [("x", "\n")],
)


def choose(options: Any, number: int) -> Any:
    return options[number % len(options)]


class World:
    """Some connections, the one that acts now, and what the application has done so far."""

    conn: Watched

    def __init__(self) -> None:
        self.log: list[object] = []
        self.held: dict[Watched, int] = {}
        #: Octets of body accepted for sending, by connection and stream.
        self.given: dict[tuple[bool, int], bytearray] = {}

    def step(self, rule: str, a: int, b: int) -> None:
        """One step of a script."""
        getattr(self, rule)(a, b)
        self.listen()

    def listen(self) -> None:
        """Carry, or look at, what was written."""

    def end(self) -> None:
        """After the last step: debts are paid, everything ends."""

    def stream(self, n: int) -> int:
        """One that exists, mostly."""
        known = self.conn.open_streams
        if known and n % 8:
            return known[n % len(known)]
        return (0, 1, 2, 3, self.conn.next_stream, 1 << 31, -1, 5)[n // 8 % 8]

    def attempt(self, call: Any) -> bool:
        """A verb that is refused writes nothing."""
        conn = self.conn
        before = len(conn.written)
        done = conn.attempt(call)
        if not done and not self.held.get(conn):
            assert len(conn.written) == before, f"refused, and wrote: {conn.refusals[-1]}"
        return done

    # -- rules ------------------------------------------------------------------------------------

    def app_request(self, a: int, b: int) -> None:
        if self.conn.server_side:
            return
        stream = self.conn.next_stream if a % 16 else self.stream(b)
        method = choose(METHODS, b % 3 if a % 4 else b)
        path = "" if method == "CONNECT" and b % 2 else choose(PATHS, b % 2 if a % 4 else b)
        fields = list(choose(FIELDS, a if a % 3 == 0 else a % 3))
        final = b % 5 < 2
        self.attempt(lambda: self.conn.write_head(stream, 0, method, path, fields, final))

    def app_answer(self, a: int, b: int) -> None:
        if not self.conn.server_side:
            return
        stream = self.stream(b)
        code = choose(STATUS, a // 4 if a % 4 == 0 else 0)
        fields = list(choose(ANSWERS, b % 3 if a % 8 else b))
        final = a % 5 == 0
        reason = "Reason" if a % 7 == 0 else ""
        self.attempt(lambda: self.conn.write_head(stream, code, reason, "", fields, final))

    def app_data(self, a: int, b: int) -> None:
        stream = self.stream(a)
        size = b if a % 4 == 0 else b % 40
        conn = self.conn
        data = bytes(n & 0xFF for n in range(size % 256)) + b"=" * (size - size % 256)
        given: bytes | bytearray | memoryview = data
        if b % 3 == 1:
            given = memoryview(bytearray(data))
        taken = 0

        def write() -> None:
            nonlocal taken
            taken = conn.write_data(stream, given, a % 6 == 0)

        if self.attempt(write):
            assert 0 <= taken <= size
            sent = self.given.setdefault((conn.server_side, stream), bytearray())
            sent += data[:taken]

    def app_tail(self, a: int, b: int) -> None:
        stream = self.stream(a)
        trailers = list(choose(TRAILERS, b % 2 if a % 4 else b))
        self.attempt(lambda: self.conn.write_tail(stream, trailers))

    def app_reset(self, a: int, b: int) -> None:
        stream = self.stream(a)
        if stream == 0 and b % 4:
            return
        self.attempt(lambda: self.conn.write_reset(stream, choose(CODES, b)))

    def app_push(self, a: int, b: int) -> None:
        stream = self.stream(a)
        method = choose(METHODS, b % 8 if a % 4 == 0 else 0)
        fields = list(choose(FIELDS, b % 2 if a % 4 else b))
        self.attempt(lambda: self.conn.write_push(stream, method, "/pushed", fields))

    def app_ping(self, a: int, b: int) -> None:
        data = b"12345678" if a % 4 else bytes(b % 12)
        self.attempt(lambda: self.conn.write_ping(data))

    def app_frame(self, a: int, b: int) -> None:
        stream = self.stream(b)
        self.attempt(lambda: self.conn.write_frame(a % 24, b % 260, stream, bytes(b % 50)))

    def app_open_flow(self, a: int, b: int) -> None:
        stream = self.stream(a)
        delta = (b, 1, 0, -1, 1 << 31)[b % 5] if a % 4 == 0 else b % 2_000 + 1
        self.attempt(lambda: self.conn.open_flow(stream, delta))

    def app_consume(self, a: int, b: int) -> None:
        stream = self.stream(a)
        self.attempt(lambda: self.conn.consume(stream, b if a % 4 else -b))

    def app_manual(self, a: int, b: int) -> None:
        self.conn.manual_flow_control = bool(a & 1)

    def app_configure(self, a: int, b: int) -> None:
        values: dict[str, int] = choose(
            (
                {"initial_window_size": b},
                {"initial_window_size": (1 << 31) - 1 - b},
                {"header_table_size": b % 5_000},
                {"max_concurrent_streams": b % 8},
                {"max_frame_size": 16_384 + b},
                {"max_header_list_size": b},
                {"enable_connect_protocol": b % 3},
                {"enable_push": b % 3},
                {"max_frame_size": b % 20_000},
            ),
            a,
        )
        self.attempt(lambda: self.conn.configure(**values))

    def app_shutdown(self, a: int, b: int) -> None:
        if b % 4 == 0:
            self.attempt(self.conn.shutdown)

    def app_cork(self, a: int, b: int) -> None:
        conn = self.conn
        if self.held.get(conn, 0) < 3:
            conn.cork()
            self.held[conn] = self.held.get(conn, 0) + 1

    def app_uncork(self, a: int, b: int) -> None:
        conn = self.conn
        if self.held.get(conn):
            self.held[conn] -= 1
            conn.uncork()
        elif a % 8 == 0:
            self.attempt(conn.uncork)

    def app_mood(self, a: int, b: int) -> None:
        # SHUT is a rule here.
        self.conn.mood = a & 0x7B

    def let_go(self) -> None:
        """Nothing is held back any more."""
        for conn, times in self.held.items():
            for _ in range(times):
                conn.uncork()
        self.held.clear()


APP_RULES = sorted(name for name in vars(World) if name.startswith("app_"))
