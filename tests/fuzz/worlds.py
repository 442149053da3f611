"""Settings for scripts: a connection and a hostile peer, or two connections.

Knows the wire (by `tests.frames`) and the public names. `log` records everything that is visible
from outside, so that two builds can be compared.
"""

from collections.abc import Callable, Sequence

from cno import raw
from tests.frames import (
    CONTINUATION,
    DATA,
    HEADERS,
    PREFACE,
    REQUEST,
    RESPONSE,
    SETTINGS,
    FrameFactory,
    Headers,
    frame,
    literal,
    u32,
)
from tests.fuzz.books import Books, without_preface
from tests.fuzz.deeds import APP_RULES, World, choose
from tests.fuzz.observed import MANUAL, TIGHT, Watched, hang_up
from tests.support import merged

Step = tuple[str, int, int]

#: Steps of a script made of octets.
MOST_STEPS = 80

MESSAGES: tuple[Headers, ...] = (
    REQUEST,
    [*REQUEST, ("x-a", "b"), ("cookie", "a=b"), ("cookie", "c=d")],
    [("x-sum", "1")],
    RESPONSE,
    [(":status", "103"), ("link", "</a>")],
    [(":method", "POST"), *REQUEST[1:], ("content-length", "10")],
    [(":status", "200"), ("content-length", "10")],
    [(":method", "CONNECT"), (":authority", "a:1")],
    [*REQUEST, ("Upper", "case")],
    [*REQUEST, ("x-big", "v" * 3_000)],
    [(":status", "204")],
    [*REQUEST, ("host", "example.com"), ("te", "trailers")],
    [*REQUEST, ("connection", "close")],
    [(":method", "HEAD"), *REQUEST[1:]],
    [*REQUEST, (":status", "200")],
    [(":method", "CONNECT"), (":protocol", "x"), *REQUEST[1:]],
    [],
)


class H2World(World):
    """One connection over HTTP/2 and a pen that writes what it likes."""

    server = True

    def __init__(self, mood: int) -> None:
        super().__init__()
        self.conn = Watched(self.server, mood)
        self.pen = FrameFactory()
        self.books = Books(self.server, self.pen)
        self.dead = False
        self.twist = 0
        self.next_id = 1 if self.server else 2
        self.conn.connection_made(True)
        self.owed = 1  # acknowledgements of its SETTINGS
        if self.server:
            self.books.heard(PREFACE)
            self.conn.data_received(PREFACE)
        self.listen()

    def listen(self) -> None:
        data = self.conn.take()
        for f in self.books.wrote(without_preface(data)):
            self.owed += f.type == SETTINGS and not f.flags
        self.log.append((data, merged(self.conn.events), list(self.conn.refusals)))
        self.conn.events.clear()
        self.conn.refusals.clear()

    def say(self, data: bytes) -> None:
        """One frame, as it is, twisted, or in pieces."""
        twist, self.twist = self.twist, 0
        if twist:
            at = twist % len(data)
            data = data[:at] + bytes((data[at] ^ 1 << twist % 8,)) + data[at + 1 :]
        self.deliver(data)

    def deliver(self, data: bytes) -> None:
        """To the connection, whatever it is."""
        self.books.heard(data)
        cut = len(data) // 3 if len(data) % 5 == 0 else 0
        for piece in (data[:cut], data[cut:]):
            try:
                self.conn.data_received(piece)
            except raw.ProtocolError as error:
                assert not self.dead, "a second error"
                self.dead = True
                self.log.append((error.errno, error.code, error.stream, str(error)))
        if self.dead:
            assert self.conn.over
            self.books.overrun = False
        assert not self.books.overrun or self.conn.over, "more than the window was taken"

    def target(self, n: int) -> int:
        known = self.conn.open_streams
        if known and n % 4:
            return known[n % len(known)]
        return (1, 3, self.next_id, 2, 0, self.next_id + 2, 4, 5)[n // 4 % 8]

    # -- rules: the peer --------------------------------------------------------------------------

    def peer_headers(self, a: int, b: int) -> None:
        """A head: of a new stream, or on one there is; split, padded, with a priority."""
        if self.server and a % 4:
            stream = self.next_id
            self.next_id += 2
        else:
            stream = self.target(b)
        fields = MESSAGES[(3, 4, 6, 10)[a % 4]] if not self.server else choose(MESSAGES, a % 2)
        if a % 5 == 0:
            fields = choose(MESSAGES, b)
        block = self.pen.block(fields)
        end = b % 3 == 0
        if b % 7 == 0 and len(block) > 4:
            self.say(self.pen.headers_frame(stream, block[:3], end_stream=end, end_headers=False))
            self.say(self.pen.continuation(stream, block[3:]))
            return
        pad = b % 256 if b % 11 == 0 else None
        priority = (b % 9, a) if b % 13 == 0 else None
        self.say(self.pen.headers_frame(stream, block, end_stream=end, pad=pad, priority=priority))

    def peer_trailers(self, a: int, b: int) -> None:
        self.say(self.pen.headers(self.target(a), [("x-sum", "1")], end_stream=b % 8 != 0))

    def peer_data(self, a: int, b: int) -> None:
        size = b % 16_385 if a % 4 == 0 else b % 60
        pad = b % 200 if b % 5 == 0 and size < 16_000 else None
        self.say(self.pen.data(self.target(a), bytes(size), b % 4 == 0, pad))

    def peer_rst(self, a: int, b: int) -> None:
        self.say(self.pen.rst(self.target(a), b % 16))

    def peer_window(self, a: int, b: int) -> None:
        stream = 0 if a % 3 == 0 else self.target(a)
        self.say(self.pen.window_update(stream, (b, b, b, 0, 0x7FFFFFFF, b)[b % 6]))

    def peer_settings(self, a: int, b: int) -> None:
        key = (1, 2, 3, 4, 4, 5, 6, 8, 99)[a % 9]
        value = (b % 5_000, b % 2, b % 5, b, (1 << 31) - b, 16_384 + b, b, 1, b)[a % 9]
        pairs = [(key, value)]
        if b % 4 == 0:
            pairs.append((1 + a % 6, b))
        if b % 16 == 0:
            pairs *= 20
        self.say(self.pen.settings(pairs))

    def peer_ack(self, a: int, b: int) -> None:
        if self.owed or a % 16 == 0:
            self.owed -= 1
            self.say(self.pen.settings(ack=True))

    def peer_ping(self, a: int, b: int) -> None:
        for _ in range(b % 40 if a % 8 == 0 else 1):
            self.say(self.pen.ping(b.to_bytes(8, "big"), ack=a % 4 == 1))

    def peer_goaway(self, a: int, b: int) -> None:
        if b % 4 == 0:
            self.say(self.pen.goaway(self.target(a), a % 14, b"debug" * (a % 3)))

    def peer_priority(self, a: int, b: int) -> None:
        self.say(self.pen.priority(self.target(a), b % 9, a))

    def peer_push(self, a: int, b: int) -> None:
        promised = self.next_id if a % 4 else self.target(b)
        self.next_id += 2
        fields = REQUEST if b % 4 else choose(MESSAGES, a)
        pad = 7 if a % 9 == 0 else None
        self.say(self.pen.push_promise(self.target(b // 8), promised, fields, pad=pad))

    def peer_unknown(self, a: int, b: int) -> None:
        self.say(frame(10 + a % 30, b % 256, self.target(b), bytes(b % 50)))

    def peer_any(self, a: int, b: int) -> None:
        """Any type with any flags; a payload of about the right length."""
        size = (0, 4, 5, 6, 8, 9, 1, 12)[b % 8]
        self.say(frame(a % 11, b // 8 % 256, self.target(b), bytes((a,)) * size))

    def peer_block(self, a: int, b: int) -> None:
        """A field block that no good encoder makes."""
        block = (
            b"\x20\x3f\xe1\x1f" + literal(b":method", b"GET", 0x40),
            b"\x3f\xff\xff\xff\x7f",
            b"\x20" * 3,
            b"\x82\x86\x84\x01\x01a",
            b"\xbe" * 5,
            b"\xff\xff\xff\xff\xff\xff",
            b"\x82\x87\x84" + literal(b"x", b"\0"),
            b"\x82\x87\x84" + literal(b"", b"empty"),
            b"\x82\x87\x84" + b"\xcf" * 300,
        )[a % 9]
        stream = self.next_id if b % 2 else self.target(b)
        self.next_id += 2
        self.say(self.pen.headers_frame(stream, block, end_stream=True, end_headers=b % 9 != 0))

    def peer_continuation(self, a: int, b: int) -> None:
        for _ in range(a % 12 if b % 8 == 0 else 1):
            self.say(frame(CONTINUATION, b % 2 * 4, self.target(a), bytes(b % 4)))

    def peer_twist(self, a: int, b: int) -> None:
        """One bit of the next frame is another."""
        self.twist = a + 1

    def peer_flood(self, a: int, b: int) -> None:
        """The same small frame, again and again."""
        stream = self.target(a)
        kinds = (
            frame(DATA, 0, stream),
            self.pen.priority(stream),
            frame(HEADERS, 4, self.next_id + 100, b"\x82"),
            self.pen.settings(),
            self.pen.window_update(stream, 1),
            frame(DATA, 8, stream, b"\0x"),
            frame(0x77, 0, 0),
        )
        data = kinds[b % len(kinds)]
        for _ in range(b % 60):
            self.say(data)

    def end(self) -> None:
        """After the last step: debts are paid, everything ends."""
        self.let_go()
        self.listen()
        if not self.conn.over:
            self.books.settled()
        self.log.append(hang_up(self.conn))
        self.conn.data_received(PREFACE)
        assert self.conn.take() == b""


class H2Server(H2World):
    server = True


class H2Client(H2World):
    server = False


PEER_RULES = sorted(name for name in vars(H2World) if name.startswith("peer_"))


class Pair(World):
    """Two connections joined. What one application gives is what the other gets, in order."""

    http2 = True
    hostile = False  # somebody between the two

    def __init__(self, mood: int) -> None:
        super().__init__()
        mood &= ~TIGHT
        self.client, self.server = Watched(False, mood & MANUAL), Watched(True, mood)
        self.both = (self.client, self.server)
        self.under_way = {self.client: bytearray(), self.server: bytearray()}  # by who wrote it
        self.got: dict[tuple[bool, int], bytearray] = {}
        self.books = {c: Books(c.server_side, FrameFactory()) for c in self.both}
        self.conn = self.client
        for conn in self.both:
            conn.connection_made(self.http2)
        self.listen()

    def step(self, rule: str, a: int, b: int) -> None:
        self.conn = self.both[a & 1]
        super().step(rule, a >> 1, b)

    def app_configure(self, a: int, b: int) -> None:
        # A list size of a few octets is a trap: all that comes would be the peer's fault.
        if a % 9 != 5:
            super().app_configure(a, b)

    def app_frame(self, a: int, b: int) -> None:
        # PRIORITY_UPDATE is known to the other side, and zeros are a wrong one.
        if a % 24 != 16:
            super().app_frame(a, b)

    def listen(self) -> None:
        for conn in self.both:
            data = conn.take()
            self.under_way[conn] += data
            if self.http2:
                self.books[conn].wrote(without_preface(data))
            for event in conn.events:
                if event[0] == "data":
                    of = (not conn.server_side, event[1])
                    self.got.setdefault(of, bytearray()).extend(event[2])
            self.log.append((data, merged(conn.events), list(conn.refusals)))
            conn.events.clear()
            conn.refusals.clear()

    def other(self, conn: Watched) -> Watched:
        return self.server if conn is self.client else self.client

    def carry(self, a: int, b: int) -> None:
        """Octets of one side reach the other."""
        self.deliver(self.conn, b if a % 2 else 1 << 30)

    def deliver(self, writer: Watched, most: int) -> bool:
        data = self.under_way[writer]
        piece = bytes(data[:most])
        if not piece:
            return False
        del data[:most]
        reader = self.other(writer)
        books = self.books[reader]
        for part in books.frames_of(piece) if self.http2 else [piece]:
            if self.http2 and not reader.over:
                books.heard(part)
            try:
                reader.data_received(part)
            except raw.WouldBlockError:
                assert not self.http2 and reader.server_side
            except raw.ProtocolError as error:
                if not self.hostile:
                    raise
                self.log.append((error.errno, error.code, error.stream, str(error)))
            self.listen()
        return True

    def end(self) -> None:
        """Everything arrives; what was given is what was got."""
        self.let_go()
        self.listen()
        while self.deliver(self.client, 1 << 30) or self.deliver(self.server, 1 << 30):
            pass
        for key, got in self.got.items():
            given = self.given.get(key, bytearray())
            if not self.hostile and not self.answers(key):
                assert bytes(given[: len(got)]) == bytes(got), f"{key}: other octets"
        for conn in self.both:
            self.log.append(hang_up(conn))

    def answers(self, key: tuple[bool, int]) -> bool:
        """Whether the mood wrote there as well."""
        return key[0]


class H2Pair(Pair):
    http2 = True


class H2Between(Pair):
    """Somebody between the two slips frames in, to either; no field block that tables depend on."""

    hostile = True

    def inject(self, a: int, b: int) -> None:
        """A frame to the other side, behind what is under way."""
        pen = FrameFactory()
        known = self.conn.open_streams
        stream = known[b % len(known)] if known and a % 4 else (0, 1, 2, 3, 9)[b % 5]
        block = b"\x82\x87\x84" + literal(b":authority", b"a")
        frames = (
            pen.data(stream, bytes(b % 300), b % 4 == 0, a % 200 if b % 5 == 0 else None),
            pen.headers_frame(stream + 2 * (b % 3), block, end_stream=b % 2 == 0),
            pen.headers_frame(stream, b"\x88", end_stream=b % 2 == 0),
            pen.headers_frame(stream, literal(b"x", b"y"), end_stream=True),
            pen.rst(stream, b % 14),
            pen.window_update(stream, b or 0x7FFFFFFF),
            pen.ping(ack=b % 2 == 0),
            pen.settings({1 + b % 6: b}),
            pen.settings(ack=True),
            pen.goaway(stream, b % 3),
            pen.priority(stream, b % 5),
            frame(5, 4, stream, u32(2 + 2 * (b % 9)) + block),
            frame(a % 20, b % 256, stream, bytes(b % 12)),
            frame(CONTINUATION, 4, stream, block),
        )
        self.under_way[self.conn] += choose(frames, a)


class H1Pair(Pair):
    http2 = False


class H1World(World):
    """One connection over HTTP/1.1 and a peer that writes lines as it likes."""

    server = True

    def __init__(self, mood: int) -> None:
        super().__init__()
        self.conn = Watched(self.server, mood)
        self.conn.disallow_h2_upgrade = bool(mood & 64)
        self.dead = False
        self.all = b""
        self.methods: list[str] = []
        self.clean = True  # what is written can be cut into messages
        self.conn.connection_made(False)
        self.listen()

    def listen(self) -> None:
        data = self.conn.take()
        self.all += data
        for event in self.conn.events:
            if event[0] == "head" and self.server:
                self.methods.append(event[3])
        self.log.append((data, merged(self.conn.events), list(self.conn.refusals)))
        self.conn.events.clear()
        self.conn.refusals.clear()

    def say(self, data: bytes, cut: int = 0) -> None:
        """Some octets, cut in two."""
        at = cut % (len(data) + 1)
        for piece in (data[:at], data[at:]):
            try:
                self.conn.data_received(piece)
            except raw.ProtocolError as error:
                assert not self.dead, "a second error"
                self.dead = True
                assert self.conn.over
                self.log.append((error.errno, error.code, error.stream, str(error)))
            except raw.WouldBlockError as error:
                self.log.append(str(error))

    def peer_line(self, a: int, b: int) -> None:
        self.say(choose(LINES if self.server else STATUS_LINES, a if b % 4 else a % 3) + b"\r\n", b)

    def peer_field(self, a: int, b: int) -> None:
        self.say(choose(FIELD_LINES, a if b % 4 else a % 4) + b"\r\n", b)

    def peer_blank(self, a: int, b: int) -> None:
        self.say(b"\r\n")

    def peer_message(self, a: int, b: int) -> None:
        """A whole one, most likely good."""
        lines = LINES if self.server else STATUS_LINES
        fields = [choose(FIELD_LINES, a // 4)] if a % 4 else []
        body = b""
        if b % 5 == 1:
            fields.append(b"Content-Length: %d" % (b % 50))
            body = bytes(b % 50)
        elif b % 5 == 2:
            fields.append(b"Transfer-Encoding: chunked")
            body = b"5\r\nhello\r\n" * (b % 4) + b"0\r\n\r\n"
        if self.server and a % 16:
            fields.insert(0, b"Host: a")
        head = b"".join(line + b"\r\n" for line in [choose(lines, b // 5 % 4), *fields, b""])
        self.say(head + body, b)

    def peer_body(self, a: int, b: int) -> None:
        self.say(bytes(b % 100 if a % 4 else b), b // 2)

    def peer_chunk(self, a: int, b: int) -> None:
        self.say(choose(CHUNKS, a), b)

    def peer_preface(self, a: int, b: int) -> None:
        if a % 8 == 0:
            self.say(PREFACE + frame(SETTINGS) + frame(HEADERS, 5, 1, b"\x82\x87\x84"), b)

    def peer_octets(self, a: int, b: int) -> None:
        if b % 4 == 0:
            self.say(u32(b * 257 + a * 65_599 & 0xFFFFFFFF))

    def peer_gone(self, a: int, b: int) -> None:
        if b % 16 == 0:
            self.log.append(hang_up(self.conn))

    def app_upgrade(self, a: int, b: int) -> None:
        stream = self.stream(a)
        fields = [("upgrade", "x"), ("connection", "upgrade")]
        self.attempt(lambda: self.conn.write_head(stream, 101, "", "", fields, False))

    def end(self) -> None:
        self.let_go()
        self.listen()
        self.log.append(hang_up(self.conn))
        self.conn.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert self.conn.take() == b""


class H1Server(H1World):
    server = True


class H1Client(H1World):
    server = False


LINES = (
    b"GET / HTTP/1.1",
    b"POST /a?b HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"CONNECT a:1 HTTP/1.1",
    b"GET http://b/c HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET / HTTP/2.0",
    b"GET / HTTP/1.9",
    b"get / http/1.1",
    b"G@T / HTTP/1.1",
    b"GET /" + b"x" * 300 + b" HTTP/1.1",
    b"PRI * HTTP/2.0",
)
STATUS_LINES = (
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 103 Early Hints",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 404",
    b"HTTP/1.1 99 Bad",
    b"HTTP/2 200 OK",
    b"HTTP/1.1 200 \xff\x01",
    b"ICY 200 OK",
)
FIELD_LINES = (
    b"Host: a",
    b"X-A: b",
    b"Content-Length: 10",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive, x-a",
    b"Expect: 100-continue",
    b"Upgrade: x\r\nConnection: upgrade",
    b"Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABk",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: x",
    b"X-A : b",
    b" folded",
    b"Cookie: a=b",
    b"X: \xff\xfe",
    b"X: a\0b",
    b"X-Big: " + b"v" * 250,
    b"nothing",
)
CHUNKS = (
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\nX-Sum: 1\r\n\r\n",
    b"a;b=c\r\n0123456789\r\n",
    b"10\r\n",
    b'1;x="\\""\r\nx\r\n',
    b"5\nhello\n",
    b"fffffffffffffffff\r\n",
    b"0\r\nContent-Length: 1\r\n\r\n",
    b" 5\r\nhello\r\n",
    b"5;" + b"e" * 15 + b"\r\nhello\r\n",
)

H1_RULES = sorted({name for name in vars(H1World) if name.startswith("peer_")} | {"app_upgrade"})

#: By name: what makes the world, and what may happen in it; what happens often stands more often.
WORLDS: dict[str, tuple[Callable[[int], World], Sequence[str]]] = {
    "h2-server": (H2Server, [*PEER_RULES, *["peer_headers", "peer_data"] * 3, *APP_RULES]),
    "h2-client": (
        H2Client,
        [*PEER_RULES, *["peer_headers", "peer_data", "app_request"] * 3, *APP_RULES],
    ),
    "h2-pair": (H2Pair, [*["carry"] * 8, *["app_request"] * 3, *["app_answer"] * 2, *APP_RULES]),
    "h2-between": (
        H2Between,
        [*["carry", "inject"] * 8, *["app_request"] * 3, *["app_answer"] * 2, *APP_RULES],
    ),
    "h1-server": (H1Server, [*H1_RULES, *["peer_message"] * 4, "app_answer", *APP_RULES]),
    "h1-client": (H1Client, [*H1_RULES, *["peer_message", "app_request"] * 4, *APP_RULES]),
    "h1-pair": (H1Pair, [*["carry"] * 8, *["app_request"] * 3, *["app_answer"] * 2, *APP_RULES]),
}


RULES = {name: rules for name, (_, rules) in WORLDS.items()}


def script_of(data: bytes) -> tuple[str, int, list[Step]]:
    """Octets as a script: which world, what mood, four octets for each step."""
    names = sorted(RULES)
    world = names[data[0] % len(names)] if data else names[0]
    rules = sorted(set(RULES[world]))
    steps = [
        (rules[data[at] % len(rules)], data[at + 1], data[at + 2] << 8 | data[at + 3])
        for at in range(2, len(data) - 3, 4)
    ]
    return world, data[1] if len(data) > 1 else 0, steps[:MOST_STEPS]


def play(name: str, mood: int, script: Sequence[Step]) -> list[object]:
    """All that can be seen of a script; AssertionError where a rule is broken."""
    world = WORLDS[name][0](mood)
    for rule, a, b in script:
        world.step(rule, a, b)
    world.end()
    return world.log
