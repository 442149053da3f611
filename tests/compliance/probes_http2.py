"""The questions about RFC 9113, by the sections of RFC 7540; `probes.py` says what they are."""

from tests import frames as f
from tests.compliance.probes import (
    CLOSED,
    COMPRESSION,
    FLOW,
    PROTOCOL,
    SIZE,
    Acknowledged,
    Alive,
    Answered,
    Closed,
    Ended,
    Probe,
    Reset,
    Sent,
    block,
    cut,
    fields,
    get,
    has_data,
    hold,
    is_ping,
    opened,
    post,
    setting,
    without,
)
from tests.frames import frame

FRAMING: list[Probe] = [
    ("3.5/1: a preface", lambda p: [get(p)], Answered(1)),  # 3.5/2: in test_probes.py
    ("4.1/1: an unknown type", lambda p: [frame(0xFF, 0, 0, b"\0" * 8)], Alive()),
    ("4.1/2: unknown flags", lambda p: [frame(f.PING, 0x16, 0, b"12345678")], Sent(is_ping)),
    ("4.1/3: the reserved bit", lambda p: [frame(f.PING, 0, 1 << 31, b"12345678")], Sent(is_ping)),
    ("4.2/1: DATA of 2^14", lambda p: [post(p), p.data(1, b"x" * 16_384, True)], Answered(1)),
    ("4.2/2: DATA above it", lambda p: [post(p), p.data(1, b"x" * 16_385, True)], Closed(SIZE)),
    (
        "4.2/3: HEADERS above it",
        lambda p: [p.headers_frame(1, p.block(f.REQUEST) + b"\0" * 16_385, end_stream=True)],
        Closed(SIZE),
    ),
    ("4.3/1: a bad block", lambda p: block(b"\x40", p), Closed(COMPRESSION)),
    (
        "4.3/2: PRIORITY within a block",
        lambda p: [p.headers_frame(1, cut(p, 2)[0], end_headers=False), p.priority(1, 0, 255)],
        Closed(PROTOCOL),
    ),
    (
        "4.3/3: HEADERS within a block",
        lambda p: [p.headers_frame(1, cut(p, 2)[0], end_headers=False), get(p, 3)],
        Closed(PROTOCOL),
    ),
    ("5.1/1: idle, DATA", lambda p: [p.data(1, b"test", True)], Closed(PROTOCOL)),
    ("5.1/2: idle, RST_STREAM", lambda p: [p.rst(1)], Closed(PROTOCOL)),
    ("5.1/3: idle, WINDOW_UPDATE", lambda p: [p.window_update(1, 100)], Closed(PROTOCOL)),
    (
        "5.1/4: idle, CONTINUATION",
        lambda p: [p.continuation(1, p.block(f.REQUEST))],
        Closed(PROTOCOL),
    ),
    (
        "5.1/5: half-closed, DATA",
        lambda p: [hold(p), p.data(1, b"test", True)],
        Reset(1, CLOSED),
    ),
    ("5.1/6: half-closed, HEADERS", lambda p: [hold(p), get(p)], Reset(1, CLOSED)),
    (
        "5.1/7: half-closed, CONTINUATION",
        lambda p: [hold(p), p.continuation(1, p.block(f.REQUEST))],
        Closed(PROTOCOL),
    ),
    (
        "5.1/8: reset, DATA",
        lambda p: [opened(p), p.rst(1), p.data(1, b"test", True)],
        Reset(1, CLOSED),
    ),
    ("5.1/9: reset, HEADERS", lambda p: [opened(p), p.rst(1), get(p)], Closed(CLOSED)),
    (
        "5.1/10: reset, CONTINUATION",
        lambda p: [opened(p), p.rst(1), p.continuation(1, p.block([("a", "b")]))],
        Closed(PROTOCOL),
    ),
    (
        "5.1/11: ended, DATA",
        lambda p: [get(p), Ended(1), p.data(1, b"test", True)],
        Reset(1, CLOSED),
    ),
    ("5.1/12: ended, HEADERS", lambda p: [get(p), Ended(1), get(p)], Closed(CLOSED)),
    (
        "5.1/13: ended, CONTINUATION",
        lambda p: [get(p), Ended(1), p.continuation(1, p.block([("a", "b")]))],
        Closed(PROTOCOL),
    ),
    ("5.1.1/1: an even stream", lambda p: [get(p, 2)], Closed(PROTOCOL)),
    ("5.1.1/2: a lower stream", lambda p: [get(p, 5), get(p, 3)], Closed(PROTOCOL)),
    (
        "5.1.2/1: too many streams",
        lambda p: [b"".join(hold(p, 2 * n + 1) for n in range(101))],
        Reset(201, f.REFUSED_STREAM),
    ),
    (
        "5.3.1/1: HEADERS that depend on themselves",
        lambda p: [p.headers(1, f.REQUEST, end_stream=True, priority=(1, 255))],
        Reset(1, PROTOCOL),
    ),
    ("5.3.1/2: PRIORITY on itself, idle", lambda p: [p.priority(2, 2)], Closed(PROTOCOL)),
    ("5.3.1/2: the same, open", lambda p: [hold(p), p.priority(1, 1)], Reset(1, PROTOCOL)),
    ("5.4.1/1: an invalid PING", lambda p: [frame(f.PING, 0, 3, b"\0" * 8)], Closed(PROTOCOL)),
    (
        "5.4.1/2: the last stream in GOAWAY",
        lambda p: [get(p), Ended(1), frame(f.PING, 0, 3, b"\0" * 8)],
        Sent(lambda frame: frame.type == f.GOAWAY and frame.last == 1 and frame.code == PROTOCOL),
    ),
    ("5.5/1: an extension frame", lambda p: [frame(0xFF, 0, 0, b"\0" * 8)], Alive()),
    (
        "5.5/2: an extension frame within a block",
        lambda p: [p.headers_frame(1, cut(p, 2)[0], end_headers=False), frame(0xFF)],
        Closed(PROTOCOL),
    ),
]

FRAMES: list[Probe] = [
    ("6.1/1: DATA, stream 0", lambda p: [frame(f.DATA, 1, 0, b"test")], Closed(PROTOCOL)),
    ("6.1/2: DATA, not open", lambda p: [hold(p), p.data(1, b"test")], Reset(1, CLOSED)),
    (
        "6.1/3: DATA, too much padding",
        lambda p: [post(p), frame(f.DATA, 0x9, 1, b"\x06test")],
        Closed(PROTOCOL),
    ),
    (
        "6.2/1: HEADERS, then PRIORITY",
        lambda p: [p.headers_frame(1, cut(p, 2)[0], end_headers=False), p.priority(1)],
        Closed(PROTOCOL),
    ),
    (
        "6.2/2: HEADERS, then those of another stream",
        lambda p: [p.headers_frame(1, cut(p, 2)[0], end_headers=False), get(p, 3)],
        Closed(PROTOCOL),
    ),
    ("6.2/3: HEADERS, stream 0", lambda p: [get(p, 0)], Closed(PROTOCOL)),
    (
        "6.2/4: HEADERS, too much padding",
        lambda p: [frame(f.HEADERS, 0xD, 1, b"\xff" + p.block(f.REQUEST))],
        Closed(PROTOCOL),
    ),
    ("6.3/1: PRIORITY, stream 0", lambda p: [p.priority(0, 1)], Closed(PROTOCOL)),
    (
        "6.3/2: PRIORITY, 4 bytes",
        lambda p: [hold(p), frame(f.PRIORITY, 0, 1, b"\x80\0\0\1")],
        Reset(1, SIZE),
    ),
    ("6.4/1: RST_STREAM, stream 0", lambda p: [p.rst(0)], Closed(PROTOCOL)),
    ("6.4/2: RST_STREAM, idle", lambda p: [p.rst(1)], Closed(PROTOCOL)),
    (
        "6.4/3: RST_STREAM, 3 bytes",
        lambda p: [hold(p), frame(f.RST_STREAM, 0, 1, b"\0\0\0")],
        Closed(SIZE),
    ),
    ("6.5/1: an ACK with content", lambda p: [frame(f.SETTINGS, 1, 0, b"\0" * 6)], Closed(SIZE)),
    ("6.5/2: SETTINGS of a stream", lambda p: [frame(f.SETTINGS, 0, 1, b"")], Closed(PROTOCOL)),
    ("6.5/3: SETTINGS, 3 bytes", lambda p: [frame(f.SETTINGS, 0, 0, b"\0\3\0")], Closed(SIZE)),
    ("6.5.2/1: ENABLE_PUSH 2", lambda p: [setting(f.ENABLE_PUSH, 2)], Closed(PROTOCOL)),
    (
        "6.5.2/2: INITIAL_WINDOW_SIZE 2^31",
        lambda p: [setting(f.INITIAL_WINDOW_SIZE, 1 << 31)],
        Closed(FLOW),
    ),
    (
        "6.5.2/3: MAX_FRAME_SIZE 2^14 - 1",
        lambda p: [setting(f.MAX_FRAME_SIZE, 16_383)],
        Closed(PROTOCOL),
    ),
    (
        "6.5.2/4: MAX_FRAME_SIZE 2^24",
        lambda p: [setting(f.MAX_FRAME_SIZE, 1 << 24)],
        Closed(PROTOCOL),
    ),
    ("6.5.2/5: an unknown one", lambda p: [setting(0xFF, 1), Acknowledged()], Alive()),
    (
        "6.5.3/1: one value after the other",
        lambda p: [
            p.settings([(f.INITIAL_WINDOW_SIZE, 100), (f.INITIAL_WINDOW_SIZE, 1)]),
            Acknowledged(),
            get(p),
        ],
        has_data(1),
    ),
    ("6.5.3/2: SETTINGS", lambda p: [setting(f.ENABLE_PUSH, 0), Acknowledged()], Alive()),
    ("6.7/1: PING", lambda p: [p.ping(b"12345678")], Sent(is_ping)),
    ("6.7/2: an ACK that nobody waits for", lambda p: [p.ping(b"whatever", True)], Alive()),
    ("6.7/3: PING of a stream", lambda p: [frame(f.PING, 0, 1, b"\0" * 8)], Closed(PROTOCOL)),
    ("6.7/4: PING, 6 bytes", lambda p: [frame(f.PING, 0, 0, b"\0" * 6)], Closed(SIZE)),
    (
        "6.8/1: GOAWAY of a stream",
        lambda p: [frame(f.GOAWAY, 0, 1, b"\0" * 8)],
        Closed(PROTOCOL),
    ),
    ("6.9/1: an increment of 0", lambda p: [p.window_update(0, 0)], Closed(PROTOCOL)),
    (
        "6.9/2: an increment of 0, stream",
        lambda p: [hold(p), p.window_update(1, 0)],
        Reset(1, PROTOCOL),
    ),
    (
        "6.9/3: WINDOW_UPDATE, 3 bytes",
        lambda p: [frame(f.WINDOW_UPDATE, 0, 0, b"\0\0\1")],
        Closed(SIZE),
    ),
    (
        "6.9.1/1: a window of 1",
        lambda p: [setting(f.INITIAL_WINDOW_SIZE, 1), Acknowledged(), get(p)],
        has_data(1),
    ),
    (
        "6.9.1/2: a window above 2^31 - 1",
        lambda p: [p.window_update(0, f.MAX_WINDOW), p.window_update(0, f.MAX_WINDOW)],
        Closed(FLOW),
    ),
    (
        "6.9.1/3: that of a stream",
        lambda p: [hold(p), p.window_update(1, f.MAX_WINDOW), p.window_update(1, f.MAX_WINDOW)],
        Reset(1, FLOW),
    ),
    (
        "6.9.2/1: a window that grows later",
        lambda p: [setting(f.INITIAL_WINDOW_SIZE, 0), get(p), setting(f.INITIAL_WINDOW_SIZE, 1)],
        has_data(1),
    ),
    (
        "6.9.2/2: a window below 0",
        lambda p: [
            setting(f.INITIAL_WINDOW_SIZE, 3),
            Acknowledged(),
            get(p),
            setting(f.INITIAL_WINDOW_SIZE, 2),
            p.window_update(1, 2),
        ],
        Sent(lambda frame: frame.type == f.DATA),
    ),
    (
        "6.9.2/3: a window above 2^31 - 1",
        lambda p: [setting(f.INITIAL_WINDOW_SIZE, 1 << 31)],
        Closed(FLOW),
    ),
    (
        "6.10/1: CONTINUATION twice",
        lambda p: [
            p.headers_frame(1, (c := cut(p, 3))[0], end_stream=True, end_headers=False),
            p.continuation(1, c[1], False),
            p.continuation(1, c[2]),
        ],
        Answered(1),
    ),
    (
        "6.10/2: then another frame",
        lambda p: [
            p.headers_frame(1, (c := cut(p, 3))[0], end_stream=True, end_headers=False),
            p.continuation(1, c[1], False),
            p.data(1, b"test"),
        ],
        Closed(PROTOCOL),
    ),
    (
        "6.10/3: CONTINUATION, stream 0",
        lambda p: [
            p.headers_frame(1, (c := cut(p, 2))[0], end_stream=True, end_headers=False),
            p.continuation(0, c[1]),
        ],
        Closed(PROTOCOL),
    ),
    (
        "6.10/4: after END_HEADERS",
        lambda p: [hold(p), p.continuation(1, p.block([("a", "b")]))],
        Closed(PROTOCOL),
    ),
    (
        "6.10/5: after END_HEADERS of another",
        lambda p: [
            p.headers_frame(1, (c := cut(p, 2))[0], end_headers=False),
            p.continuation(1, c[1]),
            p.continuation(1, p.block([("a", "b")])),
        ],
        Closed(PROTOCOL),
    ),
    (
        "6.10/6: after DATA",
        lambda p: [opened(p), p.data(1, b"test"), p.continuation(1, p.block([("a", "b")]))],
        Closed(PROTOCOL),
    ),
    ("7/1: GOAWAY, unknown code", lambda p: [hold(p), p.goaway(0, 0xFF)], Alive()),
    ("7/2: RST_STREAM, unknown code", lambda p: [hold(p), p.rst(1, 0xFF)], Alive()),
]

MESSAGES: list[Probe] = [
    (
        "8.1/1: a second head without the end",
        lambda p: [opened(p), p.headers(1, [("x-test", "ok")])],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2/1: upper case",
        lambda p: [fields(p, *f.REQUEST, ("X-TEST", "ok"))],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.1/1: an unknown pseudo-header field",
        lambda p: [fields(p, *f.REQUEST, (":test", "ok"))],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.1/2: one of responses",
        lambda p: [fields(p, *f.REQUEST, (":status", "200"))],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.1/3: in trailers",
        lambda p: [
            opened(p),
            p.data(1, b"test"),
            p.headers(1, [(":method", "POST")], end_stream=True),
        ],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.1/4: behind a regular one",
        lambda p: [fields(p, *f.REQUEST[:3], ("x-test", "ok"), f.REQUEST[3])],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.2/1: connection",
        lambda p: [fields(p, *f.REQUEST, ("connection", "keep-alive"))],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.2/2: te",
        lambda p: [fields(p, *f.REQUEST, ("te", "trailers, deflate"))],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.3/1: an empty path",
        lambda p: [fields(p, *f.REQUEST[:3], (":path", ""))],
        Reset(1, PROTOCOL),
    ),
    ("8.1.2.3/2: no :method", lambda p: [fields(p, *without(":method"))], Reset(1, PROTOCOL)),
    ("8.1.2.3/3: no :scheme", lambda p: [fields(p, *without(":scheme"))], Reset(1, PROTOCOL)),
    ("8.1.2.3/4: no :path", lambda p: [fields(p, *without(":path"))], Reset(1, PROTOCOL)),
    (
        "8.1.2.3/5: :method twice",
        lambda p: [fields(p, f.REQUEST[0], *f.REQUEST)],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.3/6: :scheme twice",
        lambda p: [fields(p, f.REQUEST[1], *f.REQUEST)],
        Reset(1, PROTOCOL),
    ),
    ("8.1.2.3/7: two :path", lambda p: [fields(p, f.REQUEST[3], *f.REQUEST)], Reset(1, PROTOCOL)),
    (
        "8.1.2.6/1: a wrong content-length",
        lambda p: [post(p, 1, ("content-length", "1")), p.data(1, b"test", True)],
        Reset(1, PROTOCOL),
    ),
    (
        "8.1.2.6/2: the same, in pieces",
        lambda p: [
            post(p, 1, ("content-length", "1")),
            p.data(1, b"t"),
            p.data(1, b"est", True),
        ],
        Reset(1, PROTOCOL),
    ),
    ("8.2/1: PUSH_PROMISE", lambda p: [p.push_promise(1, 3, f.REQUEST)], Closed(PROTOCOL)),
]
