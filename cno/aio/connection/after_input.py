"""What follows each batch of input: handlers start, writers resume, output is flushed.

Must never know requests and responses.
"""

from cno.aio.connection import bdp, ending, intake, room, send_buffer, send_queue, timeouts
from cno.aio.connection.lifecycle import DRAINING, FLUSHING, LOST
from cno.aio.connection.state import Link


def run(conn: Link) -> None:
    """Start handlers, resume writers, flush, and close the connection if it is done."""
    if conn._http2:
        check_windows(conn)
    send_queue.run_after_input(conn)
    if conn._life.phase == DRAINING:
        timeouts.begin_drain(conn)
    if conn._life.phase >= FLUSHING:
        conn._begin_work()
        if conn._life.phase < LOST:
            ending.close_transport(conn)
        return
    conn._begin_work()
    if not conn._send_buffer.collecting and conn._send_buffer.chunks:
        send_buffer.flush(conn)
    if conn._intake.pipeline_blocked and not conn._intake.reading_paused:
        intake.update_reading(conn)


def check_windows(conn: Link) -> None:
    """HTTP/2: note answers to PING and SETTINGS; widen the connection's window if it is full."""
    h2 = conn._h2
    if conn._window.rtt == 0.0:
        bdp.settings_answered(conn)
    if conn._window.probing and not h2.probing:
        conn._probe_answered()
    if h2.frames >= h2.pause_at:
        intake.fall_behind(conn)
    room_left = h2.recv_window + h2.recv_credit
    if room_left < conn._window.least_room and conn._life.phase < FLUSHING:
        room.schedule_check(conn)
