"""Connect sockets: "Happy Eyeballs" (RFC 8305) and TLS handshakes, within a time limit.

One thread waits for all attempts. Must never know the protocol of a connection.
"""

import os
import select
import socket
import time
from collections.abc import Iterable
from errno import EINPROGRESS, EWOULDBLOCK
from ssl import SSLContext
from typing import Any, Final, final

from cno.aio.client.connect_errors import connect_timeout
from cno.aio.client.happy_eyeballs import (
    ATTEMPT_DELAY,
    SocketOptions,
    address_text,
    alternating,
    merged,
)
from cno.aio.errors import ConnectTimeoutError
from cno.sync.timeouts import FOREVER, Deadlines, Expiry
from cno.sync.transport import NO_END, TlsLayer, Transport, rest_of
from cno.sync.waker import CAN_POLL, IN, OUT, Waker, milliseconds

#: Seconds between two attempts to connect to a Unix socket whose backlog is full.
BACKLOG_PAUSE: Final = 0.01
#: Seconds that a connection may still take when its request has got another one. Most are made
#: by then, for the requests that come next; the request does not wait for those that hang.
SPARE_TIME: Final = 0.25


class DialCancelledError(Exception):
    """The request has got another connection."""


@final
class Dialing:
    """The deadline of a connection that is being made, and whether it was cancelled.

    `by_limits`: the deadline is that of `Limits`, not of a request.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self.deadlines = deadlines
        now = time.monotonic()
        left = deadlines.total_at - now
        self.by_limits = deadlines.by_limits_connect and deadlines.connect <= left
        self.patience = min(deadlines.connect, left)
        self.until = now + self.patience
        self.waker = Waker()
        self.cancelled = Expiry()

    def cancel(self, spare_time: float = 0.0) -> None:
        """Make the dialing thread stop, unless the connection is made in this time (seconds)."""
        self.cancelled.at = min(self.cancelled.at, time.monotonic() + spare_time)
        self.waker.wake()

    def check(self) -> float:
        """Return the seconds that are left. Raises ConnectTimeoutError, DialCancelledError."""
        now = time.monotonic()
        if now >= self.cancelled.at:
            raise DialCancelledError
        left = min(self.until, self.cancelled.at) - now
        if left <= 0.0:
            if self.by_limits:
                raise connect_timeout(self.patience)
            raise ConnectTimeoutError(f"no connection within {self.patience:.3g} s")
        return left


def connected(dialing: Dialing, host: str, port: int, options: SocketOptions | None) -> Transport:
    """Return a transport to a host. Raises OSError, whose text names every address."""
    infos: list[Any] = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    sock = first_to_answer(dialing, infos, options)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Transport(sock, dialing.waker)
    except BaseException:
        sock.close()
        raise


def connected_to_path(dialing: Dialing, path: str) -> Transport:
    """Return a transport to a Unix socket. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                return Transport(sock, dialing.waker)
            except BlockingIOError:
                pass  # the server's backlog is full, and nothing tells when it has room
            writable([], dialing.waker, min(dialing.check(), BACKLOG_PAUSE))
    except BaseException:
        sock.close()
        raise


@final
class Attempts:
    """The sockets that are being connected, and the addresses that have failed."""

    def __init__(self) -> None:
        self.open: dict[int, tuple[socket.socket, str]] = {}
        self.problems: list[tuple[str, OSError]] = []
        self.made: socket.socket | None = None

    def start(self, info: Any, options: SocketOptions | None) -> None:
        """Begin to connect to one address."""
        where = address_text(info[4])
        sock: socket.socket | None = None
        is_known = False
        try:
            sock = socket.socket(info[0], info[1], info[2])
            self.open[sock.fileno()] = (sock, where)
            is_known = True
            sock.setblocking(False)
            if options is not None:
                options.apply(sock)
            code = sock.connect_ex(info[4])
            if code == 0:
                self.take(sock)
            elif code not in (EINPROGRESS, EWOULDBLOCK):
                raise OSError(code, os.strerror(code))
        except OSError as error:
            self.fail(sock, where, error)
        finally:
            if sock is not None and not is_known:
                sock.close()  # interrupted

    def check(self, number: int) -> None:
        """A socket is connected, or has failed."""
        sock, where = self.open[number]
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            if self.made is None:
                self.take(sock)
        else:
            self.fail(sock, where, OSError(code, os.strerror(code)))

    def take(self, sock: socket.socket) -> None:
        del self.open[sock.fileno()]
        self.made = sock

    def fail(self, sock: socket.socket | None, where: str, error: OSError) -> None:
        self.problems.append((where, error))
        if sock is not None:
            self.open.pop(sock.fileno(), None)
            sock.close()

    def pending(self, failed: int) -> bool:
        """Return whether to wait for the open attempts: none has succeeded, no other has failed."""
        return self.made is None and bool(self.open) and len(self.problems) == failed

    def close(self) -> None:
        for sock, _ in self.open.values():
            sock.close()
        self.open.clear()


def first_to_answer(
    dialing: Dialing, infos: list[Any], options: SocketOptions | None
) -> socket.socket:
    """Return a socket that is connected to the first address that accepts.

    Starts the next attempt when one fails, or after `ATTEMPT_DELAY`.
    """
    waiting = alternating(infos)
    attempts = Attempts()
    try:
        while attempts.made is None and (waiting or attempts.open):
            failed = len(attempts.problems)
            if waiting:
                attempts.start(waiting.popleft(), options)
                if len(attempts.problems) != failed:
                    continue
            pause = time.monotonic() + ATTEMPT_DELAY if waiting else FOREVER
            while attempts.pending(failed):
                left = min(dialing.check(), pause - time.monotonic())
                if left <= 0.0:
                    break
                for number in writable(list(attempts.open), dialing.waker, left):
                    attempts.check(number)
        if attempts.made is None:
            raise merged(attempts.problems)
        return attempts.made
    finally:
        attempts.close()


def writable(numbers: list[int], waker: Waker, timeout: float) -> list[int]:
    """Return which of these sockets are connected, or have failed."""
    woken_by = waker.fileno()
    if not CAN_POLL:
        wait = None if timeout == FOREVER else timeout
        found = select.select([woken_by], numbers, numbers, wait)
        if found[0]:
            waker.clear()
        return list(dict.fromkeys([*found[1], *found[2]]))
    poller = select.poll()
    poller.register(woken_by, select.POLLIN)
    for number in numbers:
        poller.register(number, select.POLLOUT)
    events: Iterable[tuple[int, int]] = poller.poll(milliseconds(timeout))
    found_numbers = [number for number, _ in events]
    if woken_by in found_numbers:
        found_numbers.remove(woken_by)
        waker.clear()
    return found_numbers


def secure(
    dialing: Dialing, transport: Transport, context: SSLContext, server_name: str | None
) -> None:
    """Begin TLS over a transport. Raises OSError and ssl.SSLError."""
    layer = TlsLayer(context, server_name)
    pending: list[bytes] = []
    complete = False
    while True:
        error: OSError | None = None
        try:
            complete = layer.handshake()
        except OSError as problem:
            error = problem  # its alert is still to be sent
        data: bytes = layer.outgoing.read()
        if data:
            pending += transport.encrypted([data])
        pending = send_all(dialing, transport, pending)
        if error is not None:
            raise error
        if complete:
            break
        found = next_input(dialing, transport)
        for piece in found:
            layer.incoming.write(piece)
        if not found:
            raise ConnectionResetError  # as asyncio does
    transport.layers.append(layer)


def send_all(dialing: Dialing, transport: Transport, pieces: list[bytes]) -> list[bytes]:
    """Send these, and wait while the socket's buffer is full; return an empty list."""
    while pieces:
        pieces = rest_of(pieces, transport.send(pieces))
        if pieces:
            events = 0
            while not events & OUT:
                events = transport.poller.wait(True, dialing.check())
    return pieces


def receive_up_to(dialing: Dialing, transport: Transport, size: int) -> bytes:
    """Wait for input of a socket without TLS; return up to `size` bytes, b"" at its end."""
    while True:
        try:
            data: bytes = transport.sock.recv(size)
            return data
        except BlockingIOError:
            pass
        events = 0
        while not events & IN:
            events = transport.poller.wait(False, dialing.check())


def next_input(dialing: Dialing, transport: Transport) -> list[bytes]:
    """Wait for input of a transport; an empty list is the end."""
    while True:
        data = transport.receive()
        if data is None:
            events = 0
            while not events & IN:
                events = transport.poller.wait(False, dialing.check())
            continue
        found = transport.decrypted(data)
        if found or transport.end != NO_END:
            return found
