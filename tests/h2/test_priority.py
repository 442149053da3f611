"""RFC 9218 at the engine: the setting, and which PRIORITY_UPDATE frames are allowed."""

import pytest

from cno import raw
from cno.limits import Limits
from cno.priority import ABSENT, parse
from tests.frames import (
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    MAX_CONCURRENT_STREAMS,
    NO_RFC7540_PRIORITIES,
    PRIORITY_UPDATE,
    PROTOCOL_ERROR,
    REQUEST,
    FrameFactory,
    frame,
    parse_frames,
    u32,
)
from tests.rows import each_row
from tests.support import (
    FrameRecorder,
    Recorder,
    client,
    each_way,
    expect_connection_error,
    expect_nothing,
    server,
    server_with_request,
)

# -- the field value -------------------------------------------------------------------------------

GOOD = [
    ("", ABSENT, ABSENT),
    ("u=0", 0, ABSENT),
    ("u=7, i", 7, 1),
    ("i,u=1", 1, 1),
    ("i=?0", ABSENT, 0),
    ("  u=5,\t i=?1  ", 5, 1),
    ("u=1;x=2;y, i;a", 1, 1),
    # The last of two counts, and says nothing if it is of the wrong type or out of range.
    ("u=1, u=2", 2, ABSENT),
    ("u=1, u=8", ABSENT, ABSENT),
    ("u=-1", ABSENT, ABSENT),
    ("u=-0", 0, ABSENT),
    ("u=1.0", ABSENT, ABSENT),
    ('u="1"', ABSENT, ABSENT),
    ("u", ABSENT, ABSENT),
    ("i=1", ABSENT, ABSENT),
    ("u=?1, i=yes", ABSENT, ABSENT),
    ("u=999999999999999", ABSENT, ABSENT),
    # What others may come to say.
    ('a=(1 "x" tok;q=1), *b.c-d_=:aGk=:, u=2', 2, ABSENT),
    ("x=(), u=4", 4, ABSENT),
    ('x="a\\"b\\\\", u=4', 4, ABSENT),
    ("x=a/b:c!#$%&'*+-.^_`|~, u=4", 4, ABSENT),
]

# RFC 8941 4.2: what does not parse is ignored as a whole.
BAD = [
    "u=1,",
    ",u=1",
    "u=1,,i",
    "u=1 i",
    "U=1",
    "u=",
    "=1",
    "u= 1",
    "u=1;",
    "u=1;=2",
    "u=1;x=",
    "1=1",
    "u=1, x=(1",
    "u=1, x=(1,2)",
    'u=1, x=("a""b")',
    'u=1, x="a',
    'u=1, x="\\a"',
    'u=1, x="\x7f"',
    "u=1, x=:a",
    "u=1, x=?2",
    "u=1, x=?",
    "u=1, x=-",
    "u=1, x=1.",
    "u=1, x=1.2345",
    "u=1, x=1234567890123.1",
    "u=1234567890123456",
    "u=1\n",
    "u=1\xe9",
    "u=1" + " " * 300,
]


@each_row(("text", "urgency", "incremental"), GOOD)
def test_values(text: str, urgency: int, incremental: int) -> None:
    said = parse(text)
    assert said is not None
    assert (said.urgency, said.incremental) == (urgency, incremental)


@each_row("text", BAD)
def test_values_that_are_no_dictionary(text: str) -> None:
    assert parse(text) is None


# -- SETTINGS_NO_RFC7540_PRIORITIES (2.1) ----------------------------------------------------------


@pytest.mark.parametrize("is_server", [True, False])
def test_setting_is_sent_once(is_server: bool) -> None:
    conn, _ = (server if is_server else client)()
    assert (NO_RFC7540_PRIORITIES, 1) in parse_frames(conn.hello)[0].settings
    assert conn.local_settings.no_rfc7540_priorities
    conn.configure(initial_window_size=100_000)
    (again,) = conn.frames()
    assert NO_RFC7540_PRIORITIES not in dict(again.settings)


@pytest.mark.parametrize("value", [0, 1])
def test_setting_is_known(value: int) -> None:
    conn, _ = server({NO_RFC7540_PRIORITIES: value})
    assert conn.remote_settings.no_rfc7540_priorities == bool(value)


@pytest.mark.parametrize("value", [2, 0xFFFF_FFFF])
def test_setting_of_another_value(value: int) -> None:
    # > Any value other than 0 or 1 MUST be treated as a connection error of type PROTOCOL_ERROR.
    for make in (server, client):
        expect_connection_error(
            make, lambda f: f.settings({NO_RFC7540_PRIORITIES: value}), PROTOCOL_ERROR
        )


def test_names() -> None:
    assert int(raw.Setting.NO_RFC7540_PRIORITIES) == raw.CNO_SETTINGS_NO_RFC7540_PRIORITIES
    assert int(raw.FrameType.PRIORITY_UPDATE) == raw.CNO_FRAME_PRIORITY_UPDATE == PRIORITY_UPDATE


# -- PRIORITY_UPDATE (7.1) -------------------------------------------------------------------------


def test_update_of_idle_open_and_closed_streams() -> None:
    expect_nothing(server_with_request, lambda f: f.priority_update(1, "u=1, i"))
    expect_nothing(server, lambda f: f.priority_update(1, "u=1"))

    def closed() -> Recorder:
        conn, _ = server_with_request(end_stream=True)
        conn.write_head(1, 200, "", "", [], True)
        conn.take()
        conn.events.clear()
        return conn

    expect_nothing(closed, lambda f: f.priority_update(1, "u=1"))


def test_update_is_shown() -> None:
    conn = each_way(lambda: server(recorder=FrameRecorder), lambda f: f.priority_update(5, "u=6"))
    (shown,) = (event[1] for event in conn.events if event[0] == "frame")
    assert (shown.type, shown.stream, shown.payload) == (PRIORITY_UPDATE, 0, u32(5) + b"u=6")


def test_update_from_a_client_that_writes_it() -> None:
    sender, _ = client()
    sender.write_frame(raw.CNO_FRAME_PRIORITY_UPDATE, 0, 0, u32(1) + b"u=2")
    assert sender.frames() == [(PRIORITY_UPDATE, 0, 0, u32(1) + b"u=2")]


@pytest.mark.parametrize("on", [1, 2, 3])
def test_update_on_another_stream_than_0(on: int) -> None:
    expect_connection_error(
        server_with_request, lambda f: f.priority_update(1, "u=1", on=on), PROTOCOL_ERROR
    )


def test_update_of_stream_0() -> None:
    expect_connection_error(server, lambda f: f.priority_update(0, "u=1"), PROTOCOL_ERROR)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0\0"])
def test_update_too_short(payload: bytes) -> None:
    expect_connection_error(server, frame(PRIORITY_UPDATE, 0, 0, payload), FRAME_SIZE_ERROR)


def test_update_from_a_server() -> None:
    # > Servers MUST NOT send PRIORITY_UPDATE frames. If a client receives a PRIORITY_UPDATE frame,
    # > it MUST respond with a connection error of type PROTOCOL_ERROR.
    expect_connection_error(client, lambda f: f.priority_update(1, "u=1"), PROTOCOL_ERROR)


def test_update_of_a_push() -> None:
    def pushed() -> Recorder:
        conn, _ = server_with_request()
        conn.write_push(1, "GET", "/pushed", [(":authority", "x")])
        conn.take()
        conn.events.clear()
        return conn

    expect_nothing(pushed(), lambda f: f.priority_update(2, "u=1"))
    # > Servers that receive a PRIORITY_UPDATE for a push stream in the "idle" state MUST respond
    # > with a connection error of type PROTOCOL_ERROR.
    expect_connection_error(pushed, lambda f: f.priority_update(4, "u=1"), PROTOCOL_ERROR)


def test_reserved_bits_are_ignored() -> None:
    data = frame(PRIORITY_UPDATE, 0xFF, 0x8000_0000, u32(0x8000_0001) + b"u=1")
    expect_nothing(server, data)


@pytest.mark.parametrize("value", ["u=", "\xff", "u=1, " * 100, ""])
def test_update_that_says_nothing(value: str) -> None:
    expect_nothing(server_with_request, lambda f: f.priority_update(1, value))


LIMITS = Limits(max_concurrent_streams=3)


def idle(f: FrameFactory, *streams: int) -> bytes:
    return b"".join(f.priority_update(stream, "u=1") for stream in streams)


def test_as_many_idle_streams_as_may_be_open() -> None:
    expect_nothing(lambda: server(limits=LIMITS), lambda f: idle(f, 1, 3, 5, 5, 3, 1))
    # > The number of streams that have been prioritized but remain in the "idle" state plus the
    # > number of active streams ... MUST NOT exceed the value of the
    # > SETTINGS_MAX_CONCURRENT_STREAMS parameter. Servers that receive such a PRIORITY_UPDATE MUST
    # > respond with a connection error of type PROTOCOL_ERROR.
    expect_connection_error(
        lambda: server(limits=LIMITS), lambda f: idle(f, 1, 3, 5, 7), PROTOCOL_ERROR
    )
    expect_connection_error(
        lambda: server_with_request(limits=LIMITS), lambda f: idle(f, 3, 5, 7), PROTOCOL_ERROR
    )


def test_streams_that_are_open_or_passed_over_are_not_idle() -> None:
    def script(f: FrameFactory) -> bytes:
        return idle(f, 1, 3, 5) + f.headers(5, REQUEST, end_stream=True) + idle(f, 7, 9)

    conn = each_way(lambda: server(limits=LIMITS), script)
    assert [event[:2] for event in conn.events] == [("start", 5), ("head", 5), ("tail", 5)]


def test_idle_streams_are_bounded_where_streams_are_not() -> None:
    limits = Limits(max_concurrent_streams=None)
    conn, _ = server(limits=limits)
    assert MAX_CONCURRENT_STREAMS not in dict(parse_frames(conn.hello)[0].settings)
    expect_nothing(conn, lambda f: idle(f, *range(1, 5001, 2)))


def test_many_updates_are_charged() -> None:
    limits = Limits(glitch_budget=50)

    def script(f: FrameFactory) -> bytes:
        return f.priority_update(1, "u=1") * 60

    expect_connection_error(lambda: server(limits=limits), script, ENHANCE_YOUR_CALM)
