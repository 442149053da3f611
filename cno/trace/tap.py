"""Connects a trace to a connection: a base class for it, and a transport around its transport.

Knows asyncio's protocols and transports. Must never know what the bytes mean.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from cno.trace.hook import Tap, Tracer


class Traced(asyncio.Protocol):
    """A base class before `Client` or `Server`: `class TracedClient(Traced, Client)`.

    Set `trace` before the connection is made; without it, nothing is traced. (`sendfile` of an
    HTTP/1.1 server bypasses the transport: the trace does not see these bytes.)
    """

    #: The trace, and the part of it that is about this connection.
    trace: Tracer | None
    tap: Tap | None
    #: Whether the connection is a server's.
    traced_as_server = False

    def trace_by(self, tracer: Tracer) -> None:
        """Set the trace."""
        self.trace = tracer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        trace = getattr(self, "trace", None)
        self.tap = None
        if trace is not None:
            secured = transport.get_extra_info("ssl_object")
            http2 = None if secured is None else secured.selected_alpn_protocol() == "h2"
            self.tap = trace.open(self.traced_as_server, http2)
            if self.tap is not None:
                transport = TappedTransport(transport, self.tap)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.tap is not None:
            self.tap.received(data)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.tap is not None:
            self.tap.closed()
        super().connection_lost(exc)


class TappedTransport(asyncio.Transport):
    """A transport that shows a trace what is written, and does as another transport does."""

    def __init__(self, transport: Any, tap: Tap) -> None:
        super().__init__()
        self._transport = transport
        self._tap = tap

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._tap.sent(data)
        self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        chunks = list(list_of_data)
        for chunk in chunks:
            self._tap.sent(chunk)
        self._transport.writelines(chunks)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def write_eof(self) -> None:
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return bool(self._transport.can_write_eof())

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._transport.get_protocol()
        return protocol

    def is_reading(self) -> bool:
        return bool(self._transport.is_reading())

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return int(self._transport.get_write_buffer_size())

    def get_write_buffer_limits(self) -> tuple[int, int]:
        limits: tuple[int, int] = self._transport.get_write_buffer_limits()
        return limits
