"""Every frame on a stream in every state, with the outcome that RFC 9113 section 5.1 requires.

Knows the table below and nothing else. An outcome is one of

    ignored     no event, nothing written, all works on
    taken       no error; events only for the stream, nothing written but credit
    ended       the stream ends by the peer's reset
    SE(code)    RST_STREAM(code) on the stream, all else works on
    CE(code)    GOAWAY(code), closed
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import states
from tests.support import (
    CANCEL,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    MAX_WINDOW,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    REMOTE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    Recorder,
    each_way,
    expect_alive,
    expect_connection_error,
    expect_nothing,
    expect_stream_error,
    feed,
    frame,
    merged,
    u32,
)

FIELD = [("x-late", "field")]


class Outcome(NamedTuple):
    kind: str
    code: int = 0

    def __str__(self) -> str:
        return f"{self.kind}({self.code})" if self.kind in ("SE", "CE") else self.kind


def SE(code: int) -> Outcome:
    return Outcome("SE", code)


def CE(code: int) -> Outcome:
    return Outcome("CE", code)


IGNORED, TAKEN, ENDED = Outcome("ignored"), Outcome("taken"), Outcome("ended")
CLOSED, BROKEN = SE(STREAM_CLOSED), CE(PROTOCOL_ERROR)

Writer = Callable[[FrameFactory, int], bytes]

#: The frames that a peer may send, in a form that would be valid somewhere.
FRAMES: dict[str, Writer] = {
    "DATA": lambda f, s: f.data(s, b"octets"),
    "DATA END": lambda f, s: f.data(s, b"octets", True),
    "DATA empty END": lambda f, s: f.data(s, b"", True),
    "DATA padded": lambda f, s: f.data(s, b"octets", pad=3),
    "REQUEST": lambda f, s: f.headers(s, [*REQUEST, *FIELD]),
    "REQUEST END": lambda f, s: f.headers(s, [*REQUEST, *FIELD], end_stream=True),
    "RESPONSE": lambda f, s: f.headers(s, [*RESPONSE, *FIELD]),
    "RESPONSE END": lambda f, s: f.headers(s, [*RESPONSE, *FIELD], end_stream=True),
    "TRAILERS": lambda f, s: f.headers(s, FIELD, end_stream=True),
    "PRIORITY": lambda f, s: f.priority(s, 0, 200),
    "PRIORITY self": lambda f, s: f.priority(s, s, 200),
    "PRIORITY short": lambda f, s: frame(PRIORITY, 0, s, b"1234"),
    "RST_STREAM": lambda f, s: f.rst(s, CANCEL),
    "RST_STREAM short": lambda f, s: frame(RST_STREAM, 0, s, b"123"),
    "PUSH_PROMISE": lambda f, s: f.push_promise(s, 100, [*REQUEST, *FIELD]),
    "WINDOW_UPDATE": lambda f, s: f.window_update(s, 100),
    "WINDOW_UPDATE 0": lambda f, s: f.window_update(s, 0),
    "WINDOW_UPDATE short": lambda f, s: frame(WINDOW_UPDATE, 0, s, b"123"),
    "WINDOW_UPDATE too much": lambda f, s: f.window_update(s, MAX_WINDOW),
    "CONTINUATION": lambda f, s: f.continuation(s, b""),
    "UNKNOWN": lambda f, s: frame(0x42, 0xFF, s, b"whatever"),
    "SETTINGS": lambda f, s: frame(SETTINGS, 0, s),
    "PING": lambda f, s: frame(PING, 0, s, bytes(8)),
    "GOAWAY": lambda f, s: frame(GOAWAY, 0, s, bytes(8)),
}

#: What holds in every state.
ALWAYS = {
    "UNKNOWN": IGNORED,
    "CONTINUATION": BROKEN,
    "SETTINGS": BROKEN,
    "PING": BROKEN,
    "GOAWAY": BROKEN,
    "RST_STREAM short": CE(FRAME_SIZE_ERROR),
    "WINDOW_UPDATE short": CE(FRAME_SIZE_ERROR),
}

#: What holds while there is a stream; of a closed one, its dependency is ignored.
PRIORITIES = {
    "PRIORITY": IGNORED,
    "PRIORITY self": SE(PROTOCOL_ERROR),
    "PRIORITY short": SE(FRAME_SIZE_ERROR),
}


def every(outcome: Outcome, *prefixes: str) -> dict[str, Outcome]:
    """This outcome for every frame whose name begins with one of these words."""
    return {name: outcome for name in FRAMES if name.split()[0] in prefixes}


MESSAGES = ("DATA", "REQUEST", "RESPONSE", "TRAILERS")

WINDOWS = {
    "WINDOW_UPDATE": TAKEN,
    "WINDOW_UPDATE 0": SE(PROTOCOL_ERROR),
    "WINDOW_UPDATE too much": SE(FLOW_CONTROL_ERROR),
}
LATE_WINDOWS = every(IGNORED, "WINDOW_UPDATE")

IDLE = {
    **every(BROKEN, "DATA", "RESPONSE", "TRAILERS", "REQUEST", "RST_STREAM", "WINDOW_UPDATE"),
    "PRIORITY": IGNORED,
    "PRIORITY self": BROKEN,
    # > An endpoint can end up sending stream errors on idle streams only as connection errors.
    "PRIORITY short": CE(FRAME_SIZE_ERROR),
    "PUSH_PROMISE": BROKEN,
}
HALF_CLOSED_REMOTE = {
    # > If an endpoint receives additional frames, other than WINDOW_UPDATE, PRIORITY, or
    # > RST_STREAM, for a stream that is in this state, it MUST respond with a stream error of type
    # > STREAM_CLOSED.  (5.1)
    **every(CLOSED, *MESSAGES),
    **WINDOWS,
    **PRIORITIES,
    "RST_STREAM": ENDED,
    "PUSH_PROMISE": BROKEN,
}
CLOSED_BY_END = {
    **every(CLOSED, "DATA"),
    # > An endpoint MAY treat receipt of any other type of frame on a closed stream as a connection
    # > error (Section 5.4.1) of type STREAM_CLOSED   (5.1)
    **every(CE(STREAM_CLOSED), "REQUEST", "RESPONSE", "TRAILERS"),
    **LATE_WINDOWS,
    **PRIORITIES,
    "PRIORITY self": IGNORED,
    "RST_STREAM": IGNORED,
    "PUSH_PROMISE": BROKEN,
}
RESET_BY_US = {
    **every(IGNORED, *MESSAGES, "PRIORITY", "RST_STREAM"),
    **LATE_WINDOWS,
    # No tolerance for frames that are wrong in themselves.
    "PRIORITY short": SE(FRAME_SIZE_ERROR),
}

SERVER: dict[str, dict[str, Outcome]] = {
    "server_idle": {
        **IDLE,
        "REQUEST": TAKEN,
        "REQUEST END": TAKEN,
        "RESPONSE": SE(PROTOCOL_ERROR),
        "RESPONSE END": SE(PROTOCOL_ERROR),
        "TRAILERS": SE(PROTOCOL_ERROR),
    },
    "server_open": {
        **every(TAKEN, "DATA"),
        **every(SE(PROTOCOL_ERROR), "REQUEST", "RESPONSE"),
        "TRAILERS": TAKEN,
        **WINDOWS,
        **PRIORITIES,
        "RST_STREAM": ENDED,
        "PUSH_PROMISE": BROKEN,
    },
    "server_half_closed_remote": HALF_CLOSED_REMOTE,
    "server_closed_we_last": CLOSED_BY_END,
    "server_closed_peer_last": CLOSED_BY_END,
    "server_reset_by_peer": CLOSED_BY_END,
    "server_reset_by_us": {**RESET_BY_US, "PUSH_PROMISE": BROKEN},
    "server_reserved": {
        # > Receiving any type of frame other than RST_STREAM, PRIORITY, or WINDOW_UPDATE on a
        # > stream in this state MUST be treated as a connection error of type PROTOCOL_ERROR.
        **every(BROKEN, *MESSAGES),
        **WINDOWS,
        **PRIORITIES,
        "RST_STREAM": ENDED,
        "PUSH_PROMISE": BROKEN,
    },
    "server_pushed": HALF_CLOSED_REMOTE,
    "server_pushed_closed": CLOSED_BY_END,
}
SERVER["server_open_answering"] = SERVER["server_half_closed_local"] = SERVER["server_open"]

CLIENT: dict[str, dict[str, Outcome]] = {
    "client_idle": IDLE,
    "client_open": {
        **every(SE(PROTOCOL_ERROR), "DATA", "REQUEST"),
        "RESPONSE": TAKEN,
        "RESPONSE END": TAKEN,
        "TRAILERS": SE(PROTOCOL_ERROR),
        **WINDOWS,
        **PRIORITIES,
        "RST_STREAM": ENDED,
        "PUSH_PROMISE": TAKEN,
    },
    "client_open_answered": {
        **every(TAKEN, "DATA"),
        **every(SE(PROTOCOL_ERROR), "REQUEST", "RESPONSE"),
        "TRAILERS": TAKEN,
        **WINDOWS,
        **PRIORITIES,
        "RST_STREAM": ENDED,
        "PUSH_PROMISE": TAKEN,
    },
    "client_half_closed_remote": HALF_CLOSED_REMOTE,
    "client_closed_we_last": CLOSED_BY_END,
    "client_closed_peer_last": CLOSED_BY_END,
    "client_reset_by_peer": CLOSED_BY_END,
    "client_reset_by_us": {**RESET_BY_US, "PUSH_PROMISE": Outcome("cancelled")},
    "client_reserved": {
        # > Receiving any type of frame other than HEADERS, RST_STREAM, or PRIORITY on a stream in
        # > this state MUST be treated as a connection error of type PROTOCOL_ERROR.  (5.1)
        **every(BROKEN, "DATA", "WINDOW_UPDATE"),
        **every(SE(PROTOCOL_ERROR), "REQUEST", "TRAILERS"),
        "RESPONSE": TAKEN,
        "RESPONSE END": TAKEN,
        **PRIORITIES,
        "RST_STREAM": ENDED,
        "PUSH_PROMISE": BROKEN,
    },
    "client_pushed": {
        **every(TAKEN, "DATA"),
        **every(SE(PROTOCOL_ERROR), "REQUEST", "RESPONSE"),
        "TRAILERS": TAKEN,
        **WINDOWS,
        **PRIORITIES,
        "RST_STREAM": ENDED,
        "PUSH_PROMISE": BROKEN,
    },
}
CLIENT["client_pushed_closed"] = CLOSED_BY_END
CLIENT["client_pushed_reset_by_us"] = {**RESET_BY_US, "PUSH_PROMISE": BROKEN}
CLIENT["client_half_closed_local"] = CLIENT["client_open"]
CLIENT["client_half_closed_local_answered"] = CLIENT["client_open_answered"]

TABLE = {state: {**row, **ALWAYS} for state, row in {**SERVER, **CLIENT}.items()}


def maker(state: str) -> states.State:
    found: states.State = getattr(states, state)
    return found


def stream_of(state: str) -> int:
    return 2 if "reserved" in state or "pushed" in state else 1


def test_the_table_is_whole() -> None:
    for state, row in TABLE.items():
        assert row.keys() == FRAMES.keys(), state
    named = {n for n in dir(states) if n.startswith(("server_", "client_"))}
    assert named - TABLE.keys() == {"server_with_request", "client_with_request"}


@pytest.mark.parametrize("state", TABLE)
def test_a_frame_in_a_state(state: str) -> None:
    for name in FRAMES:
        try:
            compare(state, name)
        except AssertionError as error:
            error.add_note(f"{name} in {state}")
            raise


def compare(state: str, name: str) -> None:
    """Compare what a frame leads to with the table."""
    expected, stream, make = TABLE[state][name], stream_of(state), maker(state)

    def data(f: FrameFactory) -> bytes:
        return FRAMES[name](f, stream)

    if expected == IGNORED:
        expect_nothing(make, data)
    elif expected.kind == "CE":
        expect_connection_error(make, data, expected.code)
    elif expected.kind == "SE":
        expect_stream_error(make, data, stream, expected.code)
    elif expected == ENDED:
        conn = each_way(make, data)
        assert conn.events == [("end", stream, CANCEL, REMOTE)]
        assert conn.frames() == []
        expect_alive(conn)
    elif expected.kind == "cancelled":
        conn = each_way(make, data)
        assert conn.events == []
        assert conn.frames() == [Frame(RST_STREAM, 0, 100, u32(CANCEL))]
        expect_alive(conn)
    else:
        expect_taken(each_way(make, data), stream, name)


def expect_taken(conn: Recorder, stream: int, name: str) -> None:
    """No error, and events that tell what the frame said."""
    assert conn.frames() == []
    kinds = [e[0] for e in merged(conn.events)]
    if name == "WINDOW_UPDATE":
        assert kinds in ([], ["flow"])
    elif name == "PUSH_PROMISE":
        assert kinds == ["start", "push"]
    else:
        content = [k for k in kinds if k not in ("start", "end")]
        told = {"DATA": "data", "TRAILERS": ""}.get(name.split()[0], "head")
        wanted = [told] if told and "empty" not in name else []
        wanted += ["tail"] if name.endswith("END") or name == "TRAILERS" else []
        assert content == wanted
    assert {e[1] for e in conn.events} <= {stream, 100}
    expect_alive(conn)


# -- walks over the table --------------------------------------------------------------------------

#: Pairs of a state before and the state after a frame that is taken.
NEXT = {
    ("server_idle", "REQUEST"): "server_open",
    ("server_idle", "REQUEST END"): "server_half_closed_remote",
    ("server_open", "DATA"): "server_open",
    ("server_open", "DATA END"): "server_half_closed_remote",
    ("server_open", "TRAILERS"): "server_half_closed_remote",
    ("server_half_closed_local", "DATA END"): "server_closed_peer_last",
    ("server_half_closed_local", "TRAILERS"): "server_closed_peer_last",
    ("client_open", "RESPONSE"): "client_open_answered",
    ("client_open", "RESPONSE END"): "client_half_closed_remote",
    ("client_open_answered", "DATA"): "client_open_answered",
    ("client_open_answered", "DATA END"): "client_half_closed_remote",
    ("client_open_answered", "TRAILERS"): "client_half_closed_remote",
    ("client_half_closed_local", "RESPONSE"): "client_half_closed_local_answered",
    ("client_half_closed_local", "RESPONSE END"): "client_closed_peer_last",
    ("client_half_closed_local_answered", "DATA END"): "client_closed_peer_last",
    ("client_half_closed_local_answered", "TRAILERS"): "client_closed_peer_last",
    ("client_reserved", "RESPONSE"): "client_pushed",
}


def after(state: str, name: str) -> str | None:
    """The state after a frame, None where the walk ends."""
    outcome = TABLE[state][name]
    if outcome == IGNORED or (name in ("WINDOW_UPDATE", "PUSH_PROMISE") and outcome == TAKEN):
        return state
    if outcome.kind == "SE":
        # > (5.1) ignored from now on; a closed stream stays what it was.
        started = "closed_" not in state and "reset_" not in state and "idle" not in state
        return f"{state[:6]}_reset_by_us" if started and stream_of(state) == 1 else None
    if outcome == ENDED:
        return f"{state[:6]}_reset_by_peer" if stream_of(state) == 1 else None
    return NEXT.get((state, name))


@given(state=st.sampled_from(sorted(TABLE)), walk=st.lists(st.sampled_from(sorted(FRAMES))))
def test_a_walk_of_frames_from_a_state(state: str, walk: list[str]) -> None:
    """Outcomes depend on the state alone, however it was reached."""
    stream = stream_of(state)
    conn, peer = maker(state)()
    at: str | None = state
    promised = 100
    for name in walk:
        assert at is not None
        if name == "PUSH_PROMISE":
            data = peer.push_promise(stream, promised, REQUEST)
            promised += 2
        else:
            data = FRAMES[name](peer, stream)
        outcome = TABLE[at][name]
        at = after(at, name)
        conn.events.clear()
        if outcome.kind == "CE":
            expect_connection_error(conn, data, outcome.code)
            return
        feed(conn, data)
        assert conn.error is None, f"{name} in {state}: {conn.error}"
        resets = [f for f in conn.frames() if f.type == RST_STREAM]
        if outcome.kind == "SE":
            assert resets == [Frame(RST_STREAM, 0, stream, u32(outcome.code))]
        elif outcome.kind == "cancelled":
            assert resets == [Frame(RST_STREAM, 0, promised - 2, u32(CANCEL))]
        else:
            assert resets == []
        if outcome == IGNORED:
            assert conn.events == []
        if at is None:
            return
