"""A connection without sockets and without waiting: a transport in memory, a clock that jumps.

`VirtualLoop` is asyncio's event loop with a simulated clock: when no callback is ready, the clock
jumps to the next timer. `Remote` is the peer at the other end of a connection, with its TLS if
there is any. Knows asyncio's contract for transports. Must never know what `cno` does with one.
"""

import asyncio
import selectors
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

#: Seconds on the clock at the beginning: to some, 0 stands for "not yet".
START = 1000.0
#: And at the end: no test takes so long.
END = 10_000.0


class JumpingSelector(selectors.DefaultSelector):
    """Polls, and moves the clock instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.on_quiet: Callable[[], object] | None = None  # called when nothing is left to do now
        self.on_idle: Callable[[], object] | None = None  # called when no timer is left either

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.on_quiet is not None:
            told, self.on_quiet = self.on_quiet, None
            told()
        elif timeout is not None:
            self.now += timeout
            if self.now > END:
                raise AssertionError("a timer is set again and again, for ever")
        elif self.on_idle is not None:
            told, self.on_idle = self.on_idle, None
            told()
        else:
            raise AssertionError("the test waits for what will never happen")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which time passes at once. `failures` is what its handler was told."""

    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        self.failures: list[dict[str, Any]] = []
        super().__init__(self.jumping)
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    def time(self) -> float:
        return self.jumping.now

    async def quiet(self) -> None:
        """Wait until nothing more happens unless time passes."""
        done = self.create_future()
        self.jumping.on_quiet = lambda: self.call_soon(done.set_result, None)
        await done

    async def idle(self) -> None:
        """Wait until no timer is left: all that will ever happen by itself has happened."""
        done = self.create_future()
        self.jumping.on_idle = lambda: self.call_soon(done.set_result, None)
        await done


class FakeSocket:
    """What a transport says its socket is: it knows only whether it is to be closed by RST."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM

    def __init__(self) -> None:
        self.resets = False

    def fileno(self) -> int:
        return -1

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.resets = True


class MemoryTransport(asyncio.Transport):
    """The near end: behaves as asyncio's transport of a socket does.

    While `stuck`, the system takes nothing, and what is written waits.
    """

    _start_tls_compatible = True  # for `loop.start_tls`

    def __init__(self, loop: asyncio.AbstractEventLoop, on_data: Callable[[bytes], object]) -> None:
        super().__init__()
        self.loop = loop
        self.sock = FakeSocket()
        self.stuck = False
        self.sent_eof = False  # FIN, once all is written
        self.aborted = False
        self.lost = False  # connection_lost() has been called, or soon will be
        self.lost_at = 0.0
        self.eof_at = 0.0
        self.on_data = on_data
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self._buffer = bytearray()
        self._input: list[bytes | None] = []  # received, while reading was paused; None: the end
        self._high = 65_536
        self._full = False
        self._reading = True
        self._closing = False

    # -- asyncio.Transport -----------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.loop.call_soon(self._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65_536 if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: Any) -> None:
        if self.sent_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.lost:
            return
        if not self.stuck:
            self.on_data(bytes(data))
            return
        self._buffer += data
        if len(self._buffer) > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing:
            self.sent_eof = True
            self.eof_at = self.loop.time()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        self._force_close(None)

    def _force_close(self, exc: Exception | None) -> None:  # asyncio's TLS calls it
        self._closing = True
        self._buffer.clear()
        if not self.lost:
            self.aborted = exc is None
            self._lose(exc)

    def _lose(self, exc: Exception | None) -> None:
        self.lost = True
        self.lost_at = self.loop.time()
        self.loop.call_soon(self.protocol.connection_lost, exc)

    # -- the far end -----------------------------------------------------------------------------

    @property
    def silent(self) -> bool:
        """Whether FIN is out, with all that was written before it."""
        return (self.sent_eof or self.lost) and not self._buffer

    def receive(self, data: bytes | None) -> None:
        """Bytes have come; None: the end (FIN)."""
        self._input.append(data)
        self.loop.call_soon(self._deliver)

    def take(self) -> None:
        """The system takes again what is written, and what has waited."""
        self.stuck = False
        data = bytes(self._buffer)
        self._buffer.clear()
        if data and not self.lost:
            self.on_data(data)
            if self._full:
                self._full = False
                self.protocol.resume_writing()
            if self._closing:
                self._lose(None)

    def fail(self, exc: Exception | None) -> None:
        """The network, or whoever owns the transport, ends the connection."""
        self._force_close(exc)
        self.aborted = False

    def _deliver(self) -> None:
        while self._input and self.is_reading():
            data = self._input.pop(0)
            if data is None:
                self._reading = False
                if not cast(asyncio.Protocol, self.protocol).eof_received():
                    self.close()
            elif isinstance(self.protocol, asyncio.BufferedProtocol):
                while data:
                    buffer = memoryview(self.protocol.get_buffer(len(data)))
                    size = min(len(buffer), len(data))
                    buffer[:size] = data[:size]
                    self.protocol.buffer_updated(size)
                    data = data[size:]
            else:
                cast(asyncio.Protocol, self.protocol).data_received(data)


class Remote:
    """The peer's end of a connection. `seen` is what it was sent, in clear.

    `says_goodbye`: the near end has sent close_notify.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.seen = bytearray()
        self.on_seen: Callable[[], object] = lambda: None
        self.says_goodbye = False
        self.near = MemoryTransport(loop, self._arrived)
        self.transport: asyncio.Transport = self.near  # that of the protocol under test
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._shaken = False

    def connect(self, protocol: asyncio.Protocol) -> None:
        """Make the connection, in clear."""
        self.near.set_protocol(protocol)
        protocol.connection_made(self.near)

    async def connect_tls(
        self, protocol: asyncio.Protocol, ours: ssl.SSLContext, theirs: ssl.SSLContext, server: bool
    ) -> None:
        """Make the connection over TLS; `ours` is the near end's, which may be the server's."""
        self._tls = theirs.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=not server,
            server_hostname="localhost" if server else None,
        )
        self.near.set_protocol(protocol)
        if server:
            self.loop.call_soon(self._pump)
        transport = await self.loop.start_tls(
            self.near,
            protocol,
            ours,
            server_side=server,
            server_hostname=None if server else "localhost",
        )
        assert transport is not None
        self.transport = transport
        protocol.connection_made(transport)

    def send(self, data: bytes) -> None:
        if self._tls is None:
            self.near.receive(data)
        else:
            self._tls.write(data)
            self._flush()

    def end(self, goodbye: bool = False) -> None:
        """Send FIN; over TLS behind a close_notify, if `goodbye`."""
        if self._tls is not None and goodbye:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # the other side's has not come yet
            self._flush()
        self.near.receive(None)

    def _arrived(self, data: bytes) -> None:
        if self._tls is None:
            self.seen += data
            self.on_seen()
        else:
            self._incoming.write(data)
            self._pump()

    def _pump(self) -> None:
        """TLS: go on with what has come."""
        assert self._tls is not None
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while True:
                data = self._tls.read(65_536)
                if not data:
                    self.says_goodbye = True
                    break
                self.seen += data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.says_goodbye = True
        self._flush()
        self.on_seen()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self.near.receive(data)
