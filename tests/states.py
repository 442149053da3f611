"""Connections with a stream in each state of RFC 9113 section 5.1, for both roles.

Reaches each state by frames and public calls only; earlier events and output are discarded. The
stream is 1 (a request), or 2 if its name contains `reserved` or `pushed`.
"""

from collections.abc import Callable

from tests.support import (
    CANCEL,
    POST,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    FrameFactory,
    Recorder,
    client,
    client_with_request,
    read_blocks,
    server,
    server_with_request,
)

Started = tuple[Recorder, FrameFactory]


def forget(conn: Recorder) -> Started:
    """Read (for the sake of HPACK) and forget what was written, forget the events."""
    read_blocks(conn)
    conn.events.clear()
    return conn, conn.peer


# -- server ----------------------------------------------------------------------------------------


def server_open() -> Started:
    """The peer's request has begun; neither side has ended."""
    return server_with_request(POST)


def server_open_answering() -> Started:
    """As `server_open`, and our response has begun."""
    conn, _ = server_open()
    conn.write_head(1, 200, "", "", [], False)
    return forget(conn)


def server_half_closed_remote() -> Started:
    """The request is complete, the response not begun."""
    return server_with_request(REQUEST, end_stream=True)


def server_half_closed_local() -> Started:
    """The response is complete before the request."""
    conn, _ = server_open()
    conn.write_head(1, 200, "", "", [], True)
    return forget(conn)


def server_closed_we_last() -> Started:
    """Closed by END_STREAM of both sides, ours last."""
    conn, _ = server_half_closed_remote()
    conn.write_head(1, 200, "", "", [], True)
    return forget(conn)


def server_closed_peer_last() -> Started:
    """Closed by END_STREAM of both sides, the peer's last."""
    conn, peer = server_half_closed_local()
    conn.data_received(peer.data(1, b"", True))
    return forget(conn)


def server_reset_by_us() -> Started:
    conn, _ = server_open()
    conn.write_reset(1, CANCEL)
    return forget(conn)


def server_reset_by_peer() -> Started:
    conn, peer = server_open()
    conn.data_received(peer.rst(1))
    return forget(conn)


def server_reserved() -> Started:
    """Stream 2 is promised by us (reserved local), on stream 1 which is half-closed (remote)."""
    conn, _ = server_half_closed_remote()
    conn.write_push(1, "GET", "/pushed", list(REQUEST_HEADERS))
    return forget(conn)


def server_pushed() -> Started:
    """Stream 2 is a push whose response has begun: half-closed (remote)."""
    conn, _ = server_reserved()
    conn.write_head(2, 200, "", "", [], False)
    return forget(conn)


def server_pushed_closed() -> Started:
    """Stream 2 was a push, whose response is complete."""
    conn, _ = server_pushed()
    conn.write_data(2, b"", True)
    return forget(conn)


# -- client ----------------------------------------------------------------------------------------


def client_open() -> Started:
    """Our request has begun; the peer has not answered."""
    return client_with_request("POST", final=False)


def client_open_answered() -> Started:
    """As `client_open`, and the response has begun."""
    conn, peer = client_open()
    conn.data_received(peer.headers(1, RESPONSE))
    return forget(conn)


def client_half_closed_local() -> Started:
    """Our request is complete; the peer has not answered."""
    return client_with_request()


def client_half_closed_local_answered() -> Started:
    """As `client_half_closed_local`, and the response has begun."""
    conn, peer = client_half_closed_local()
    conn.data_received(peer.headers(1, RESPONSE))
    return forget(conn)


def client_half_closed_remote() -> Started:
    """The response is complete before the request."""
    conn, peer = client_open()
    conn.data_received(peer.headers(1, RESPONSE, end_stream=True))
    return forget(conn)


def client_closed_peer_last() -> Started:
    """Closed by END_STREAM of both sides, the peer's last."""
    conn, peer = client_half_closed_local()
    conn.data_received(peer.headers(1, RESPONSE, end_stream=True))
    return forget(conn)


def client_closed_we_last() -> Started:
    """Closed by END_STREAM of both sides, ours last."""
    conn, _ = client_half_closed_remote()
    conn.write_data(1, b"", True)
    return forget(conn)


def client_reset_by_us() -> Started:
    conn, _ = client_open()
    conn.write_reset(1, CANCEL)
    return forget(conn)


def client_reset_by_peer() -> Started:
    conn, peer = client_open()
    conn.data_received(peer.rst(1))
    return forget(conn)


def client_reserved() -> Started:
    """Stream 2 is promised by the peer (reserved remote) on stream 1, half-closed (local)."""
    conn, peer = client_half_closed_local()
    conn.data_received(peer.push_promise(1, 2, REQUEST))
    return forget(conn)


def client_pushed() -> Started:
    """Stream 2 is a push whose response has begun: half-closed (local)."""
    conn, peer = client_reserved()
    conn.data_received(peer.headers(2, RESPONSE))
    return forget(conn)


def client_pushed_closed() -> Started:
    """Stream 2 was a push, whose response is complete."""
    conn, peer = client_pushed()
    conn.data_received(peer.data(2, b"", True))
    return forget(conn)


def client_pushed_reset_by_us() -> Started:
    conn, _ = client_pushed()
    conn.write_reset(2, CANCEL)
    return forget(conn)


def server_idle() -> Started:
    return server()


def client_idle() -> Started:
    return client()


State = Callable[[], Started]

#: Closed by END_STREAM of both sides, whoever was last.
CLOSED: dict[str, State] = {
    "server, we last": server_closed_we_last,
    "server, peer last": server_closed_peer_last,
    "client, we last": client_closed_we_last,
    "client, peer last": client_closed_peer_last,
}
IDLE: dict[str, State] = {"server": server_idle, "client": client_idle}
OPEN: dict[str, State] = {"server": server_open, "client": client_open}
HALF_CLOSED_REMOTE: dict[str, State] = {
    "server": server_half_closed_remote,
    "server, pushed": server_pushed,
    "client": client_half_closed_remote,
}
RESET_BY_US: dict[str, State] = {"server": server_reset_by_us, "client": client_reset_by_us}
RESET_BY_PEER: dict[str, State] = {"server": server_reset_by_peer, "client": client_reset_by_peer}
