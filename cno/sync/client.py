"""One connection of a client: `cno.sync.connect`.

Must never know how a connection is made.
"""

import time
from collections.abc import Iterable
from types import TracebackType

from cno.aio.client.request_spec import completed
from cno.aio.errors import ConnectionLostError, not_sent
from cno.aio.fields import Headers, as_list
from cno.errors import UnsupportedError
from cno.stats import ConnectionStats
from cno.sync.connection_io import abort, begin, end, push_out, read_now, shut
from cno.sync.exchange import NO_SLOT, OnInformational
from cno.sync.messages import Response, answered, opened
from cno.sync.parker import Parker
from cno.sync.polling import wait
from cno.sync.request_spec import RequestSpec, tunnel_request
from cno.sync.sources import Body
from cno.sync.state import Link
from cno.sync.stats import link_stats, stats_of
from cno.sync.timeouts import FOREVER, Deadlines
from cno.sync.tunnel import Tunnel
from cno.sync.upgrade_refused import UpgradeRefused
from cno.timeouts import Timeout, as_timeout


class SlotParker(Parker):
    """A thread whose request waits until the connection accepts it."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def done(self) -> bool:
        link = self._link
        return not link.is_open() or link.slots() > 0


class SettingsParker(Parker):
    """A thread that waits for the server's first SETTINGS."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def done(self) -> bool:
        return self._link.is_lost or not self._link.is_greeting()


class PongParker(Parker):
    """A thread that waits for the response to a PING."""

    def __init__(self, link: Link, data: bytes) -> None:
        super().__init__()
        self._link = link
        self._data = data

    def done(self) -> bool:
        return self._link.is_lost or self._link.times.pongs[self._data] != 0.0


class Client:
    """One connection of a client, made by `cno.sync.connect`. Any number of threads may use it.

    `with` closes the connection at its end.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pings = 0
        self._no_deadlines = Deadlines(link._limits, None)

    @property
    def authority(self) -> str | None:
        """The authority of all requests that do not name another in their headers."""
        return self._link.authority

    @property
    def scheme(self) -> str:
        """The scheme of all requests."""
        return self._link.scheme

    @property
    def is_http2(self) -> bool:
        """Whether the connection speaks HTTP/2."""
        return self._link.is_http2

    def stats(self) -> ConnectionStats:
        """Return a look at the connection: streams, windows, limits, and counts if it is traced."""
        link = self._link
        found = stats_of(link.guard)
        return found[0] if found else link_stats(link)

    def request(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
        timeout: "Timeout | float | None" = None,
        on_informational: OnInformational | None = None,
    ) -> Response:
        """Send a request; return its response when its head has been received.

        `path` has the query. `data` is bytes-like, a binary file (read from its position on, and
        not closed; its size is sent as content-length), or any other iterable of bytes. If the
        response begins before all of it is sent, reading the response sends the rest. `trailers`
        are read when the body has ended. `timeout` is a total in seconds, or a `Timeout`; by
        default, the limits of the connection apply. `on_informational` is called with the code and
        the fields of each interim (1xx) response.

        Waits while the server allows no more requests at once; HTTP/1.1 has one at a time. Raises
        ConnectionLostError and StreamError (`retryable` if the server has not processed the
        request, or the method is idempotent), UsageError for an invalid request, TypeError or
        ValueError for an invalid body, EOFError for a file that has become shorter, and all errors
        of reading `data`. A timeout raises a StreamError that is also a TimeoutError.
        """
        link = self._link
        fields = completed(as_list(headers), link.authority, link.credentials)
        spec = RequestSpec(method, path, fields, data, trailers)
        return self._send(spec, timeout, on_informational)

    def _send(
        self,
        spec: RequestSpec,
        timeout: "Timeout | float | None",
        on_informational: OnInformational | None,
    ) -> Response:
        link = self._link
        found = as_timeout(timeout)
        deadlines = self._no_deadlines if found is None else Deadlines(link._limits, found)
        response: Response | None = None
        done = False
        try:
            response = open_in_order(link, spec, deadlines)
            answered(response, spec, on_informational)
            done = True
            return response
        finally:
            if not done:
                spec.dispose()

    def upgrade(
        self,
        protocol: str,
        path: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        *,
        timeout: "Timeout | float | None" = None,
    ) -> Tunnel:
        """Ask for another protocol, and return a byte stream to speak it.

        HTTP/1.1: GET with `Upgrade` (RFC 9110 7.8); HTTP/2: extended CONNECT (RFC 8441), which the
        server must have announced. Raises UpgradeRefused for any other answer than 101, or 2xx, and
        what `request` raises.
        """
        link = self._link
        fields = completed(as_list(headers), link.authority, link.credentials)
        if link.is_http2:
            self._await_settings()
            fields = [(":protocol", protocol), *fields]
            return self._tunnel(tunnel_request("CONNECT", path, fields), timeout)
        fields = [*fields, ("connection", "upgrade"), ("upgrade", protocol)]
        return self._tunnel(RequestSpec("GET", path, fields, b"", None), timeout)

    def tunnel(
        self,
        authority: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        timeout: "Timeout | float | None" = None,
    ) -> Tunnel:
        """Ask a proxy for a byte stream to `authority` (host and port), by CONNECT.

        Raises UpgradeRefused for any other answer than 2xx, and what `request` raises. Over
        HTTP/1.1 the connection ends with such an answer. (RFC 9110 9.3.6, RFC 9931)
        """
        fields = [(":authority", authority), *as_list(headers)]
        return self._tunnel(tunnel_request("CONNECT", "", fields), timeout)

    def _tunnel(self, spec: RequestSpec, timeout: "Timeout | float | None") -> Tunnel:
        response = self._send(spec, timeout, None)
        is_open = response.code == 101 if spec.method == "GET" else 200 <= response.code < 300
        if not is_open:
            raise UpgradeRefused(response)
        return Tunnel(response)

    def _await_settings(self) -> None:
        """Wait for the server's first SETTINGS, which announce extended CONNECT."""
        link = self._link
        if link.is_greeting():
            wait(link, SettingsParker(link), FOREVER)  # until `Limits.handshake_timeout`

    def ping(self) -> float:
        """Send a PING and wait for the response. Return the round-trip time in seconds.

        Raises TimeoutError after `Limits.ping_timeout`, UnsupportedError over HTTP/1.1,
        ConnectionLostError. (RFC 9113 6.7)
        """
        link = self._link
        if not link.is_http2:
            raise UnsupportedError("HTTP/1.1 has no PING")
        guard = link.guard
        guard.check()
        with guard.lock:
            begin(guard)
            try:
                self._pings += 1
                data = b"sync" + (self._pings & 0xFFFF_FFFF).to_bytes(4, "big")
                link.times.pongs[data] = 0.0
                link.write_ping(data)
            except Exception:
                guard.inside = False  # an interrupt leaves it set
                raise
            guard.inside = False
        sent = time.monotonic()
        patience = link._limits.ping_timeout
        try:
            due = FOREVER if patience is None else sent + patience
            in_time = wait(link, PongParker(link, data), due)
            answered_at = link.times.pongs[data]
        finally:
            link.times.pongs.pop(data, None)
        if answered_at != 0.0:
            link.transport.round_trip = answered_at - sent
            return link.transport.round_trip
        if not in_time:
            raise TimeoutError(f"a PING was not answered in {patience} s")
        raise link.lost_error(0)

    def shutdown(self) -> None:
        """Refuse new requests, and close when the open exchanges have ended."""
        link = self._link
        link.guard.check()
        with link.guard.lock:
            begin(link.guard)
            end(link, False)
            link.guard.inside = False

    def close(self) -> None:
        """Close the connection. Requests that are open fail."""
        link = self._link
        link.guard.check()
        with link.guard.lock:
            begin(link.guard)
            if not link.is_lost:
                shut(link)
                push_out(link)
                abort(link)
            link.guard.inside = False

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_in_order(link: Link, spec: RequestSpec, deadlines: Deadlines) -> Response:
    """Write a request as soon as the connection accepts it."""
    guard = link.guard
    parker: SlotParker | None = None
    try:
        while True:
            guard.check()
            with guard.lock:
                begin(guard)
                try:
                    if parker is None and not link.is_lost and not link.exchanges:
                        read_now(link)
                    response = opened(link, spec, deadlines)
                    if response is None:
                        if not link.is_open():
                            raise ConnectionLostError(
                                "the connection takes no more requests", retryable=True
                            )
                        if parker is None:
                            parker = SlotParker(link)
                        link.parked_requests[parker] = None
                except Exception:
                    guard.inside = False  # an interrupt leaves it set
                    raise
                guard.inside = False
            if response is not None or parker is None:
                break
            await_slot(link, parker, deadlines)
    finally:
        if parker is not None:
            link.parked_requests.pop(parker, None)
    assert response is not None
    return response


def await_slot(link: Link, parker: SlotParker, deadlines: Deadlines) -> None:
    """Wait until the connection may accept a request."""
    while not wait(link, parker, deadlines.after(deadlines.write)):
        allows_none = link._http2 and link._count_local == 0 and not link.is_greeting()
        if link.is_lost or parker.done():
            return
        if allows_none or time.monotonic() >= deadlines.total_at:
            raise not_sent(NO_SLOT)
