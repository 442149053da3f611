"""A connected, non-blocking socket, in clear text, with TLS, or with TLS within TLS.

TLS runs on memory buffers, so that no thread waits for the socket while it uses TLS. Must never
know HTTP.
"""

import socket
import ssl
from typing import Any, Final, final

from mypy_extensions import i64

from cno.sync.waker import Poller, Waker
from cno.trace.hook import Tap

#: Bytes of one read from the socket: at first, and after one that was as large.
FIRST_READ: Final = 16_384
LARGEST_READ: Final = 262_144
#: Bytes of one piece of decrypted data, a TLS record's (RFC 8446 5.1).
RECORD: Final = 16_384
#: Pieces that one call of `sendmsg` takes.
MOST_PIECES: Final = 64

# How the input has ended.
NO_END: Final = 0
FULL_END: Final = 1
BARE_END: Final = 2  # TLS without close_notify: anybody on the path can do that


@final
class TlsLayer:
    """One TLS session, on memory buffers."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session: Any = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=server_name
        )
        self.end: i64 = NO_END

    def handshake(self) -> bool:
        """Continue the handshake; return whether it is complete. Raises ssl.SSLError."""
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, pieces: list[bytes]) -> bytes:
        for piece in pieces:
            if piece:
                self.session.write(piece)
        return bytes(self.outgoing.read())

    def decrypt(self, data: bytes) -> list[bytes]:
        """Return the plaintext of these bytes; b"" is the end of input. Raises ssl.SSLError."""
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        found: list[bytes] = []
        try:
            while self.end == NO_END:
                piece: bytes = self.session.read(RECORD)
                if piece:
                    found.append(piece)
                else:
                    self.end = FULL_END
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.end = FULL_END
        except ssl.SSLError:
            # OpenSSL reports an end without close_notify as a protocol violation.
            if data:
                raise
            self.end = BARE_END
        return found


@final
class Transport:
    """A socket, the TLS sessions over it (the first is the outermost one), and its waker."""

    def __init__(self, sock: socket.socket, waker: Waker) -> None:
        self.sock: Any = sock
        self.waker = waker
        self.poller = Poller(sock.fileno(), waker)
        self.layers: list[TlsLayer] = []
        self.end: i64 = NO_END
        self.is_paused = False  # do not read from the socket for now
        self.tap: Tap | None = None  # of a trace
        self.written: i64 = 0  # bytes of the output so far, before encryption
        self.round_trip = 0.0  # seconds that the last PING took
        self._size: i64 = FIRST_READ

    def receive(self) -> bytes | None:
        """Return input of the socket, b"" at its end, None if it has none now.

        Raises OSError.
        """
        try:
            data: bytes = self.sock.recv(self._size)
        except BlockingIOError:
            return None
        if len(data) == self._size:
            self._size = LARGEST_READ
        elif len(data) < FIRST_READ:
            self._size = FIRST_READ
        return data

    def decrypted(self, data: bytes) -> list[bytes]:
        """Return the plaintext of the socket's input; sets `end` at the end of input.

        Raises ssl.SSLError.
        """
        if not self.layers:
            if not data:
                self.end = FULL_END
                return []
            return [data]
        pieces = [data]
        at_end = not data
        for layer in self.layers:
            found: list[bytes] = []
            for piece in pieces:
                if piece:
                    found += layer.decrypt(piece)
            if at_end and layer.end == NO_END:
                found += layer.decrypt(b"")
            at_end = layer.end != NO_END
            self.end = layer.end
            pieces = found
        return pieces

    def encrypted(self, pieces: list[bytes]) -> list[bytes]:
        """Return these bytes encrypted, with the pending records of TLS itself."""
        at = len(self.layers) - 1
        while at >= 0:
            data = self.layers[at].encrypt(pieces)
            pieces = [data] if data else []
            at -= 1
        return pieces

    def send(self, pieces: list[bytes]) -> int:
        """Send a part of these; return how many bytes that was. Raises OSError."""
        try:
            if len(pieces) == 1:
                return int(self.sock.send(pieces[0]))
            if hasattr(self.sock, "sendmsg"):
                return int(self.sock.sendmsg(pieces[:MOST_PIECES]))
            return int(self.sock.send(b"".join(pieces)))
        except BlockingIOError:
            return 0

    def end_output(self) -> None:
        """Half-close the connection."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer has gone

    @property
    def session(self) -> Any:
        """The innermost TLS session; None in clear text."""
        return self.layers[len(self.layers) - 1].session if self.layers else None

    def close(self) -> None:
        """Close the socket. (`goodbye` sends close_notify before.)"""
        self.sock.close()
        self.waker.close()

    def __del__(self) -> None:
        self.close()  # if the thread that made it was interrupted

    def goodbye(self) -> None:
        """Send close_notify, if that is possible without waiting."""
        for at in range(len(self.layers) - 1, -1, -1):
            try:
                self.layers[at].session.unwrap()
            except (ssl.SSLError, ValueError):
                pass  # the peer's close_notify is missing: do not wait for it
            except OSError:
                return
        try:
            if self.layers:
                pieces = self.encrypted([])
                if pieces:
                    self.send(pieces)
        except OSError:
            pass  # the peer has gone


def rest_of(pieces: list[bytes], sent: int) -> list[bytes]:
    """Return the rest of these pieces after their first `sent` bytes."""
    at = 0
    while at < len(pieces) and sent >= len(pieces[at]):
        sent -= len(pieces[at])
        at += 1
    left = pieces[at:]
    if sent > 0 and left:
        left[0] = left[0][sent:]
    return left
