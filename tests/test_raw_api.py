"""The contract of `cno.raw`: every name, every signature, every event, for every kind of subclass.

Written down from the API's description, not from the code: a changed name or default fails here.
"""

import asyncio
import builtins
import enum
import gc
import inspect
import weakref

import pytest

import cno
from cno import raw
from tests.rows import each_row

Headers = list[tuple[str, str]]

CONSTANTS = {
    "CNO": "REMOTE=0 LOCAL=1 SERVER=0 CLIENT=1 HTTP1=0 HTTP2=1 OK=0",
    "CNO_ERRNO": "ASSERTION=1 NO_MEMORY=2 NOT_IMPLEMENTED=3 PROTOCOL=4 INVALID_STREAM=6 "
    "WOULD_BLOCK=7 DISCONNECT=9",
    "CNO_FRAME": "DATA=0 HEADERS=1 PRIORITY=2 RST_STREAM=3 SETTINGS=4 PUSH_PROMISE=5 PING=6 "
    "GOAWAY=7 WINDOW_UPDATE=8 CONTINUATION=9 UNKNOWN=10",
    "CNO_FLAG": "ACK=1 END_STREAM=1 END_HEADERS=4 PADDED=8 PRIORITY=32",
    "CNO_RST": "NO_ERROR=0 PROTOCOL_ERROR=1 INTERNAL_ERROR=2 FLOW_CONTROL_ERROR=3 "
    "SETTINGS_TIMEOUT=4 STREAM_CLOSED=5 FRAME_SIZE_ERROR=6 REFUSED_STREAM=7 CANCEL=8 "
    "COMPRESSION_ERROR=9 CONNECT_ERROR=10 ENHANCE_YOUR_CALM=11 INADEQUATE_SECURITY=12 "
    "HTTP_1_1_REQUIRED=13",
    "CNO_SETTINGS": "HEADER_TABLE_SIZE=1 ENABLE_PUSH=2 MAX_CONCURRENT_STREAMS=3 "
    "INITIAL_WINDOW_SIZE=4 MAX_FRAME_SIZE=5 MAX_HEADER_LIST_SIZE=6 ENABLE_CONNECT_PROTOCOL=8",
}

METHODS = {
    "connection_made": "is_http2",
    "data_received": "data",
    "connection_lost": "exc=None",
    "shutdown": "",
    "configure": "*header_table_size *enable_push *max_concurrent_streams *initial_window_size "
    "*max_frame_size *max_header_list_size *enable_connect_protocol",
    "write_head": "stream code method path headers final",
    "write_push": "stream method path headers",
    "write_data": "stream data final",
    "write_tail": "stream trailers",
    "write_reset": "stream code",
    "write_ping": "data",
    "write_frame": "type flags stream payload",
    "open_flow": "stream delta",
    "close": "",
}

EVENTS = {
    "on_writev": "chunks",
    "on_close": "",
    "on_stream_start": "stream",
    "on_stream_end": "stream code side",
    "on_flow_increase": "stream",
    "on_message_head": "stream code method path headers",
    "on_message_data": "stream data",
    "on_message_tail": "stream trailers",
    "on_message_push": "stream parent method path headers",
    "on_frame": "frame",
    "on_frame_send": "frame",
    "on_pong": "data",
    "on_settings": "",
    "on_upgrade": "stream",
}

SETTINGS = (
    "header_table_size",
    "enable_push",
    "max_concurrent_streams",
    "initial_window_size",
    "max_frame_size",
    "max_header_list_size",
    "enable_connect_protocol",
)


def spelled(name: str) -> str:
    """The parameters of a method: keyword-only ones with a star, None where that is a default."""
    words = []
    for parameter in list(inspect.signature(getattr(raw.Connection, name)).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY:
            words.append(f"*{parameter.name}")
        elif parameter.default is None:
            words.append(f"{parameter.name}=None")
        else:
            words.append(parameter.name)
    return " ".join(words)


@each_row("group", CONSTANTS)
def test_constants(group: str) -> None:
    for word in CONSTANTS[group].split():
        name, _, value = word.partition("=")
        assert getattr(raw, f"{group}_{name}") == int(value)
        assert type(getattr(raw, f"{group}_{name}")) is int
        assert f"{group}_{name}" in raw.__all__


@each_row(
    ("face", "group"),
    [
        (raw.FrameType, "CNO_FRAME"),
        (raw.Flag, "CNO_FLAG"),
        (raw.ErrorCode, "CNO_RST"),
        (raw.Setting, "CNO_SETTINGS"),
        (raw.Errno, "CNO_ERRNO"),
        (raw.Side, "CNO"),
        (raw.Role, "CNO"),
        (raw.Version, "CNO"),
    ],
)
def test_enums_are_faces_of_the_constants(face: type[enum.IntEnum], group: str) -> None:
    for name, member in face.__members__.items():
        if (group, name) not in {("CNO_ERRNO", "OK"), ("CNO_FLAG", "NONE")}:
            assert getattr(raw, f"{group}_{name}") == member.value


@each_row("name", [*METHODS, *EVENTS])
def test_signatures(name: str) -> None:
    assert spelled(name) == {**METHODS, **EVENTS}[name]


def test_the_constructor() -> None:
    # Compiled, `__init__` has no signature to look at.
    limits = cno.Limits()
    raw.Connection(True)
    raw.Connection(server=False, limits=limits, clock=lambda: 0.0)
    raw.Connection(False, limits=None, clock=None)
    with pytest.raises(TypeError):
        raw.Connection()  # type: ignore[call-arg]  # that is what is tested
    with pytest.raises(TypeError):
        raw.Connection(True, limits)  # type: ignore[call-arg]  # that is what is tested


def test_every_public_name_is_there() -> None:
    for name in raw.__all__:
        assert hasattr(raw, name), name


def test_attributes() -> None:
    connection = raw.Connection(True)
    assert connection.manual_flow_control is False
    assert connection.disallow_h2_upgrade is True
    assert connection.disallow_h2_prior_knowledge is False
    assert connection.scheme == "http"
    assert connection.is_http2 is False
    assert raw.Connection(False).next_stream == 1
    for settings in (connection.local_settings, connection.remote_settings):
        for name in SETTINGS:
            value: int = getattr(settings, name)
            with pytest.raises(AttributeError):
                setattr(settings, name, value)


class Pushed(raw.Connection):
    def on_message_push(self, *given: object) -> None: ...


@pytest.mark.parametrize("server", [False, True])
def test_settings_of_a_connection_are_its_own(server: bool) -> None:
    """Those of the same limits begin alike; what one of them changes does not reach others."""
    limits = raw.Limits(initial_window_size=77_777)
    first, second = raw.Connection(server, limits=limits), Pushed(server, limits=limits)
    first.configure(header_table_size=1, initial_window_size=2)
    third = raw.Connection(server, limits=limits)
    assert first.local_settings.initial_window_size == 2
    for each in (second, third):
        assert each.local_settings.initial_window_size == 77_777
        assert each.local_settings.header_table_size == 4096
        assert each.local_settings.enable_push == (each is second and not server)
    other = raw.Connection(server, limits=raw.Limits(initial_window_size=88_888))
    assert other.local_settings.initial_window_size == 88_888


@each_row("name", SETTINGS)
def test_configure_names_every_setting(name: str) -> None:
    connection = raw.Connection(False)
    before = connection.local_settings
    wanted = {"enable_push": True, "enable_connect_protocol": True}.get(name, 20_000)
    connection.configure(**{name: wanted})
    for other in SETTINGS:
        expected = wanted if other == name else getattr(before, other)
        assert getattr(connection.local_settings, other) == expected


def test_errors_are_builtin_connection_errors() -> None:
    kinds = {
        raw.UsageError: raw.CNO_ERRNO_ASSERTION,
        raw.UnsupportedError: raw.CNO_ERRNO_NOT_IMPLEMENTED,
        raw.ProtocolError: raw.CNO_ERRNO_PROTOCOL,
        raw.InvalidStreamError: raw.CNO_ERRNO_INVALID_STREAM,
        raw.WouldBlockError: raw.CNO_ERRNO_WOULD_BLOCK,
        raw.DisconnectError: raw.CNO_ERRNO_DISCONNECT,
        raw.NoMemoryError: raw.CNO_ERRNO_NO_MEMORY,
    }
    for kind, errno in kinds.items():
        error = kind("what")
        assert isinstance(error, raw.ConnectionError)
        assert isinstance(error, builtins.ConnectionError)
        assert (error.errno, error.strerror) == (errno, "what")
        assert (error.stream, error.code, error.rule) == (0, 0, "")


# -- subclasses --------------------------------------------------------------------------------


class Log:
    """Collects what is called; a mixin, so that every subclass below is tested the same way."""

    log: list[tuple[object, ...]]

    def on_close(self) -> None:
        self.log.append(("on_close",))

    def on_stream_start(self, stream: int) -> None:
        self.log.append(("on_stream_start", stream))

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        self.log.append(("on_stream_end", stream, code, side))

    def on_flow_increase(self, stream: int) -> None:
        self.log.append(("on_flow_increase", stream))

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        self.log.append(("on_message_head", stream, code, method, path, headers))

    def on_message_data(self, stream: int, data: bytes) -> None:
        self.log.append(("on_message_data", stream, data))

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        self.log.append(("on_message_tail", stream, trailers))

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: Headers
    ) -> None:
        self.log.append(("on_message_push", stream, parent, method, path, headers))

    def on_frame(self, frame: raw.Frame) -> None:
        self.log.append(("on_frame", frame.type, frame.flags, frame.stream, frame.payload))

    def on_frame_send(self, frame: raw.Frame) -> None:
        self.log.append(("on_frame_send", frame.type, frame.flags, frame.stream, frame.payload))

    def on_pong(self, data: bytes) -> None:
        self.log.append(("on_pong", data))

    def on_settings(self) -> None:
        self.log.append(("on_settings",))

    def on_upgrade(self, stream: int) -> None:
        self.log.append(("on_upgrade", stream))


class Plain(Log, raw.Connection):
    def __init__(self, server: bool) -> None:
        super().__init__(server)
        self.log = []
        self.sent = b""

    def on_writev(self, chunks: list[bytes]) -> None:
        self.log.append(("on_writev", len(chunks)))
        self.sent += b"".join(chunks)

    def take(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent


class SecondBase(Plain, asyncio.Protocol):  # type: ignore[misc]  # connection_made differs
    pass


class Grandchild(SecondBase):
    pass


KINDS = pytest.mark.parametrize("kind", [Plain, SecondBase, Grandchild])


def pump(client: Plain, server: Plain) -> None:
    """Pass what either has written to the other until both are silent."""
    while True:
        out, back = client.take(), server.take()
        if not out and not back:
            return
        server.data_received(out)
        client.data_received(back)


def names(connection: Plain) -> set[object]:
    return {entry[0] for entry in connection.log}


@KINDS
def test_a_subclass_receives_every_event(kind: type[Plain]) -> None:
    client, server = kind(False), kind(True)
    client.connection_made(True)
    server.connection_made(True)
    pump(client, server)
    client.write_head(1, 0, "POST", "/", [(":authority", "a")], False)
    assert client.write_data(1, b"hello", False) == 5
    client.write_tail(1, [("sum", "5")])
    pump(client, server)
    server.write_push(1, "GET", "/style.css", [(":authority", "a")])
    server.write_head(1, 200, "", "", [], True)
    server.write_head(2, 200, "", "", [], True)
    client.write_ping(b"12345678")
    server.open_flow(0, 1_000)
    pump(client, server)
    client.shutdown()
    pump(client, server)
    h1 = kind(True)
    h1.connection_made(False)
    h1.data_received(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")

    assert ("on_message_head", 1, 0, "POST", "/", [(":scheme", "http"), (":authority", "a")]) in (
        server.log
    )
    assert ("on_message_data", 1, b"hello") in server.log
    assert ("on_message_tail", 1, [("sum", "5")]) in server.log
    push = ("on_message_push", 2, 1, "GET", "/style.css")
    assert (*push, [(":scheme", "http"), (":authority", "a")]) in client.log
    assert ("on_stream_end", 1, 0, raw.CNO_LOCAL) in server.log
    assert ("on_stream_end", 1, 0, raw.CNO_REMOTE) in client.log
    assert ("on_pong", b"12345678") in client.log
    assert ("on_upgrade", 1) in h1.log
    assert names(client) | names(server) | names(h1) == set(EVENTS)


def test_events_that_nobody_overrides_do_nothing() -> None:
    server = raw.Connection(True)
    server.connection_made(False)
    server.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.write_head(1, 204, "", "", [], True)
    server.connection_lost()


class Raising(Plain):
    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        raise ZeroDivisionError(path)


@pytest.mark.parametrize("is_http2", [True, False])
def test_an_exception_of_an_event_comes_out_and_the_connection_lives(is_http2: bool) -> None:
    client, server = Plain(False), Raising(True)
    client.connection_made(is_http2)
    server.connection_made(is_http2)
    pump(client, server)
    client.write_head(1, 0, "GET", "/x", [(":authority", "a")], True)
    with pytest.raises(ZeroDivisionError, match="/x"):
        server.data_received(client.take())
    server.data_received(b"")
    assert ("on_message_tail", 1, None) in server.log
    server.write_head(1, 500, "", "", [], True)
    pump(client, server)
    assert ("on_message_tail", 1, None) in client.log


def test_a_connection_is_freed_without_the_garbage_collector() -> None:
    client, server = Plain(False), Plain(True)
    client.connection_made(True)
    server.connection_made(True)
    client.write_head(1, 0, "GET", "/", [(":authority", "a")], False)
    pump(client, server)
    gc.disable()
    try:
        gone = weakref.ref(server)
        del server
        assert gone() is None
    finally:
        gc.enable()


def test_data_may_be_any_octets() -> None:
    for kind in (bytes, bytearray, memoryview):
        client, server = Plain(False), Plain(True)
        client.connection_made(True)
        server.connection_made(True)
        pump(client, server)
        client.write_head(1, 0, "POST", "/", [(":authority", "a")], False)
        assert client.write_data(1, kind(b"hello"), True) == 5
        server.data_received(kind(client.take()))
        assert ("on_message_data", 1, b"hello") in server.log


def test_limits_are_what_was_passed() -> None:
    server = raw.Connection(True, limits=cno.Limits(max_concurrent_streams=7))
    assert server.local_settings.max_concurrent_streams == 7
