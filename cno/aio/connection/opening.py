"""The beginning of a connection: its transport, and the protocol that it speaks.

Must never know requests and responses.
"""

import asyncio
from ssl import SSLObject
from typing import cast

from cno.aio.connection import timeouts
from cno.aio.connection.lifecycle import CLOSING, CONNECTION_MADE
from cno.aio.connection.state import Link
from cno.aio.connection.transports import gathers, most_whole, write_buffer
from cno.aio.tls import is_adequate
from cno.const import CNO_RST_INADEQUATE_SECURITY


def connected(conn: Link, transport: asyncio.BaseTransport) -> None:
    """Begin on this transport, by the protocol that TLS has negotiated."""
    conn.transport = cast("asyncio.Transport", transport)
    conn.transport.set_write_buffer_limits(high=write_buffer(conn._limits))
    conn._life.connected_at = conn._timeouts.heard_at = conn.loop.time()
    if conn._limits.max_connection_age is not None:
        conn._timeouts.retire_at = conn._life.connected_at + conn._limits.max_connection_age
    if not conn._life.fire(CONNECTION_MADE) or conn._life.phase == CLOSING:
        conn.transport.abort()
        return
    secured = cast("SSLObject | None", transport.get_extra_info("ssl_object"))
    if secured is None:
        conn._transport_state.clear_text = True
        conn._transport_state.gathers = gathers(transport)
        conn._transport_state.most_whole = most_whole(transport, conn._limits)
        conn.begin(conn._clear_http2())
    else:
        conn.scheme = "https"
        # > Implementations of HTTP/2 over TLS MUST use TLS ... with ALPN.   (RFC 9113 3.2)
        http2 = secured.selected_alpn_protocol() == "h2"
        conn.disallow_h2_prior_knowledge = True
        conn.begin(http2 or conn._clear_http2())
        if http2 and not is_adequate(secured):
            conn.write_reset(0, CNO_RST_INADEQUATE_SECURITY)
    if conn._http2:
        conn._window.announced_at = conn._life.connected_at
    timeouts.arm(conn)
