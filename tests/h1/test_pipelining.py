"""Several requests at once on a connection (RFC 9112 9.3.2): order, re-entrancy, bounds."""

from collections.abc import Callable

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import (
    FIELDS,
    GET,
    OK,
    SMUGGLED,
    answering,
    asked,
    request,
    requests,
    respond,
    response,
    responses,
)
from tests.rows import each_row
from tests.support import LOCAL, REMOTE, Headers, Recorder, feed, h1_client, h1_server, play


def get(i: int, *fields: bytes, version: bytes = b"1.1") -> bytes:
    return request(b"Host: a", *fields, line=b"GET /%d HTTP/" % i + version)


def outstanding(count: int, limits: Limits | None = None) -> Recorder:
    """A server with that many requests to answer, on streams 1, 3, 5, ..."""
    conn = h1_server(limits=limits)
    conn.data_received(b"".join(map(get, range(count))))
    return conn


def bodies(conn: Recorder) -> list[bytes]:
    return [r.body for r in responses(conn.take())]


# -- order -----------------------------------------------------------------------------------------


def test_an_answer_out_of_order_would_block() -> None:
    conn = outstanding(3)
    for stream in (5, 3):
        for final in (True, False):
            with pytest.raises(raw.WouldBlockError) as error:
                conn.write_head(stream, 200, "", "", [], final)
            assert error.value.errno == raw.CNO_ERRNO_WOULD_BLOCK
    assert conn.take() == b""
    for stream in (1, 3, 5):
        respond(conn, stream, body=b"%d" % stream)
    assert bodies(conn) == [b"1", b"3", b"5"]


def test_an_answer_behind_half_an_answer_would_block() -> None:
    conn = outstanding(2)
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"abc", False)
    conn.take()
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(3, 200, "", "", [], False)
    with pytest.raises(raw.ConnectionError):
        conn.write_data(3, b"x", True)
    with pytest.raises(raw.ConnectionError):
        conn.write_tail(3, [])
    assert conn.take() == b""
    conn.write_data(1, b"d", True)
    assert conn.take() == b"1\r\nd\r\n0\r\n\r\n"
    respond(conn, 3, body=b"two")
    assert bodies(conn) == [b"two"]


def test_an_informational_response_out_of_order_would_block() -> None:
    conn = outstanding(2)
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(3, 103, "", "", [], False)
    assert conn.take() == b""
    conn.write_head(1, 103, "", "", [], False)
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(3, 103, "", "", [], False)
    assert [r.code for r in responses(conn.take())] == [103]


def test_data_before_its_head_is_refused() -> None:
    conn = outstanding(1)
    with pytest.raises(raw.ConnectionError):
        conn.write_data(1, b"x", False)
    with pytest.raises(raw.ConnectionError):
        conn.write_tail(1, [])
    assert conn.take() == b""


def test_streams_that_do_not_exist() -> None:
    conn = outstanding(1)
    for stream in (0, 2, 3, 5, -1):
        with pytest.raises(raw.ConnectionError) as error:
            conn.write_head(stream, 200, "", "", [], True)
        assert error.value.errno in (raw.CNO_ERRNO_INVALID_STREAM, raw.CNO_ERRNO_ASSERTION)
    assert conn.take() == b""


def test_events_of_a_stream_are_in_order() -> None:
    conn = outstanding(2)
    respond(conn, 1)
    respond(conn, 3)
    for stream in (1, 3):
        of_it = [e for e in conn.events if e[1:2] == (stream,)]
        assert [e[0] for e in of_it] == ["start", "head", "tail", "end"]
        assert of_it[-1] == ("end", stream, raw.CNO_RST_NO_ERROR, LOCAL)


def test_the_side_that_ends_last_ends_the_stream() -> None:
    conn = h1_server()
    conn.data_received(request(b"Host: a", b"Content-Length: 3", line=b"POST / HTTP/1.1"))
    respond(conn, fields=[("x", "y")])
    (answer,) = responses(conn.take())
    if not answer.closes:
        assert not conn.of("end")
        conn.data_received(b"abc")
        assert conn.of("end") == [("end", 1, raw.CNO_RST_NO_ERROR, REMOTE)]


# -- re-entrancy -----------------------------------------------------------------------------------


class Queueing(Recorder):
    """Answers only when the last of `count` requests is in; then the rest from on_stream_end."""

    count = 4

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        super().on_message_tail(stream, trailers)
        if stream == 2 * self.count - 1:
            respond(self, 1, body=b"1")

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        super().on_stream_end(stream, code, side)
        if stream + 2 in self.open_streams:
            respond(self, stream + 2, body=b"%d" % (stream + 2))


def test_answers_written_in_the_event_that_ends_the_one_before() -> None:
    conn = play(lambda: h1_server(recorder=Queueing), b"".join(map(get, range(4))) + get(9))
    assert conn.error is None
    assert bodies(conn) == [b"1", b"3", b"5", b"7"]
    assert conn.open_streams == [9]


class Eager(Recorder):
    """Answers in the event `when`, whatever has come of the request by then."""

    when = ""

    def event(self, name: str, stream: int) -> None:
        if name == self.when and stream in self.open_streams:
            respond(self, stream, body=name.encode())

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.event("head", stream)

    def on_message_data(self, stream: int, data: bytes) -> None:
        super().on_message_data(stream, data)
        self.event("data", stream)
        self.when = "" if self.when == "data" else self.when

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        super().on_message_tail(stream, trailers)
        self.event("tail", stream)


def eager(when: str) -> Callable[[], Recorder]:
    def make() -> Recorder:
        conn = Eager(True)
        conn.when = when
        conn.connection_made(False)
        return conn

    return make


@each_row("when", ["head", "data", "tail"])
@each_row(
    "body",
    [(b"Content-Length: 5", b"hello"), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")],
)
def test_an_answer_written_inside_an_event(when: str, body: tuple[bytes, bytes]) -> None:
    post = request(b"Host: a", body[0], line=b"POST / HTTP/1.1", body=body[1])
    # Whether an early answer closes may depend on how much of the body is there: compare no cuts.
    conn = eager(when)()
    feed(conn, post)
    assert conn.error is None
    (answer,) = responses(conn.take())
    assert answer.body == when.encode()
    if not answer.closes:
        assert conn.of("data", "tail") == [("data", 1, b"hello"), ("tail", 1, None)]
        assert len(conn.of("end")) == 1


def test_a_large_answer_in_pieces_inside_an_event() -> None:
    class Large(Recorder):
        def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
            super().on_message_tail(stream, trailers)
            self.write_head(stream, 103, "", "", [("link", "x")], False)
            self.write_head(stream, 200, "", "", [], False)
            for i in range(50):
                assert self.write_data(stream, b"%02d" % i, False) == 2
            self.write_tail(stream, [("x-last", "1")])

    conn = play(lambda: h1_server(recorder=Large), get(1) + get(2))
    assert conn.error is None
    written = responses(conn.take())
    assert [w.code for w in written] == [103, 200, 103, 200]
    assert written[1].body == written[3].body == b"".join(b"%02d" % i for i in range(50))
    assert written[1].trailers == [("x-last", "1")]


def test_a_request_written_inside_the_event_that_ends_the_one_before() -> None:
    class Again(Recorder):
        def on_stream_end(self, stream: int, code: int, side: int) -> None:
            super().on_stream_end(stream, code, side)
            if stream < 7:
                self.write_head(self.next_stream, 0, "POST", "/", FIELDS, True)

    conn = Again(False)
    conn.connection_made(False)
    conn.write_head(1, 0, "POST", "/", FIELDS, True)
    for stream in (1, 3, 5, 7):
        assert len(requests(conn.take())) == 1
        feed(conn, OK)
        assert conn.of("tail")[-1] == ("tail", stream, None)
    assert conn.error is None
    assert conn.take() == b""


def test_a_request_written_inside_the_head_event_of_the_one_before() -> None:
    class Again(Recorder):
        def on_message_head(
            self, stream: int, code: int, method: str, path: str, headers: Headers
        ) -> None:
            super().on_message_head(stream, code, method, path, headers)
            if stream < 5:
                self.write_head(self.next_stream, 0, "GET", "/", FIELDS, True)

    conn = Again(False)
    conn.connection_made(False)
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    feed(conn, OK + OK + OK)
    assert conn.error is None
    assert [e[1] for e in conn.of("tail")] == [1, 3, 5]
    assert len(requests(conn.take())) == 3


def test_an_exception_of_an_event_comes_out() -> None:
    class Broken(Recorder):
        def on_message_head(
            self, stream: int, code: int, method: str, path: str, headers: Headers
        ) -> None:
            raise LookupError(path)

    conn = h1_server(recorder=Broken)
    with pytest.raises(LookupError, match="/1"):
        conn.data_received(get(1))


# -- bounds ----------------------------------------------------------------------------------------


def test_more_requests_than_allowed_wait() -> None:
    conn = h1_server(limits=Limits(max_pipelined=2))
    with pytest.raises(raw.WouldBlockError) as error:
        conn.data_received(b"".join(map(get, range(5))))
    assert error.value.errno == raw.CNO_ERRNO_WOULD_BLOCK
    assert [e[4] for e in conn.of("head")] == ["/0", "/1"]
    with pytest.raises(raw.WouldBlockError):
        conn.data_received(b"")
    assert len(conn.of("head")) == 2
    respond(conn, 1)
    with pytest.raises(raw.WouldBlockError):
        conn.data_received(b"")
    assert [e[4] for e in conn.of("head")] == ["/0", "/1", "/2"]
    respond(conn, 3)
    respond(conn, 5)
    conn.data_received(b"")
    assert [e[4] for e in conn.of("head")] == [f"/{i}" for i in range(5)]
    respond(conn, 7)
    respond(conn, 9)
    assert len(bodies(conn)) == 5


def test_what_arrives_while_waiting_is_kept() -> None:
    conn = h1_server(limits=Limits(max_pipelined=1))
    data = b"".join(map(get, range(3)))
    for at in range(len(data)):
        try:
            conn.data_received(data[at : at + 1])
        except raw.WouldBlockError:
            assert at >= len(get(0))
    assert [e[4] for e in conn.of("head")] == ["/0"]
    for stream in (1, 3, 5):
        respond(conn, stream)
        try:
            conn.data_received(b"")
        except raw.WouldBlockError:
            assert stream == 1
    assert [e[4] for e in conn.of("head")] == ["/0", "/1", "/2"]


def test_as_many_as_allowed_do_not_wait() -> None:
    conn = outstanding(2, Limits(max_pipelined=2))
    assert len(conn.of("head")) == 2
    conn.data_received(b"")


def test_the_body_of_the_last_allowed_request_is_read() -> None:
    conn = h1_server(limits=Limits(max_pipelined=1))
    conn.data_received(request(b"Host: a", b"Content-Length: 6", line=b"POST / HTTP/1.1"))
    conn.data_received(b"abc")
    conn.data_received(b"def")
    assert conn.of("data", "tail") == [("data", 1, b"abcdef"), ("tail", 1, None)]


def test_sixteen_wait_by_default() -> None:
    conn = h1_server()
    with pytest.raises(raw.WouldBlockError):
        conn.data_received(b"".join(map(get, range(100))))
    assert len(conn.of("head")) == 16


def test_no_bound_for_those_answered_at_once() -> None:
    conn = answering()
    conn.data_received(b"".join(map(get, range(500))))
    assert bodies(conn) == [b"/%d" % i for i in range(500)]


def test_answering_from_a_full_queue_inside_an_event() -> None:
    class Pairs(Recorder):
        """Answers two at a time, when the second is in."""

        def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
            super().on_message_tail(stream, trailers)
            if len(self.open_streams) == 2:
                for open_stream in list(self.open_streams):
                    respond(self, open_stream, body=b"%d" % open_stream)

    conn = play(
        lambda: h1_server(recorder=Pairs, limits=Limits(max_pipelined=2)),
        b"".join(map(get, range(6))),
    )
    assert conn.error is None
    assert bodies(conn) == [b"1", b"3", b"5", b"7", b"9", b"11"]


# -- ends ------------------------------------------------------------------------------------------


def test_a_close_delimited_answer_is_the_last() -> None:
    conn = outstanding(2)
    conn.data_received(get(2, version=b"1.0") + SMUGGLED)
    assert [e[4] for e in conn.of("head")] == ["/0", "/1", "/2"]
    respond(conn, 1, body=b"one")
    respond(conn, 3, body=b"two")
    conn.write_head(5, 200, "", "", [], False)
    conn.write_data(5, b"thr", False)
    assert not conn.of("close")
    conn.write_data(5, b"ee", True)
    assert bodies(conn) == [b"one", b"two", b"three"]
    assert conn.events[-2:] == [("end", 5, 0, LOCAL), ("close",)] or conn.events[-2:] == [
        ("close",),
        ("end", 5, 0, LOCAL),
    ]


def test_a_closing_answer_leaves_later_requests_unanswered() -> None:
    conn = outstanding(3)
    respond(conn, 1, body=b"bye", fields=[("connection", "close")])
    (answer,) = responses(conn.take())
    assert answer.closes
    assert conn.of("close") == [("close",)]
    for stream in (3, 5):
        with pytest.raises(raw.ConnectionError):
            respond(conn, stream)
    assert conn.take() == b""
    assert conn.open_streams == [], "streams that can never be answered are left open"


def test_reset_closes_the_connection_without_a_word() -> None:
    conn = outstanding(2)
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"abc", False)
    conn.take()
    conn.write_reset(1, raw.CNO_RST_CANCEL)
    assert conn.take() == b"", (
        "an end that looks like a proper one, or something behind half an answer"
    )
    assert ("end", 1, raw.CNO_RST_CANCEL, LOCAL) in conn.events
    with pytest.raises(raw.ConnectionError):
        respond(conn, 3)
    assert conn.take() == b""
    assert conn.of("close") == [("close",)]


def test_reset_of_a_request_by_a_client() -> None:
    conn = asked()
    conn.write_reset(1, raw.CNO_RST_CANCEL)
    assert conn.take() == b""
    assert conn.of("end") == [("end", 1, raw.CNO_RST_CANCEL, LOCAL)]
    assert conn.of("close") == [("close",)]
    with pytest.raises(raw.ConnectionError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)


def test_shutdown_answers_what_has_been_received() -> None:
    conn = outstanding(2)
    conn.shutdown()
    assert not conn.of("close")
    respond(conn, 1)
    assert not conn.of("close")
    respond(conn, 3)
    assert [r.closes for r in responses(conn.take())] == [False, True]
    assert conn.of("close") == [("close",)]
    conn.data_received(SMUGGLED)
    assert len(conn.of("head")) == 2


def test_shutdown_of_a_client_waits_for_its_responses() -> None:
    conn = asked()
    conn.write_head(3, 0, "GET", "/", FIELDS, True)
    conn.take()
    conn.shutdown()
    with pytest.raises(raw.DisconnectError):
        conn.write_head(5, 0, "GET", "/", FIELDS, True)
    assert not conn.of("close")
    feed(conn, OK)
    assert not conn.of("close")
    feed(conn, OK)
    assert conn.error is None
    assert [e[1] for e in conn.of("tail")] == [1, 3]
    assert conn.of("close") == [("close",)]
    assert conn.take() == b""


def test_a_response_that_closes_leaves_later_requests_unanswered() -> None:
    conn = asked()
    conn.write_head(3, 0, "GET", "/", FIELDS, True)
    feed(conn, response(b"Connection: close", b"Content-Length: 2", body=b"ok") + OK)
    assert [e[1] for e in conn.of("head")] == [1]
    assert conn.of("end")[0] == ("end", 1, 0, REMOTE)
    assert conn.of("close") == [("close",)]
    assert conn.open_streams == []
    (end,) = [e for e in conn.of("end") if e[1] == 3]
    assert end[2] != raw.CNO_RST_NO_ERROR


def test_input_that_ends_while_answers_are_due() -> None:
    conn = outstanding(3)
    conn.connection_lost()
    assert [e[1:] for e in conn.of("end")] == [(s, raw.CNO_RST_CANCEL, LOCAL) for s in (1, 3, 5)]
    with pytest.raises(raw.ConnectionError):
        respond(conn, 1)


def test_stream_ids_of_a_client() -> None:
    conn = h1_client()
    for stream in (1, 3, 5):
        assert conn.next_stream == stream
        conn.write_head(stream, 0, "GET", "/", FIELDS, True)
    for stream in (2, 5, 9, 0):
        with pytest.raises(raw.ConnectionError):
            conn.write_head(stream, 0, "GET", "/", FIELDS, True)
    assert len(requests(conn.take())) == 3


def test_get_is_not_changed_by_the_tests() -> None:
    assert requests(GET)[0].fields == [("host", "a")]


# -- faults ----------------------------------------------------------------------------------------

BAD = b"GET  / HTTP/1.1\r\n\r\n"
BAD_BODY = request(
    b"Host: a", b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1", body=b"5\r\nhelloXX"
)


def test_a_fault_waits_for_answers_and_then_ends_everything() -> None:
    conn = outstanding(2)
    feed(conn, BAD + SMUGGLED)
    assert conn.error is None and not conn.of("close", "close()") and conn.take() == b""
    feed(conn, SMUGGLED)
    assert len(conn.of("head")) == 2
    respond(conn, 1, body=b"one")
    assert bodies(conn) == [b"one"]
    respond(conn, 3, body=b"two")
    answers = responses(conn.take())
    assert [(r.code, r.closes) for r in answers] == [(200, False), (400, True)]
    assert conn.events[-2:] == [("close",), ("close()",)]
    with pytest.raises(raw.DisconnectError):
        respond(conn, 5)


def test_a_fault_in_a_body_waits_for_the_answers_before_it() -> None:
    conn = outstanding(1)
    feed(conn, BAD_BODY)
    assert conn.error is None
    assert conn.of("data") == [("data", 3, b"hello")]
    assert [e[1] for e in conn.of("end")] == [3], "the faulty request is over"
    respond(conn, 1, body=b"one")
    assert [r.code for r in responses(conn.take())] == [200, 400]
    assert conn.events[-2:] == [("close",), ("close()",)]


def test_a_fault_that_waits_is_not_answered_into_half_an_answer() -> None:
    conn = outstanding(1)
    feed(conn, BAD)
    conn.write_head(1, 200, "", "", [("content-length", "100")], False)
    conn.write_data(1, b"half", False)
    assert conn.take().endswith(b"\r\n\r\nhalf")
    conn.write_reset(1, raw.CNO_RST_CANCEL)
    assert conn.take() == b"", "the error response became a part of the body before it"
    assert conn.of("close") == [("close",)]


def test_a_fault_that_waits_is_not_answered_behind_a_reset() -> None:
    conn = outstanding(1)
    feed(conn, BAD)
    conn.write_reset(1, raw.CNO_RST_CANCEL)
    # The peer would take an error response for the answer to its first request.
    assert conn.take() == b""
    assert conn.of("close") == [("close",)]


@pytest.mark.parametrize("how", ["connection: close", "shutdown"])
def test_a_fault_that_waits_is_not_answered_behind_the_last_answer(how: str) -> None:
    conn = outstanding(1)
    feed(conn, BAD)
    if how == "shutdown":
        conn.shutdown()
        respond(conn, 1, body=b"one")
    else:
        respond(conn, 1, body=b"one", fields=[("connection", "close")])
    codes = [(r.code, r.closes) for r in responses(conn.take())]
    assert codes in ([(200, True)], [(200, False), (400, True)])
    assert conn.of("close") == [("close",)]


@pytest.mark.parametrize("final", [True, False])
def test_a_fault_in_the_body_of_a_request_whose_answer_has_begun(final: bool) -> None:
    conn = h1_server()
    feed(conn, BAD_BODY[:-2])
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"abc", final)
    (answer,) = responses(conn.take() + (b"" if final else b"0\r\n\r\n"))
    assert answer.body == b"abc"
    feed(conn, b"XX")
    if answer.closes:
        return
    assert isinstance(conn.error, raw.ProtocolError)
    assert conn.take() == b""
    assert conn.open_streams == []
    assert conn.events[-2:] == [("close",), ("close()",)]


def test_a_fault_ends_the_streams_that_wait() -> None:
    conn = h1_server()
    feed(conn, BAD_BODY)
    assert isinstance(conn.error, raw.ProtocolError)
    assert [e[0] for e in conn.events] == ["start", "head", "data", "end", "close", "close()"]
    (end,) = conn.of("end")
    assert end[3] == LOCAL and end[2] != raw.CNO_RST_NO_ERROR


# -- input -----------------------------------------------------------------------------------------


def test_every_call_that_brings_more_while_full_would_block() -> None:
    conn = h1_server(limits=Limits(max_pipelined=1))
    conn.data_received(get(0))
    for _ in range(3):
        with pytest.raises(raw.WouldBlockError):
            conn.data_received(get(1))
    assert len(conn.of("head")) == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes(kind: Callable[[bytes], bytes]) -> None:
    conn = answering()
    data = GET + request(b"Host: a", b"Content-Length: 5", line=b"PUT / HTTP/1.1", body=b"hello")
    conn.data_received(kind(data))
    for at in range(len(data)):
        conn.data_received(kind(data[at : at + 1]))
    assert [e[1] for e in conn.of("tail")] == [1, 3, 5, 7]
    assert all(type(e[2]) is bytes for e in conn.events if e[0] == "data")


def test_what_is_kept_is_a_copy() -> None:
    conn = h1_server()
    buffer = bytearray(GET[:10])
    conn.data_received(buffer)
    buffer[:] = b"\0" * 10
    conn.data_received(GET[10:])
    assert conn.of("head") == [("head", 1, 0, "GET", "/", FIELDS)]


def test_input_from_inside_an_event_comes_behind_the_rest() -> None:
    class Feeding(Recorder):
        def on_message_head(
            self, stream: int, code: int, method: str, path: str, headers: Headers
        ) -> None:
            super().on_message_head(stream, code, method, path, headers)
            if stream == 1:
                self.data_received(get(3)[:9])
                self.data_received(get(3)[9:])

    conn = h1_server(recorder=Feeding)
    conn.data_received(get(1) + get(2))
    assert [e[4] for e in conn.of("head")] == ["/1", "/2", "/3"]
    assert [e[1] for e in conn.of("tail")] == [1, 3, 5]


class Raising(Recorder):
    """Raises once from the event `where` of stream 1, behind recording it."""

    where = ""

    def boom(self, where: str, stream: int) -> None:
        if where == self.where and stream == 1:
            self.where = ""
            raise LookupError(where)

    def on_stream_start(self, stream: int) -> None:
        super().on_stream_start(stream)
        self.boom("start", stream)

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.boom("head", stream)

    def on_message_data(self, stream: int, data: bytes) -> None:
        super().on_message_data(stream, data)
        self.boom("data", stream)

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        super().on_message_tail(stream, trailers)
        self.boom("tail", stream)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        super().on_stream_end(stream, code, side)
        self.boom("end", stream)


@each_row("where", ["start", "head", "data", "tail"])
@each_row("chunked", [True, False])
def test_a_server_is_sound_behind_an_exception(where: str, chunked: bool) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 5"
    body = b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"
    conn = h1_server(recorder=Raising)
    assert isinstance(conn, Raising)
    conn.where = where
    with pytest.raises(LookupError, match=where):
        conn.data_received(request(b"Host: a", framing, line=b"PUT / HTTP/1.1", body=body) + GET)
    conn.data_received(b"")
    kinds = [e[0] for e in conn.events]
    assert kinds == ["start", "head", "data", "tail", "start", "head", "tail"]
    respond(conn, 1, body=b"one")
    respond(conn, 3, body=b"two")
    assert bodies(conn) == [b"one", b"two"]


@each_row("where", ["head", "data", "tail", "end"])
@each_row("chunked", [True, False])
def test_a_client_is_sound_behind_an_exception(where: str, chunked: bool) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 5"
    body = b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"
    conn = h1_client(recorder=Raising)
    assert isinstance(conn, Raising)
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    conn.write_head(3, 0, "GET", "/", FIELDS, True)
    conn.where = where
    with pytest.raises(LookupError, match=where):
        conn.data_received(response(framing, body=body) + OK)
    conn.data_received(b"")
    kinds = [e[0] for e in conn.events]
    assert kinds == ["start", "start", "head", "data", "tail", "end", "head", "data", "tail", "end"]
    assert conn.open_streams == []


def test_a_server_is_sound_behind_an_exception_of_the_end() -> None:
    conn = h1_server(recorder=Raising)
    assert isinstance(conn, Raising)
    conn.where = "end"
    conn.data_received(GET + GET)
    with pytest.raises(LookupError):
        respond(conn, 1, body=b"one")
    respond(conn, 3, body=b"two")
    assert bodies(conn) == [b"one", b"two"]


def test_exceptions_of_on_writev_come_out() -> None:
    class Broken(Recorder):
        def on_writev(self, chunks: list[bytes]) -> None:
            raise LookupError("transport")

    conn = h1_server(recorder=Broken)
    conn.data_received(GET)
    with pytest.raises(LookupError):
        respond(conn, body=b"x")


def test_events_that_nobody_wants() -> None:
    """A connection that overrides nothing but its output parses and writes all the same."""

    class Silent(raw.Connection):
        def __init__(self, server: bool) -> None:
            super().__init__(server)
            self.written: list[bytes] = []

        def on_writev(self, chunks: list[bytes]) -> None:
            self.written.extend(chunks)

    server, client = Silent(True), Silent(False)
    server.connection_made(False)
    client.connection_made(False)
    upgrade = [("connection", "upgrade"), ("upgrade", "x")]
    for stream, extra in ((1, []), (3, upgrade), (5, [])):
        client.write_head(stream, 0, "PUT", "/", [*FIELDS, *extra], False)
        client.write_data(stream, b"hello", False)
        client.write_tail(stream, [("x", "y")])
        server.data_received(b"".join(client.written))
        client.written.clear()
        server.write_head(stream, 103, "", "", [], False)
        server.write_head(stream, 200, "", "", [], False)
        server.write_data(stream, b"hello", False)
        server.write_tail(stream, [("x", "y")])
        client.data_received(b"".join(server.written))
        server.written.clear()
    assert client.next_stream == 7
    server.connection_lost()
    client.connection_lost()
