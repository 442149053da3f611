"""Arguments of wrong types: TypeError on both builds, nothing written, and all goes on."""

import array
from collections.abc import Callable
from typing import Any

import pytest

from cno import raw
from cno.limits import Limits
from tests.rows import each_row
from tests.support import (
    POST,
    REQUEST_HEADERS,
    Recorder,
    client_with_request,
    h1_client,
    h1_server,
    request,
    server_with_request,
)


class Text(str):
    pass


class Pair(tuple[str, str]):
    pass


class Fields(list[tuple[str, str]]):
    pass


class Whole(int):
    pass


#: What there is, by what it passes for.
VALUES: list[tuple[Any, set[str]]] = [
    (None, set()),
    (object(), set()),
    (1.0, {"float"}),
    (200.5, {"float"}),
    (float("nan"), {"float"}),
    ("1", {"str"}),
    (Text("1"), {"str"}),
    (b"1", {"bytes"}),
    (bytearray(b"1"), {"bytes"}),
    (memoryview(b"12")[::2], {"bytes"}),
    (array.array("i", [1]), {"bytes"}),
    ((), set()),
    ({}, set()),
    (iter(()), set()),
    (1, {"int", "float"}),
    (Whole(1), {"int", "float"}),
    (True, {"int", "bool", "float"}),
    ([], {"list"}),
]

#: Methods with sound arguments, and what each argument is.
CALLS: dict[str, tuple[tuple[Any, str], ...]] = {
    "write_head": (
        (1, "int"),
        (200, "int"),
        ("", "str"),
        ("", "str"),
        ([], "list"),
        (False, "bool"),
    ),
    "write_push": ((1, "int"), ("GET", "str"), ("/", "str"), (list(REQUEST_HEADERS), "list")),
    "write_data": ((1, "int"), (b"", "bytes"), (False, "bool")),
    "write_tail": ((1, "int"), ([], "list")),
    "write_reset": ((1, "int"), (8, "int")),
    "write_ping": ((b"12345678", "bytes"),),
    "write_frame": ((200, "int"), (0, "int"), (0, "int"), (b"", "bytes")),
    "open_flow": ((1, "int"), (1, "int")),
    "consume": ((1, "int"), (1, "int")),
    "data_received": ((b"", "bytes"),),
    "connection_made": ((True, "bool"),),
}


def h1_server_with_request() -> Recorder:
    conn = h1_server()
    conn.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    return conn


def h1_client_with_request() -> Recorder:
    conn = h1_client()
    request(conn, final=False)
    return conn


CONNECTIONS: dict[str, Callable[[], Recorder]] = {
    "HTTP/1.1 server": h1_server_with_request,
    "HTTP/1.1 client": h1_client_with_request,
    "HTTP/2 server": lambda: server_with_request(POST)[0],
    "HTTP/2 client": lambda: client_with_request(final=False)[0],
}

EACH = pytest.mark.parametrize("kind", CONNECTIONS)


@EACH
@each_row("name", CALLS)
def test_arguments_of_wrong_types(kind: str, name: str) -> None:
    for at, (_, wanted) in enumerate(CALLS[name]):
        if wanted == "bytes" and "HTTP/1.1" in kind and name in ("write_ping", "write_frame"):
            continue  # refused before it is looked at
        for value, passes in VALUES:
            if wanted in passes:
                continue
            conn = CONNECTIONS[kind]()
            conn.take()
            conn.events.clear()
            arguments = [good for good, _ in CALLS[name]]
            arguments[at] = value
            with pytest.raises(TypeError):
                getattr(conn, name)(*arguments)
            assert conn.take() == b"", (at, value)
            assert conn.events == [], (at, value)


BAD_HEADERS: list[Any] = [
    (("a", "b"),),
    [["a", "b"]],
    [("a", "b", "c")],
    [("a",)],
    [("a", 1)],
    [("a", None)],
    [("a", b"b")],
    [(b"a", "b")],
    [None],
    ["ab"],
    [("x", "y"), ["a", "b"]],
    [("content-length", 5)],
]


@EACH
@each_row("headers", BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_headers_of_wrong_types(kind: str, headers: Any) -> None:
    conn = CONNECTIONS[kind]()
    conn.take()
    server = "server" in kind
    if not server:
        # A head of a client has an authority; that of the list in hand comes behind.
        conn = h1_client() if "HTTP/1.1" in kind else CONNECTIONS[kind]()
        conn.take()
        if isinstance(headers, list):
            headers = [*REQUEST_HEADERS, *headers]
    head = (1, 200, "", "") if server else (conn.next_stream, 0, "POST", "/")
    with pytest.raises(TypeError):
        conn.write_head(*head, headers, False)
    assert conn.take() == b""
    conn.write_head(*head, [] if server else list(REQUEST_HEADERS), False)
    conn.take()
    if server:
        with pytest.raises(TypeError):
            conn.write_tail(1, headers)
        assert conn.take() == b""


@EACH
def test_subclasses_pass(kind: str) -> None:
    server = "server" in kind
    fields = Fields([Pair(("x-a", "b")), (Text("x-c"), Text("d"))])
    conn = CONNECTIONS[kind]()
    if server:
        conn.write_head(Whole(1), Whole(200), Text(""), Text(""), fields, False)
    else:
        if "HTTP/1.1" in kind:
            conn = h1_client()
        fields = Fields([*REQUEST_HEADERS, *fields])
        conn.write_head(conn.next_stream, Whole(0), Text("POST"), Text("/"), fields, False)
    assert conn.take()


BAD_IDS = [-1, 1 << 31, 1 << 62, 1 << 63, (1 << 63) - 1, 1 << 64, -(1 << 63), -(1 << 70)]


@EACH
@each_row("id", BAD_IDS)
def test_ids_that_no_stream_has(kind: str, id: int) -> None:
    conn = CONNECTIONS[kind]()
    conn.take()
    for call in (
        lambda: conn.write_head(id, 200, "", "", [], True),
        lambda: conn.write_data(id, b"", True),
        lambda: conn.write_tail(id, []),
        lambda: conn.write_reset(id, 8),
        lambda: conn.open_flow(id, 1),
    ):
        with pytest.raises(raw.InvalidStreamError):
            call()
    conn.consume(id, 1)
    conn.consume(1, abs(id) << 40)
    assert b"".join(conn.written) == b""


def test_attributes_of_wrong_types() -> None:
    conn = Recorder(True)
    value: Any
    for name in ("manual_flow_control", "disallow_h2_upgrade", "disallow_h2_prior_knowledge"):
        for value in (None, 1, "1", 1.0):
            with pytest.raises(TypeError):
                setattr(conn, name, value)
        setattr(conn, name, True)
        assert getattr(conn, name) is True
    for value in (None, 1, b"http"):
        with pytest.raises(TypeError):
            conn.scheme = value
    conn.scheme = "https"


def test_constructors() -> None:
    value: Any
    arguments: Any
    for value in (None, 1, "server", 1 << 70):
        with pytest.raises(TypeError):
            raw.Connection(value)
    for value in ({}, 1, "x", True):
        with pytest.raises(TypeError):
            raw.Connection(True, limits=value)
    for arguments in ((1.0, 0, 0, b""), (0, "1", 0, b""), (0, 0, None, b""), (0, 0, 0, "")):
        with pytest.raises(TypeError):
            raw.Frame(*arguments)
    assert repr(raw.Frame(True, Whole(1), Whole(1), b"")) == repr(raw.Frame(1, 1, 1, b""))
    for value in (None, 1, b"x"):
        with pytest.raises(TypeError):
            raw.UsageError(value)


def test_limits_of_wrong_types() -> None:
    for value in (1, 0, "x", 1.0):
        with pytest.raises(TypeError):
            Limits(allow_bare_lf=value)  # type: ignore[arg-type]  # on purpose
    for field in ("max_pipelined", "read_chunk"):
        for wrong in (1.0, "1", b"1", [], object()):
            with pytest.raises(TypeError):
                Limits(**{field: wrong})  # type: ignore[arg-type]  # on purpose
    # An int does for a float, and a bool for an int; they become what they stand for.
    assert repr(Limits(linger_timeout=3)) == repr(Limits(linger_timeout=3.0))
    assert repr(Limits(read_chunk=True)) == repr(Limits(read_chunk=1))


@each_row("value", [None, "1", 1.0, b"1", 1 << 63, 1 << 64, -(1 << 70)])
def test_settings_are_asked_for_by_number(value: Any) -> None:
    with pytest.raises(TypeError):
        raw.Settings().get(value)


@EACH
@each_row("value", [1.0, "1", b"1", [], float("inf")])
def test_settings_are_numbers(kind: str, value: Any) -> None:
    conn = CONNECTIONS[kind]()
    conn.take()
    with pytest.raises(TypeError):
        conn.configure(initial_window_size=value)
    assert conn.take() == b""
