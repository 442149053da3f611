"""The same bytes to `cno` and to `h2` or `h11`. A table explains each difference.

Compares the delivered events, and whether the input is accepted, refused for a stream, or refused
for the connection, after each frame or message. A difference that the table does not explain is a
bug of one of them. The states differ after it, so a script ends at its first difference.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11

from cno import raw
from tests.frames import GOAWAY, HEADERS, PREFACE, REQUEST, RST_STREAM, parse_frames
from tests.fuzz.explained import H2_EXPLAINED, H11_EXPLAINED
from tests.fuzz.observed import Watched
from tests.fuzz.worlds import H1_RULES, PEER_RULES, H1World, H2World, Step
from tests.security.smuggling import DROPPED_TRAILERS
from tests.support import Event, merged

#: Octets of a frame: neither has said that it takes more.
LARGEST = 16_384


class Verdict(NamedTuple):
    """What became of some octets: "ok", "stream" or "connection" (refused), why, what was told."""

    kind: str
    why: str
    told: list[Event]

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}" if self.why else self.kind


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def plain(fields: Any) -> list[tuple[bytes, bytes]]:
    """Fields as octets; in any order, as joined cookies stand elsewhere."""
    pairs = [(bytes(n), bytes(v)) for n, v in fields]
    authority = dict(pairs).get(b":authority")
    # > An HTTP/2 ... server ... MUST treat a request as malformed if it contains a Host header
    # > field that identifies an entity that differs   (RFC 9113 8.3.1): an equal one says nothing.
    return sorted((n, v) for n, v in pairs if (n, v) != (b"host", authority))


#: What each may be (RFC 9110 5, 8.6, 9.1, 15; RFC 9113 8.3; RFC 3986 3.1-3.3), read strictly.
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9a-z]+"
ENCODED = rb"([!$&-.0-;=@A-Z_a-z~]|%[0-9A-Fa-f]{2})"
GRAMMAR = {
    b":method": re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"),
    b":scheme": re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*"),
    b":authority": re.compile(rb"([!$&-,\-.;=0-9A-Z_a-z~]|%[0-9A-Fa-f]{2})*(:\d*)?"),
    b":path": re.compile(rb"\*|/(" + ENCODED + rb"|[/?])*"),
    b":protocol": re.compile(TOKEN, re.IGNORECASE),
    b":status": re.compile(rb"[1-9]\d\d"),
    b"content-length": re.compile(rb"\d{1,18}"),
    b"": re.compile(rb"([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"),
}


def malformed(told: Sequence[Event]) -> str:
    """The first field among these that cannot be, or ''."""
    for event in told:
        for name, value in event[-1] if event[0] in ("head", "end") else ():
            rule = GRAMMAR.get(name)
            if rule is None and not re.fullmatch(TOKEN, name):
                return f"{name!r}"
            if not (rule or GRAMMAR[b""]).fullmatch(value):
                return f"{name!r} {value!r}"
    return ""


class Unexplained(AssertionError):
    """Two implementations disagree and nobody knows why."""


def explain(
    ours: Verdict, theirs: Verdict, name: str, table: Sequence[tuple[str, str]], data: bytes
) -> str:
    """Why they disagree; Unexplained."""
    what = f"cno {ours} | {name} {theirs}"
    if b"HTTP/1.0" in data and theirs.told == ours.told[: len(theirs.told)]:
        what += " | told less after HTTP/1.0"
    elif ours.kind == theirs.kind:
        what += f" | told otherwise {ours.told} {theirs.told}"
    elif theirs.kind == "ok":
        what += f" {theirs.told}"
        if (bad := malformed(theirs.told)) and name == "h2":
            what = f"{name} takes what cannot be: {bad}"
    elif ours.kind == "ok":
        what += f" | told {ours.told}"
    for pattern, reason in table:
        if re.search(pattern, what):
            return reason
    raise Unexplained(f"{what}\n  {data!r}\n  {ours.told}\n  {theirs.told}")


# -- h2 --------------------------------------------------------------------------------------------


class H2Compared(H2World):
    """A world of which `h2` gets a copy of what is said."""

    def __init__(self, mood: int) -> None:
        config = h2.config.H2Configuration(client_side=not self.server, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.trailers: dict[int, Any] = {}
        self.agree = True
        self.buffer = b""
        self.seen: dict[str, int] = {}
        super().__init__(0)
        if self.server:
            self.h2.receive_data(PREFACE)
        else:
            for stream, method, final in ((1, "GET", True), (3, "POST", False), (5, "HEAD", True)):
                fields = [(":method", method), *REQUEST[1:]]
                self.conn.write_head(stream, 0, method, "/", REQUEST[1:3], final)
                self.h2.send_headers(stream, fields, end_stream=final)
        self.h2.data_to_send()
        self.said: list[Event] = []
        self.listen()
        self.say(self.pen.settings())
        self.say(self.pen.settings(ack=True))

    def listen(self) -> None:
        """Nothing: each frame is looked at by itself."""

    def deliver(self, data: bytes) -> None:
        """Frame by frame, when they are whole: one may take its time to see what is wrong."""
        self.buffer += data
        while self.agree and len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if length > LARGEST:
                self.compare(self.buffer[:9])
                self.agree = False
            elif len(self.buffer) < 9 + length:
                return
            else:
                frame, self.buffer = self.buffer[: 9 + length], self.buffer[9 + length :]
                self.compare(frame)

    def compare(self, data: bytes) -> None:
        ours, theirs = self.ours(data), self.theirs(data)
        same = ours.kind == theirs.kind and (ours.kind != "ok" or ours.told == theirs.told)
        if not same:
            reason = explain(ours, theirs, "h2", H2_EXPLAINED, data)
            self.seen[reason] = self.seen.get(reason, 0) + 1
        # A stream that one has refused is another than one that it has not; and who has said
        # goodbye (RFC 9113 6.8: a client at a GOAWAY that leaves it no stream) looks at nothing.
        self.agree = same and ours.kind == "ok" and ("close",) not in self.conn.events

    def ours(self, data: bytes) -> Verdict:
        conn = self.conn
        conn.events.clear()
        conn.take()
        try:
            conn.data_received(data)
        except raw.ProtocolError as error:
            return Verdict("connection", f"type {data[3]} {error}", [])
        for f in parse_frames(conn.take()):
            if f.type in (RST_STREAM, HEADERS):
                return Verdict("stream", f"RST({f.code}) for type {data[3]}", [])
        told: list[Event] = []
        for e in merged(conn.events):
            if e[0] == "head":
                _, stream, code, method, path, headers = e
                first = [(":status", str(code))] if code else [(":method", method), (":path", path)]
                fields = [f for f in [*first, *headers] if f != (":path", "")]
                told.append(("head", stream, plain((octets(n), octets(v)) for n, v in fields)))
            elif e[0] == "data":
                told.append(e)
            elif e[0] == "tail":
                told.append(("end", e[1], plain((octets(n), octets(v)) for n, v in e[2] or ())))
            elif e[0] == "push":
                told.append(("push", e[1], e[2]))
        return Verdict("ok", f"type {data[3]}", told)

    def theirs(self, data: bytes) -> Verdict:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            return Verdict("connection", f"{type(error).__name__} {error}", [])
        told: list[Event] = []
        for event in events:
            self.tell(event, told)
        for f in parse_frames(self.h2.data_to_send()):
            if f.type == RST_STREAM:
                return Verdict("stream", f"RST({f.code})", [])
            if f.type == GOAWAY:
                return Verdict("connection", "GOAWAY", [])
        return Verdict("ok", "", told)

    def tell(self, event: Any, told: list[Event]) -> None:
        e = h2.events
        match event:
            case e.RequestReceived() | e.ResponseReceived() | e.InformationalResponseReceived():
                told.append(("head", event.stream_id, plain(event.headers)))
            case e.TrailersReceived():
                self.trailers[event.stream_id] = as_trailers(plain(event.headers))
            case e.DataReceived():
                if event.data:
                    told.append(("data", event.stream_id, bytes(event.data)))
                if event.flow_controlled_length:
                    size = event.flow_controlled_length
                    self.h2.acknowledge_received_data(size, event.stream_id)
            case e.StreamEnded():
                told.append(("end", event.stream_id, self.trailers.get(event.stream_id, [])))
            case e.PushedStreamReceived():
                told.append(("push", event.pushed_stream_id, event.parent_stream_id))

    def end(self) -> None:
        """Nothing more to compare."""


class H2ServerCompared(H2Compared):
    server = True


class H2ClientCompared(H2Compared):
    server = False


# -- h11 -------------------------------------------------------------------------------------------


class Obliging(Watched):
    """Answers each complete request with nothing much."""

    def on_message_tail(self, stream: int, trailers: Any) -> None:
        super().on_message_tail(stream, trailers)
        if self.server_side and not self.over:
            self.attempt(lambda: self.write_head(stream, 200, "", "", [], True))


class H11Compared(H1World):
    """A world whose octets `h11` gets too; messages are compared in the end."""

    def __init__(self, mood: int) -> None:
        super().__init__(0)
        self.conn = Obliging(self.server)
        self.conn.connection_made(False)
        self.data = b""
        self.seen: dict[str, int] = {}

    def say(self, data: bytes, cut: int = 0) -> None:
        self.data += data

    def listen(self) -> None:
        """In the end."""

    def end(self) -> None:
        ours, theirs = self.ours(), self.theirs()
        if ours.kind == theirs.kind and (ours.told == theirs.told or ours.kind != "ok"):
            return
        reason = explain(ours, theirs, "h11", H11_EXPLAINED, self.data)
        self.seen[reason] = 1

    def ours(self) -> Verdict:
        conn = self.conn
        if not self.server:
            conn.write_head(1, 0, "GET", "/", [(":authority", "a")], True)
        kind, why = "ok", ""
        try:
            conn.data_received(self.data)
            if not self.server:
                conn.connection_lost()
        except raw.ProtocolError as error:
            kind, why = "connection", str(error)
        told: list[Event] = []
        for e in merged(conn.events):
            if e[0] == "head":
                fields = [(octets(n), octets(v)) for n, v in e[5] if n[0] != ":"]
                told.append(("head", e[2], octets(e[3]), clean(fields)))
            elif e[0] == "data":
                told.append(("data", e[2]))
            elif e[0] == "tail":
                told.append(("end", clean((octets(n), octets(v)) for n, v in e[2] or ())))
        return Verdict(kind, why, told)

    def theirs(self) -> Verdict:
        peer = h11.Connection(h11.SERVER if self.server else h11.CLIENT)
        if not self.server:
            peer.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
            peer.send(h11.EndOfMessage())
        told: list[Event] = []
        try:
            peer.receive_data(self.data)
            if not self.server:
                peer.receive_data(b"")
            while self.one(peer, told):
                pass
        except h11.RemoteProtocolError as error:
            return Verdict("connection", str(error), told)
        return Verdict("ok", "", told)

    def one(self, peer: h11.Connection, told: list[Event]) -> bool:
        """The next event; False when there is none."""
        event = peer.next_event()
        match event:
            case h11.Request():
                told.append(("head", 0, bytes(event.method), clean(event.headers)))
            case h11.Response() | h11.InformationalResponse():
                told.append(("head", event.status_code, b"", clean(event.headers)))
            case h11.Data():
                if told and told[-1][0] == "data":
                    told[-1] = ("data", told[-1][1] + bytes(event.data))
                elif event.data:
                    told.append(("data", bytes(event.data)))
            case h11.EndOfMessage():
                told.append(("end", as_trailers(clean(event.headers))))
                if not self.server:
                    return False
                if not self.answer(peer):
                    return False
            case _:
                return False
        return True

    def answer(self, peer: h11.Connection) -> bool:
        peer.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        if peer.our_state is h11.SWITCHED_PROTOCOL:
            return False  # CONNECT
        peer.send(h11.EndOfMessage())
        if peer.our_state is h11.MUST_CLOSE or peer.their_state is not h11.DONE:
            return False
        peer.start_next_cycle()
        return True


#: What our delivery leaves out, being about the connection.
HOP = (
    *(b"host", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"),
    *(b"x-a", b"http2-settings"),  # where Connection names them
)


def as_trailers(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Fields that cno delivers as trailers (RFC 9110 6.5.1)."""
    dropped = {name.lower().encode() for name in DROPPED_TRAILERS}
    return [field for field in fields if field[0] not in dropped]


def clean(fields: Any) -> list[tuple[bytes, bytes]]:
    """Fields that both deliver."""
    return [(bytes(n), bytes(v)) for n, v in fields if bytes(n) not in HOP]


class H11ServerCompared(H11Compared):
    server = True


class H11ClientCompared(H11Compared):
    server = False


COMPARED: dict[str, tuple[type[H2Compared] | type[H11Compared], Sequence[str]]] = {
    "h2-server": (H2ServerCompared, [*PEER_RULES, *["peer_headers", "peer_data"] * 3]),
    "h2-client": (H2ClientCompared, [*PEER_RULES, *["peer_headers", "peer_data"] * 3]),
    "h11-server": (H11ServerCompared, [r for r in H1_RULES if r[:4] == "peer" and "gone" not in r]),
    "h11-client": (H11ClientCompared, [r for r in H1_RULES if r[:4] == "peer" and "gone" not in r]),
}


RULES = {name: rules for name, (_, rules) in COMPARED.items()}


def check(world: str, mood: int, script: Sequence[Step]) -> dict[str, int]:
    """Play it to both; the explained disagreements."""
    compared = COMPARED[world][0](mood)
    for rule, a, b in script:
        getattr(compared, rule)(a, b)
    compared.end()
    return compared.seen
