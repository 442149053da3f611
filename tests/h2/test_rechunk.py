"""However the bytes of a conversation are cut, the same events come out.

Knows nothing of the engine. Hypothesis makes conversations of valid and invalid exchanges, and cuts
them anywhere, empty pieces included.
"""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.support import (
    INITIAL_WINDOW_SIZE,
    POST,
    REFUSED_STREAM,
    REQUEST,
    RESPONSE,
    FrameFactory,
    Headers,
    Input,
    Make,
    Recorder,
    client,
    client_with_request,
    feed,
    frame,
    merged,
    request,
    server,
)

Step = Callable[[FrameFactory, int], bytes]

#: What a client may say about a new stream; some of it is wrong, none of it ends the connection.
TO_SERVER: dict[str, Step] = {
    "get": lambda f, s: f.headers(s, REQUEST, end_stream=True),
    "post": lambda f, s: f.headers(s, POST) + f.data(s, b"body") + f.data(s, b"more", True),
    "padded": lambda f, s: f.headers(s, POST, pad=9) + f.data(s, b"x" * 50, True, pad=40),
    "priority": lambda f, s: f.priority(s, 1) + f.headers(s, REQUEST, priority=(s, 1)),
    "trailers": lambda f, s: (
        f.headers(s, POST) + f.data(s, b"x") + f.headers(s, [("x-sum", str(s))], end_stream=True)
    ),
    "continuation": lambda f, s: in_pieces(f, s, [*REQUEST, ("x-id", str(s)), ("x-utf", "é" * 9)]),
    "reset": lambda f, s: f.headers(s, POST) + f.rst(s) + f.window_update(s, 1),
    "malformed": lambda f, s: f.headers(s, [*REQUEST, ("Bad", str(s))]) + f.data(s, b"ignored"),
    "too long": lambda f, s: f.headers(s, [*POST, ("content-length", "3")]) + f.data(s, b"1234"),
    "too short": lambda f, s: f.headers(s, [*POST, ("content-length", "3")]) + f.data(s, b"", True),
    "zero": lambda f, s: f.headers(s, POST) + f.window_update(s, 0) + f.data(s, b"ignored", True),
    "late": lambda f, s: f.headers(s, REQUEST, end_stream=True) + f.data(s, b"late"),
    "cookies": lambda f, s: f.headers(s, [*REQUEST, ("cookie", "a=b"), ("cookie", "c=d")]),
    "large": lambda f, s: f.headers(s, POST) + f.data(s, bytes(3000), True),
    "ping": lambda f, s: f.ping(s.to_bytes(8, "big")),
    "settings": lambda f, s: f.settings({INITIAL_WINDOW_SIZE: 1000 + s, 0x99: s}),
    "window": lambda f, s: f.window_update(0, s),
    "unknown": lambda f, s: frame(0x42, s & 0xFF, s, b"grease" * 5),
    "empty": lambda f, s: f.headers(s, POST) + f.data(s, b"") + f.data(s, b"", True),
}

#: What a server may say to a GET on a stream.
TO_CLIENT: dict[str, Step] = {
    "response": lambda f, s: f.headers(s, RESPONSE) + f.data(s, b"body", True),
    "no body": lambda f, s: f.headers(s, [(":status", "204")], end_stream=True),
    "early": lambda f, s: f.headers(s, [(":status", "103")]) + f.headers(s, RESPONSE),
    "push": lambda f, s: (
        f.push_promise(s, s + 1, REQUEST)
        + f.headers(s + 1, RESPONSE)
        + f.headers(s, RESPONSE, end_stream=True)
        + f.data(s + 1, b"pushed", True, pad=1)
    ),
    "bad push": lambda f, s: f.push_promise(s, s + 1, POST) + f.headers(s, RESPONSE),
    "refused": lambda f, s: f.rst(s, REFUSED_STREAM),
    "malformed": lambda f, s: f.headers(s, [(":status", "2x")]) + f.data(s, b"ignored", True),
    "no head": lambda f, s: f.data(s, b"what?"),
    "trailers": lambda f, s: f.headers(s, RESPONSE) + f.headers(s, [("x", "y")], end_stream=True),
    "ping": lambda f, s: f.ping() + f.settings(),
    "unknown": lambda f, s: frame(0xFE, 0, 0, b"?" * s),
}


def in_pieces(f: FrameFactory, stream: int, fields: Headers) -> bytes:
    """A request in HEADERS and three CONTINUATION frames."""
    block = f.block(fields)
    third = len(block) // 3
    return (
        f.headers_frame(stream, block[:third], end_stream=True, end_headers=False, pad=2)
        + f.continuation(stream, block[third : 2 * third], False)
        + f.continuation(stream, block[2 * third :], False)
        + f.continuation(stream, b"")
    )


def compare(make: Make, data: Input, cuts: list[int], *, output: bool) -> None:
    """Feed whole, and cut at these places (modulo the length): the same must come out."""
    results = []
    for places in ([], cuts):
        made = make()
        conn = made if isinstance(made, Recorder) else made[0]
        given_bytes = data if isinstance(data, bytes) else data(conn.peer)
        feed(conn, given_bytes, sorted(c % (len(given_bytes) + 1) for c in places))
        written = conn.take() if output else b""
        results.append((merged(conn.events), written, conn.error and conn.error.code))
    assert results[0] == results[1]


CUTS = st.lists(st.integers(0, 100_000), max_size=40)


@given(steps=st.lists(st.sampled_from(sorted(TO_SERVER)), min_size=1, max_size=15), cuts=CUTS)
def test_a_server_does_not_notice_the_cuts(steps: list[str], cuts: list[int]) -> None:
    def talk(f: FrameFactory) -> bytes:
        return b"".join(TO_SERVER[step](f, 2 * i + 1) for i, step in enumerate(steps))

    compare(server, talk, cuts, output=True)


@given(steps=st.lists(st.sampled_from(sorted(TO_CLIENT)), min_size=1, max_size=15), cuts=CUTS)
def test_a_client_does_not_notice_the_cuts(steps: list[str], cuts: list[int]) -> None:
    def make() -> Recorder:
        conn, _ = client()
        for _ in steps:
            request(conn)
        conn.take()
        conn.events.clear()
        return conn

    def talk(f: FrameFactory) -> bytes:
        return b"".join(TO_CLIENT[step](f, 2 * i + 1) for i, step in enumerate(steps))

    compare(make, talk, cuts, output=True)


@given(
    steps=st.lists(st.sampled_from(sorted(TO_SERVER)), max_size=5),
    junk=st.binary(max_size=60),
    cuts=CUTS,
)
def test_nor_where_the_peer_talks_nonsense(steps: list[str], junk: bytes, cuts: list[int]) -> None:
    def talk(f: FrameFactory) -> bytes:
        return b"".join(TO_SERVER[step](f, 2 * i + 1) for i, step in enumerate(steps)) + junk

    compare(server, talk, cuts, output=True)


@given(type=st.integers(0, 12), flags=st.integers(0, 255), stream=st.integers(0, 6),
       payload=st.binary(max_size=40), cuts=CUTS)  # fmt: skip
def test_nor_in_any_single_frame(
    type: int, flags: int, stream: int, payload: bytes, cuts: list[int]
) -> None:
    data = frame(type, flags, stream, payload)
    compare(server, lambda f: f.headers(1, POST) + data, cuts, output=True)
    compare(client_with_request, data, cuts, output=True)


def test_bodies_larger_than_the_windows_cut_anywhere() -> None:
    def talk(f: FrameFactory) -> bytes:
        return f.headers(1, POST) + f.data(1, bytes(range(256)) * 64) * 3 + f.data(1, b"end", True)

    for size in (1, 7, 100, 9_999):
        cuts = list(range(size, 49_000, size))
        compare(server, talk, cuts, output=False)
