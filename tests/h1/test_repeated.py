"""The same fields again and again on one connection, as clients and servers send them.

The meaning of a message must not depend on an earlier one with the same fields. Each case is
received after messages with the same field section, and after others, with the same result.
"""

from hypothesis import given
from hypothesis import strategies as st

from cno import raw
from cno.limits import Limits
from tests.h1.wire import FIELDS, respond, responses
from tests.rows import each_row
from tests.support import Event, Headers, Recorder, h1_client, h1_server

HOST = b"Host: a\r\n"

#: Field sections (without the empty line), and the body that belongs to each.
SECTIONS: list[tuple[bytes, bytes]] = [
    (HOST, b""),
    (HOST + b"X: y\r\nCookie: a=b\r\nX: \xc3\xa9\xff\r\n", b""),
    (HOST + b"Content-Length: 5\r\n", b"hello"),
    (HOST + b"Content-Length: 0\r\n", b""),
    (HOST + b"Transfer-Encoding: chunked\r\n", b"5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\n"),
    (HOST + b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    (HOST + b"Connection: keep-alive\r\nKeep-Alive: 5\r\n", b""),
    (HOST + b"Connection: close\r\n", b""),
    (HOST + b"Connection: x-a, x-b\r\nX-A: 1\r\nX-C: 2\r\n", b""),
    (HOST + b"Connection: upgrade, keep-alive\r\nUpgrade: x\r\n", b""),
    (HOST + b"Upgrade: x\r\n", b""),
    (HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"),
    (HOST + b"TE: trailers\r\nConnection: te\r\n", b""),
    (b"Host: b:1\r\n", b""),
    (b"X: y\r\n", b""),
    (b"", b""),
]

LINES = [
    b"GET / HTTP/1.1\r\n",
    b"GET /x?y HTTP/1.0\r\n",
    b"HEAD / HTTP/1.1\r\n",
    b"POST /p HTTP/1.1\r\n",
    b"PUT /p HTTP/1.2\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET http://c:2/d HTTP/1.1\r\n",
    b"GET HTTPS://c HTTP/1.1\r\n",
    b"CONNECT c:3 HTTP/1.1\r\n",
]


class Answering(Recorder):
    """Answers each request with an empty response, once it has come in full."""

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        super().on_message_tail(stream, trailers)
        respond(self, stream)


def give(conn: Recorder, data: bytes, cut: int) -> tuple[list[Event], bytes, int]:
    """What the connection makes of this: events, output, the status of the error."""
    conn.events.clear()
    conn.take()
    status = 0
    try:
        for at in range(0, len(data), cut):
            conn.data_received(data[at : at + cut])
    except raw.ProtocolError as error:
        status = error.code
    return conn.of("head", "data", "tail", "upgrade", "end", "close"), conn.take(), status


OTHER = b"X-Other: z\r\n"
#: How often the same comes before: lines are remembered first, then all of them as one.
TIMES = 5


@each_row("cut", [1, 1 << 20])
@each_row("line", LINES)
def test_requests(line: bytes, cut: int) -> None:
    for section, body in SECTIONS:
        compare_requests(section, body, line, cut)


def compare_requests(section: bytes, body: bytes, line: bytes, cut: int) -> None:
    outcomes = []
    # Some that keep the connection and then the one in question; with its own fields, or others.
    for before in (section, section + OTHER, HOST):
        conn = h1_server(recorder=Answering)
        for first in [b"PUT /1 HTTP/1.1\r\n"] * TIMES:
            give(conn, first + before + b"\r\n" + (b"" if before == HOST else body), 1 << 20)
        outcomes.append(give(conn, line + section + b"\r\n" + body, cut))
    assert outcomes[0] == outcomes[1]
    if outcomes[0][0] or outcomes[0][2]:
        # Not one whose fields end the connection at once.
        assert outcomes[0] == outcomes[2]


RESPONSES: list[tuple[bytes, bytes]] = [
    (b"Content-Length: 2\r\n", b"ok"),
    (b"Content-Length: 0\r\n", b""),
    (b"Content-Length: 2\r\nX: y\r\nConnection: x\r\n", b"ok"),
    (b"Content-Length: 2\r\nConnection: keep-alive\r\n", b"ok"),
    (b"Transfer-Encoding: chunked\r\nSet-Cookie: a\r\n", b"2\r\nok\r\n0\r\n\r\n"),
    (b"", b""),
    (b"Upgrade: x\r\n", b""),
]


@each_row("cut", [1, 1 << 20])
@each_row("method", ["GET", "HEAD"])
@each_row("line", [b"1.1 200 OK", b"1.1 204 No", b"1.0 200 OK", b"1.1 304 No", b"1.1 103 X"])
def test_responses(line: bytes, method: str, cut: int) -> None:
    for section, body in RESPONSES:
        compare_responses(section, body, line, method, cut)


def compare_responses(section: bytes, body: bytes, line: bytes, method: str, cut: int) -> None:
    outcomes = []
    for before in (section, section + OTHER):
        conn = h1_client()
        for i, of in enumerate(["HEAD"] * TIMES + [method]):
            conn.write_head(2 * i + 1, 0, of, "/", FIELDS, True)
        give(conn, (b"HTTP/1.1 200 OK\r\n" + before + b"\r\n") * TIMES, 1 << 20)
        outcomes.append(give(conn, b"HTTP/" + line + b"\r\n" + section + b"\r\n" + body, cut))
    assert outcomes[0] == outcomes[1]


def test_the_list_delivered_is_the_applications() -> None:
    class Spoiling(Answering):
        def on_message_head(
            self, stream: int, code: int, method: str, path: str, headers: Headers
        ) -> None:
            super().on_message_head(stream, code, method, path, headers)
            headers[:] = [("spoilt", "x")]

    conn = h1_server(recorder=Spoiling)
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
    for _ in range(4):
        conn.data_received(data)
    assert [e[5] for e in conn.of("head")] == [[*FIELDS, ("x", "y")]] * 4


def test_the_scheme_may_change_between_requests() -> None:
    conn = h1_server(recorder=Answering)
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for scheme in ("http", "https", "https", "http"):
        conn.scheme = scheme
        conn.data_received(data)
    assert [e[5][0][1] for e in conn.of("head")] == ["http", "https", "https", "http"]


def test_almost_the_same_fields() -> None:
    """One octet changed, added or taken away is found, wherever it is."""
    section = b"Host: a\r\nX: yz\r\nContent-Length: 0\r\n\r\n"
    for at in range(len(section) - 4):
        for changed in (
            section[:at] + b"0" + section[at + 1 :],
            section[:at] + section[at + 1 :],
            section[:at] + b"0" + section[at:],
        ):
            outcomes = []
            for before in (section, b"Host: a\r\n\r\n"):
                conn = h1_server(recorder=Answering)
                give(conn, (b"GET / HTTP/1.1\r\n" + before) * TIMES, 1 << 20)
                outcomes.append(give(conn, b"GET / HTTP/1.1\r\n" + changed, 1 << 20))
            assert outcomes[0] == outcomes[1], changed


def test_a_longer_section_that_begins_the_same() -> None:
    conn = h1_server(recorder=Answering)
    short = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    conn.data_received(short * TIMES)
    conn.data_received(short[:-2] + b"X: y\r\n\r\n" + short)
    assert [e[5][2:] for e in conn.of("head")] == [[]] * TIMES + [[("x", "y")], []]
    assert len(responses(conn.take())) == TIMES + 2


def test_what_came_in_pieces_is_remembered_in_whole_or_not_at_all() -> None:
    """A section that was cut each time, and then its second part alone."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: w\r\n\r\n"
    for at in range(1, len(head)):
        conn = h1_server(recorder=Answering)
        for _ in range(TIMES):
            conn.data_received(head[:at])
            conn.data_received(head[at:])
        events, _, status = give(conn, b"GET / HTTP/1.1\r\nX: y\r\nZ: w\r\n\r\n", 1 << 20)
        assert (status, [e for e in events if e[0] == "head"]) == (400, [])
    conn = h1_server(recorder=Answering)
    for _ in range(TIMES):
        conn.data_received(head)
        events, _, _ = give(conn, head.replace(b"X: y\r\n", b""), 1 << 20)
        assert events[0][5] == [*FIELDS, ("z", "w")]
        events, _, _ = give(conn, head, 5)
        assert events[0][5] == [*FIELDS, ("x", "y"), ("z", "w")]


def test_a_fault_is_not_remembered_as_fine() -> None:
    """The same faulty fields, refused on each new connection whatever came before."""
    for bad in (b"Host: a b\r\n\r\n", b"X: y\r\n\r\n", b"Host: a\r\nTransfer-Encoding: x\r\n\r\n"):
        for _ in range(2):
            conn = h1_server(recorder=Answering)
            give(conn, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * TIMES, 1 << 20)
            events, _, status = give(conn, b"GET / HTTP/1.1\r\n" + bad, 1 << 20)
            assert (status, [e for e in events if e[0] == "head"]) == (400, [])


@each_row(
    ("before", "then", "status"),
    [
        (b"X: y\r\nHost: a\r\n", b"Host: a\r\nHost: a\r\n", 400),
        (b"Host: a\r\nX: y\r\n", b"Host: a\r\nHost: a\r\n", 400),
        (b"X: y\r\nContent-Length: 0\r\nHost: a\r\n", b"Content-Length: 0\r\n" * 2 + HOST, 400),
        (
            b"X: y\r\nTransfer-Encoding: chunked\r\nHost: a\r\n",
            b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\nHost: a\r\n",
            400,
        ),
        (
            b"X: y\r\nTransfer-Encoding: chunked\r\nHost: a\r\n",
            b"Transfer-Encoding: chunked\r\n" * 2 + HOST,
            400,
        ),
        (b"X: y\r\nHost: a\r\n", b"X: y\r\nHost: a\nZ: w\r\n", 400),
        (b"X: y\r\nHost: a\r\n", b"X: y\r\n Host: a\r\n", 400),
        (b"X: y\r\nHost: a\r\n", b"X: y\r\nHost: a\r\n b\r\n", 400),
        (b"Host: a\r\nX: y\r\n", b"Host: a\r\nX: y\r\nX: y\r\n", 0),
        (b"Host: a\r\nX: y\r\n", b"X: y\r\nHost: a\r\n", 0),
        (b"Host: a\r\nConnection: close-not\r\n", b"Host: a\r\nConnection: close\r\n", 0),
    ],
)
def test_lines_that_have_come_before(before: bytes, then: bytes, status: int) -> None:
    body = b"0\r\n\r\n" if b"chunked" in before else b""
    for cut in (1, 7, 1 << 20):
        conn = h1_server(recorder=Answering)
        give(conn, (b"PUT / HTTP/1.1\r\n" + before + b"\r\n" + body) * TIMES, 1 << 20)
        assert len(conn.of("head")) == TIMES
        events, out, error = give(conn, b"PUT / HTTP/1.1\r\n" + then + b"\r\n", cut)
        assert error == status
        assert len([e for e in events if e[0] == "head"]) == (0 if status else 1)
        (answer,) = responses(out)
        assert answer.code == (status or 200)
        assert answer.closes == (status != 0 or b"Connection: close\r\n" in then)


def test_lines_that_have_come_before_count() -> None:
    limits = Limits(max_header_fields=10, max_header_list_size=1000)
    for more in (b"X: y\r\n" * 11, b"X: " + b"y" * 1000 + b"\r\n"):
        conn = h1_server(limits=limits, recorder=Answering)
        give(conn, (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5 + b"\r\n") * TIMES, 1 << 20)
        assert len(conn.of("head")) == TIMES
        _, _, status = give(
            conn, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5 + more + b"\r\n", 1 << 20
        )
        assert status == 431
    conn = h1_server(limits=Limits(max_header_fields=10), recorder=Answering)
    give(conn, (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 6 + b"\r\n") * 20, 1 << 20)
    assert len(conn.of("head")) == 20


def test_lines_of_a_head_are_not_those_of_trailers() -> None:
    conn = h1_server(recorder=Answering)
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    give(conn, (head + b"0\r\nX: y\r\n\r\n") * 3, 1 << 20)
    assert [e[2] for e in conn.of("tail")] == [[("x", "y")]] * 3
    events, _, _ = give(conn, head + b"0\r\nHost: a\r\n\r\n", 1 << 20)
    assert [e[2] for e in events if e[0] == "tail"] == [None]


#: Those that keep the connection.
KEEPING = [HOST + b"X: y\r\n", HOST, b"X: y\r\n" + HOST, *[s for s, _ in SECTIONS[1:5]]]


@given(
    chosen=st.lists(st.sampled_from(KEEPING), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
)
def test_any_order_of_sections_in_any_pieces(chosen: list[bytes], cuts: list[int]) -> None:
    """Each means what it means on a connection of its own."""
    bodies = dict(SECTIONS)
    messages = [b"PUT / HTTP/1.1\r\n" + s + b"\r\n" + bodies.get(s, b"") for s in chosen]
    want = []
    for message in messages:
        alone = h1_server(recorder=Answering)
        alone.data_received(message)
        want += [e[2:] for e in alone.of("head", "data", "tail")]
    conn = h1_server(recorder=Answering)
    data, at, number = b"".join(messages), 0, 0
    while at < len(data):
        size = cuts[number % len(cuts)]
        conn.data_received(data[at : at + size])
        at, number = at + size, number + 1
    assert [e[2:] for e in conn.of("head", "data", "tail")] == want
