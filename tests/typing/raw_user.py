"""A user's program over `cno.raw`, as strictly typed as it can be. Checked, never run.

Uses public names only, all methods and events. `assert_type` checks the types.
"""

import asyncio
from typing import assert_type

import cno
from cno import raw

Headers = list[tuple[str, str]]


class Everything(raw.Connection):
    """Overrides every event with the very signature that the documents give."""

    def __init__(self, server: bool) -> None:
        super().__init__(server, limits=cno.Limits(max_concurrent_streams=10), clock=lambda: 0.0)
        self.streams: dict[int, bytes] = {}

    def on_writev(self, chunks: list[bytes]) -> None:
        assert_type(b"".join(chunks), bytes)

    def on_close(self) -> None: ...

    def on_stream_start(self, stream: int) -> None:
        self.streams[stream] = b""

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        if code == raw.CNO_RST_NO_ERROR and side == raw.CNO_REMOTE:
            del self.streams[stream]

    def on_flow_increase(self, stream: int) -> None: ...

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        self.write_head(stream, 200, "", "", [("content-type", "text/plain")], False)

    def on_message_data(self, stream: int, data: bytes) -> None:
        self.streams[stream] += data
        self.open_flow(stream, len(data))

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        for name, value in trailers or []:
            assert_type((name, value), tuple[str, str])

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: Headers
    ) -> None:
        self.write_reset(stream, raw.CNO_RST_CANCEL)

    def on_frame(self, frame: raw.Frame) -> None:
        assert_type(frame.type, int)
        assert_type(frame.flags, int)
        assert_type(frame.stream, int)
        assert_type(frame.payload, bytes)

    def on_frame_send(self, frame: raw.Frame) -> None: ...

    def on_pong(self, data: bytes) -> None: ...

    def on_settings(self) -> None:
        assert_type(self.remote_settings.max_frame_size, int)

    def on_upgrade(self, stream: int) -> None: ...

    def close(self) -> None: ...


# Both bases have a connection_made, each with an argument of its own: the one overridden here.
class Mixed(  # type: ignore[misc]  # pyright: ignore[reportIncompatibleMethodOverride]
    raw.Connection, asyncio.Protocol
):
    """With another base; only the events that it cares about."""

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        self.shutdown()


def every_method(conn: raw.Connection) -> None:
    """Every call that there is, with every type of argument that it takes."""
    conn.manual_flow_control = True
    conn.disallow_h2_upgrade = False
    conn.disallow_h2_prior_knowledge = True
    conn.scheme = "https"
    conn.configure(header_table_size=0, enable_push=False, max_concurrent_streams=1)
    conn.configure(initial_window_size=1, max_frame_size=1 << 14)
    conn.configure(max_header_list_size=1 << 14, enable_connect_protocol=True)
    conn.connection_made(is_http2=True)
    conn.data_received(b"")
    conn.data_received(bytearray())
    conn.data_received(memoryview(b""))
    stream = assert_type(conn.next_stream, int)
    assert_type(conn.is_http2, bool)
    assert_type(conn.local_settings.initial_window_size, int)
    conn.write_head(stream, 0, "GET", "/", [(":scheme", "https"), (":authority", "a")], True)
    conn.write_push(stream, "GET", "/style.css", [])
    taken = conn.write_data(stream, b"", False)
    assert_type(taken, int)
    conn.write_data(stream, bytearray(), False)
    conn.write_data(stream, memoryview(b""), True)
    conn.write_tail(stream, [("grpc-status", "0")])
    conn.write_reset(0, raw.CNO_RST_NO_ERROR)
    conn.write_ping(b"12345678")
    conn.write_frame(0xBE, 0, 0, b"payload")
    conn.open_flow(0, 1024)
    conn.shutdown()
    conn.connection_lost()
    conn.connection_lost(OSError())
    conn.connection_lost(exc=None)
    conn.close()


def errors(conn: raw.Connection, data: bytes) -> str:
    """What can be raised, and what is known of it."""
    try:
        conn.data_received(data)
    except raw.WouldBlockError:
        return "wait"
    except raw.ProtocolError as error:
        assert_type(error.code, int)
        return error.rule
    except (raw.UsageError, raw.InvalidStreamError, raw.DisconnectError):
        raise
    except raw.ConnectionError as error:
        assert_type(error.stream, int)
        return f"{error.errno == raw.CNO_ERRNO_PROTOCOL} {error.strerror}"
    return ""


def constants() -> tuple[int, int, int, int, int]:
    return (
        raw.CNO_SERVER,
        raw.CNO_HTTP2,
        raw.CNO_FRAME_UNKNOWN,
        raw.CNO_FLAG_END_STREAM,
        raw.CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL,
    )
