"""The switches `Limits.allow_*`, each one off and on, and the messages that stay refused.

Every input is given whole, byte by byte and cut in two everywhere, to both roles where it can be.
"""

from dataclasses import replace

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import FIELDS, SMUGGLED, accepted, asked, refused
from tests.security import splitting
from tests.security.smuggling import CHUNKS, cl, get, post, te
from tests.security.smuggling import REFUSED as REQUESTS
from tests.security.splitting import REFUSED as RESPONSES
from tests.support import Event, Headers, feed, h1_server, play

LF = Limits(allow_bare_lf=True)
FOLD = Limits(allow_obs_fold=True)
EQUAL = Limits(allow_equal_content_lengths=True)
CODINGS = Limits(allow_transfer_codings=True)
ALL = Limits(
    allow_bare_lf=True,
    allow_obs_fold=True,
    allow_equal_content_lengths=True,
    allow_transfer_codings=True,
)


def head_of(data: bytes, limits: Limits) -> Headers:
    """The fields of a request that is let pass; another one behind it is read as well."""
    events = accepted(data + get(first=b"GET /next HTTP/1.1"), limits)
    heads = [e for e in events if e[0] == "head"]
    assert [h[4] for h in heads] == ["/", "/next"]
    fields: Headers = heads[0][5]
    return fields


def answer_of(data: bytes, limits: Limits) -> list[Event]:
    """What comes of a response that is let pass."""
    conn = play(lambda: asked(limits=limits), data)
    assert conn.error is None, conn.error
    return conn.of("head", "data", "tail")


def no_answer(data: bytes, limits: Limits) -> None:
    conn = play(lambda: asked(limits=limits), data + splitting.SPLIT)
    assert isinstance(conn.error, raw.ProtocolError), conn.events
    assert conn.of("tail") == []


def test_e09_all_are_off_by_default() -> None:
    names = [name for name in Limits.__dataclass_fields__ if name.startswith("allow_")]
    assert len(names) == 6
    assert not any(getattr(Limits(), name) for name in names)


# -- allow_bare_lf ---------------------------------------------------------------------------------

LF_HEADS = [
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\nHost: a\r\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n",
]


@pytest.mark.parametrize("data", LF_HEADS)
def test_e09_lf_ends_a_line(data: bytes) -> None:
    refused(data + SMUGGLED)
    refused(data + SMUGGLED, limits=replace(ALL, allow_bare_lf=False))
    assert head_of(data, LF) == FIELDS


def test_e09_lf_ends_a_line_of_a_response() -> None:
    data = b"HTTP/1.1 200 OK\nX: y \nContent-Length: 2\n\nok"
    no_answer(data, Limits())
    want: Headers = [("x", "y"), ("content-length", "2")]
    assert answer_of(data, LF) == [
        ("head", 1, 200, "", "", want),
        ("data", 1, b"ok"),
        ("tail", 1, None),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\rHost: a\r\r",
        b"GET / HTTP/1.1\n\rHost: a\n\n",
        b"GET / HTTP/1.1\r\r\nHost: a\n\n",
        b"GET / HTTP/1.1\nHost: a\n X: y\n\n",
        b"GET / HTTP/1.1\nHost: a\nX : y\n\n",
        b"GET / HTTP/1.1\nHost: a\nHost: a\n\n",
        b"GET / HTTP/1.1\nHost: a\nX: y\rz\n\n",
        b"GET / HTTP/1.1\nHost: a\nX: \0\n\n",
        b"GET / HTTP/1.1\n\n",
        b"GET /\n\n",
        post(b"Content-Length: 0\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"),
    ],
)
def test_e09_lf_allows_nothing_else(data: bytes) -> None:
    refused(data + SMUGGLED, limits=LF)


@pytest.mark.parametrize("name", [n for n, body in CHUNKS.items() if b"\n" in n.encode() + body])
def test_e06_e07_lf_never_ends_a_line_of_a_chunked_body(name: str) -> None:
    refused(te(b" chunked", body=CHUNKS[name]) + SMUGGLED, limits=ALL, heads=1)


def test_e09_a_field_that_lf_shows_counts() -> None:
    """What frames the message is seen, however its line ends."""
    data = b"POST / HTTP/1.1\nHost: a\nX: y\nContent-Length: 5\n\nhello"
    assert head_of(data, LF) == [*FIELDS, ("x", "y"), ("content-length", "5")]


# -- allow_obs_fold --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (b"a\r\n b", "a b"),
        (b"a \t\r\n \t b \t", "a b"),
        (b"a\r\n\tb\r\n  c", "a b c"),
        (b"\r\n a", "a"),
        (b"a\r\n b: c", "a b: c"),
        (b"a\r\n \xe9", "a \udce9"),
    ],
)
def test_e09_fields_go_on(value: bytes, want: str) -> None:
    data = get(b"X: " + value, b"Y: z")
    refused(data + SMUGGLED)
    refused(data + SMUGGLED, limits=replace(ALL, allow_obs_fold=False))
    assert head_of(data, FOLD) == [*FIELDS, ("x", want), ("y", "z")]
    data = splitting.ok(b"X: " + value, b"Content-Length: 0")
    no_answer(data, Limits())
    assert answer_of(data, FOLD)[0][5] == [("x", want), ("content-length", "0")]


def test_e09_both_breaks_together() -> None:
    both = Limits(allow_bare_lf=True, allow_obs_fold=True)
    assert head_of(b"GET / HTTP/1.1\nHost: a\nX: y\n z\r\n\tw\n\n", both)[2:] == [("x", "y z w")]
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n z\r\n\r\n" + SMUGGLED, limits=FOLD)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length:\r\n 5",
        b"Content-Length: 1\r\n 5",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding: chunked\r\n ,",
        b"Connection:\r\n close",
        b"Upgrade: x\r\n y",
        b"Expect:\r\n 100-continue",
        b"X: y\r\n ",
        b"X: y\r\n \r\n z",
        b"X: y\r\n \0",
        b"X: y\r\n z\rw",
        b"X\r\n : y",
        b"X: y\r\n z\n w",
    ],
)
def test_e02_e09_what_frames_or_routes_is_never_folded(line: bytes) -> None:
    refused(post(line, body=b"hello") + SMUGGLED, limits=FOLD)
    no_answer(splitting.ok(line), FOLD)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n",
        b"GET /\r\n x HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_e09_e11_nor_a_start_line_or_a_host(data: bytes) -> None:
    refused(data + SMUGGLED, limits=FOLD)


def test_e09_nor_a_trailer() -> None:
    refused(te(b" chunked", body=b"0\r\nX: y\r\n z\r\n\r\n") + SMUGGLED, limits=ALL, heads=1)


@pytest.mark.parametrize("limits", [FOLD, LF, ALL])
def test_e19_allowances_are_bounded_as_well(limits: Limits) -> None:
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n"
    for piece, most in ((b" z\r\n", 66), (b"z", 16_500), (b"Y: z\r\n", 300)):
        if piece.startswith(b" ") and not limits.allow_obs_fold:
            continue
        conn = h1_server(limits=limits)
        conn.data_received(start)
        for _ in range(most):
            if conn.error is None:
                feed(conn, piece)
        assert conn.error is not None and conn.error.code == 431


# -- allow_equal_content_lengths -------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        cl(b" 5", b"Content-Length: 5"),
        cl(b" 5, 5"),
        cl(b" 5 ,5,\t5", b"X: y", b"Content-Length: 5"),
        cl(b" 5", b"Content-Length: 5, 5"),
    ],
)
def test_e04_lengths_that_agree(data: bytes) -> None:
    refused(data + SMUGGLED)
    refused(data + SMUGGLED, limits=replace(ALL, allow_equal_content_lengths=False))
    got = head_of(data, EQUAL)
    assert got == [f for f in [*FIELDS, ("content-length", "5"), ("x", "y")] if f in got]
    assert len(got) == 3 + (b"X: y" in data)


def test_e04_lengths_that_agree_in_a_response() -> None:
    data = splitting.cl(b" 5", b"Content-Length: 5")
    no_answer(data, Limits())
    assert answer_of(data, EQUAL) == [
        ("head", 1, 200, "", "", [("content-length", "5")]),
        ("data", 1, b"hello"),
        ("tail", 1, None),
    ]


@pytest.mark.parametrize(
    "data",
    [
        cl(b" 5", b"Content-Length: 6"),
        cl(b" 5, 6"),
        cl(b" 5, 5", b"Content-Length: 6"),
        cl(b" 5,"),
        cl(b" ,5"),
        cl(b" 5,,5"),
        cl(b" 5;5"),
        cl(b" 5, +5"),
        cl(b""),
        cl(b" 5", b"Content-Length:"),
        cl(b" 5, 5", b"Transfer-Encoding: chunked"),
        cl(b" 5, 9223372036854775808"),
    ],
)
def test_e01_e04_lengths_that_do_not(data: bytes) -> None:
    refused(data + SMUGGLED, limits=EQUAL)
    response = data.replace(b"POST / HTTP/1.1\r\nHost: a", b"HTTP/1.1 200 OK")
    no_answer(response, EQUAL)


def test_e04_equal_as_numbers() -> None:
    assert head_of(cl(b" 5, 05"), EQUAL)[2:] == [("content-length", "5")]


# -- allow_transfer_codings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        ((b"Transfer-Encoding: gzip, chunked",), "gzip"),
        ((b"Transfer-Encoding: GZip", b"Transfer-Encoding: Chunked"), "gzip"),
        ((b"Transfer-Encoding: deflate,x-y , chunked",), "deflate, x-y"),
    ],
)
def test_e02_codings_inside_chunked(lines: tuple[bytes, ...], want: str) -> None:
    data = post(*lines, body=b"5\r\nhello\r\n0\r\n\r\n")
    refused(data + SMUGGLED, 501)
    refused(data + SMUGGLED, 501, limits=replace(ALL, allow_transfer_codings=False))
    assert head_of(data, CODINGS) == [*FIELDS, ("transfer-encoding", want)]
    data = splitting.ok(*lines, body=b"5\r\nhello\r\n0\r\n\r\n")
    no_answer(data, Limits())
    assert answer_of(data, CODINGS) == [
        ("head", 1, 200, "", "", [("transfer-encoding", want)]),
        ("data", 1, b"hello"),
        ("tail", 1, None),
    ]


def test_e02_chunked_alone_is_not_told() -> None:
    assert head_of(te(b" chunked"), CODINGS) == FIELDS


def test_e02_codings_until_the_end_are_told() -> None:
    (head, data) = answer_of(splitting.te(b" gzip", body=b"hello"), CODINGS)
    assert head[5] == [("transfer-encoding", "gzip")]
    assert data == ("data", 1, b"hello")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (te(b" chunked, gzip"), 400),
        (te(b" gzip"), 400),
        (te(b" chunked, gzip, chunked"), 400),
        (te(b" chunked, chunked"), 400),
        (te(b" gzip,, chunked"), 400),
        (te(b" ,chunked"), 400),
        (te(b" gzip;q=1, chunked"), 501),
        (te(b' "gzip", chunked'), 501),
        (te(b" \x0bgzip, chunked"), 400),
        (te(b" gzip chunked"), 400),
        (te(b" gzip, chunked", b"Content-Length: 5"), 400),
        (
            post(
                b"Transfer-Encoding: gzip, chunked",
                first=b"POST / HTTP/1.0",
                body=b"0\r\n\r\n",
            ),
            400,
        ),
    ],
)
def test_e01_e02_e03_codings_that_stay_refused(data: bytes, status: int) -> None:
    refused(data + SMUGGLED, status, limits=CODINGS)


# -- all of them -----------------------------------------------------------------------------------

#: What the switches let pass, by a word of its name.
LENIENT = (
    "LF",
    "fold",
    "gzip",
    "agree",
    "zero twice",
    "deflate",
    "unknown",
    "identity then",
    "three lines",
    r"\n",
)


@pytest.mark.parametrize("name", [n for n in REQUESTS if not any(w in n for w in LENIENT)])
def test_e01_e02_e04_e09_e10_e11_nothing_else_is_let_pass(name: str) -> None:
    attack = REQUESTS[name]
    conn = h1_server(limits=ALL)
    feed(conn, attack.data)
    if conn.error is None:
        feed(conn, SMUGGLED)
    assert "/smuggled" not in [h[4] for h in conn.of("head")]


@pytest.mark.parametrize("name", [n for n in RESPONSES if not any(w in n for w in LENIENT)])
def test_e01_e02_e04_e21_nor_in_responses(name: str) -> None:
    response = RESPONSES[name]
    conn = asked(response.method, limits=ALL)
    feed(conn, response.data)
    assert conn.error is not None or conn.of("tail") == []
