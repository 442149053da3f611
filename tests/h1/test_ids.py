"""HTTP/1.1 streams have the ids of HTTP/2: 1, 3, 5, ... in order of requests, and no others."""

import sys
from typing import Any

import pytest

from cno import raw
from tests.h1.wire import FIELDS, GET, OK
from tests.processes import run
from tests.rows import each_row
from tests.support import client, h1_client, h1_server


@each_row("stream", [0, 2, 3, 4, 5])
def test_the_first_request_goes_on_stream_1(stream: int) -> None:
    conn = h1_client()
    with pytest.raises(raw.InvalidStreamError, match="stream 1"):
        conn.write_head(stream, 0, "GET", "/", list(FIELDS), True)
    assert conn.take() == b""
    assert conn.events == []
    conn.write_head(1, 0, "GET", "/", list(FIELDS), True)
    assert conn.seen() == [("start", 1)]


@each_row("stream", [0, 2, 4, 5, 7])
def test_the_next_request_goes_on_the_next_stream(stream: int) -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", list(FIELDS), True)
    conn.take()
    with pytest.raises(raw.InvalidStreamError, match="stream 3"):
        conn.write_head(stream, 0, "GET", "/", list(FIELDS), True)
    assert conn.take() == b""
    conn.write_head(3, 0, "GET", "/", list(FIELDS), True)


# -- the last id: nobody waits for 2^30 requests, so most of them are only said to have been ------

LAST = (1 << 31) - 1


def nearly_used_up(conn: Any, left: int) -> None:
    """As after all requests but so many; the only way there that is not hours long."""
    done = LAST - 2 * left
    if conn.server_side:
        conn._last_remote = done
    else:
        conn._last_local = done
    conn._h1.next_id = done + 2


@pytest.mark.parametrize("pipelined", [False, True])
def test_a_server_ends_with_the_last_id(pipelined: bool) -> None:
    conn = h1_server()
    conn.data_received(GET)
    conn.write_head(1, 204, "", "", [], True)
    conn.take()
    conn.events.clear()
    nearly_used_up(conn, 2)
    if pipelined:
        conn.data_received(GET * 3)
    else:
        conn.data_received(GET)
    conn.write_head(LAST - 2, 204, "", "", [], True)
    assert b"close" not in conn.take()
    if not pipelined:
        conn.data_received(GET)
    conn.write_head(LAST, 204, "", "", [], True)
    assert b"connection: close" in conn.take()
    assert [event[1] for event in conn.of("head")] == [LAST - 2, LAST]
    assert conn.events[-1] == ("close",)


def test_a_client_ends_with_the_last_id() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", list(FIELDS), True)
    conn.data_received(OK)
    conn.take()
    nearly_used_up(conn, 2)
    conn.write_head(conn.next_stream, 0, "GET", "/", list(FIELDS), True)
    conn.data_received(OK)
    assert b"close" not in conn.take()
    assert conn.next_stream == LAST
    conn.write_head(LAST, 0, "GET", "/", list(FIELDS), True)
    assert b"connection: close" in conn.take()
    with pytest.raises(raw.DisconnectError, match="used"):
        conn.write_head(conn.next_stream, 0, "GET", "/", list(FIELDS), True)
    conn.data_received(OK)
    assert conn.of("data")[-1] == ("data", LAST, b"ok")
    assert conn.events[-1] == ("close",)


def test_a_client_of_http2_says_that_no_id_is_left() -> None:
    conn, _ = client()
    with pytest.raises(raw.InvalidStreamError):
        conn.write_head(LAST + 2, 0, "GET", "/", list(FIELDS), True)
    conn.write_head(LAST, 0, "GET", "/", list(FIELDS), True)
    conn.take()
    with pytest.raises(raw.DisconnectError, match="used"):
        conn.write_head(conn.next_stream, 0, "GET", "/", list(FIELDS), True)
    with pytest.raises(raw.InvalidStreamError):
        conn.write_head(conn.next_stream + 2, 0, "GET", "/", list(FIELDS), True)
    assert conn.take() == b""


# -- interrupts ----------------------------------------------------------------------------------

# C functions call each other here, so that the signal handler runs no earlier than in ours.
INTERRUPTED = """
import operator
import signal
from functools import partial
from cno import raw

class Interrupt(Exception):
    pass

def interrupt(number, frame):
    raise Interrupt

signal.signal(signal.SIGALRM, interrupt)
alarm = partial(signal.setitimer, signal.ITIMER_REAL, 1e-4)
wait = partial(sum, range(200_000))
for _ in range(10):
    conn = raw.Connection(True)
    conn.connection_made(False)
    receive = partial(conn.data_received, b"GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n")
    try:
        list(map(operator.call, [alarm, wait, receive]))
    except Interrupt:
        pass
print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no interval timers")
def test_an_interrupt_before_the_first_request_is_an_exception() -> None:
    """Compiled code that multiplies large `int`s aborts the process if a signal handler raises."""
    done = run(sys.executable, "-c", INTERRUPTED)
    assert (done.status, done.stdout) == (0, b"alive\n"), done.stderr
