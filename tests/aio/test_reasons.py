"""The error of a refused response: its text, the rule, and the field of `Limits` that would accept
it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

import cno
from cno import aio
from cno.aio.client.connect_errors import connect_error
from cno.aio.client.urls import Target
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP2, HTTP2_TLS, Lab, Peer, by_hand, greet, hello

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

#: A response of HTTP/1.1, part of the text, the rule, and the limit.
REFUSED: dict[str, tuple[bytes, str, str, str]] = {
    "LF": (b"HTTP/1.1 200 OK\nx: y\n\n", "LF alone", "RFC 9112 2.2", "allow_bare_lf"),
    "LF in a field": (OK + b"x: y\n\r\n", "LF alone", "RFC 9112 2.2", "allow_bare_lf"),
    "folded": (OK + b"x: y\r\n z\r\n\r\n", "begins with a blank", "RFC 9112 5.2", "allow_obs_fold"),
    "line": (OK + b"x: " + b"y" * 20_000, "line too long", "RFC 9110 5.4", "max_line_size"),
    "fields": (OK + b"x: y\r\n" * 300, "too many fields", "RFC 9110 5.4", "max_header_fields"),
    "list": (
        OK + (b"x: " + b"y" * 16_000 + b"\r\n") * 5,
        "fields too large",
        "RFC 9110 5.4",
        "max_header_list_size",
    ),
    "trailers": (
        CHUNKED + b"0\r\n" + b"x: y\r\n" * 100,
        "too many fields",
        "RFC 9110 5.4",
        "max_trailer_fields",
    ),
    "lengths": (
        OK + b"content-length: 1\r\n" * 2 + b"\r\nx",
        "content-length",
        "RFC 9112 6.3",
        "allow_equal_content_lengths",
    ),
    "lengths that differ": (
        OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx",
        "content-length",
        "RFC 9112 6.3",
        "",
    ),
    "coding": (
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "transfer coding",
        "RFC 9112 6.1",
        "allow_transfer_codings",
    ),
    "too large": (
        OK + b"content-length: 2000\r\n\r\n",
        "content too large",
        "RFC 9110 15.5.14",
        "max_body_size",
    ),
    "chunk": (CHUNKED + b"x\r\n", "chunk size", "RFC 9112 7.1", ""),
    "interim": (
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 400,
        "informational",
        "RFC 9110 15.2",
        "max_informational",
    ),
    "garbage": (b"what?\r\n\r\n", "start line", "RFC 9112 4", ""),
}

LIMITS = Limits(max_body_size=1_000)


def expect(error: cno.ConnectionError, text: str, rule: str, limit: str) -> None:
    assert isinstance(error, aio.StreamError)
    assert text in str(error)
    assert (error.rule, error.limit) == (rule, limit)
    assert f"[{rule}]" in str(error)
    assert (f"(Limits.{limit})" in str(error)) == bool(limit)
    assert not str(error).startswith("[Errno")
    assert not error.retryable


async def refusal(requested: Awaitable[cno.Response]) -> aio.StreamError:
    """The error that a request, or reading its response, raises."""
    try:
        await (await requested).payload.read()
    except aio.StreamError as error:
        return error
    raise AssertionError("not refused")


@pytest.mark.parametrize("name", REFUSED)
def test_http1(lab: Lab, name: str) -> None:
    answer, *wanted = REFUSED[name]

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.send(answer)
        await peer.reader.read()

    async def main() -> None:
        async with by_hand(script) as url, aio.Pool(limits=LIMITS) as pool:
            expect(await refusal(aio.request("GET", url, limits=LIMITS)), *wanted)
            expect(await refusal(pool.request("GET", url)), *wanted)

    lab.run(main())


#: Frames on stream 1, after the request.
FRAMES: dict[str, tuple[Callable[[f.FrameFactory], bytes], str, str, str]] = {
    "header list": (
        lambda p: p.headers(1, [*f.RESPONSE, *[("x", "y" * 3_000)] * 30]),
        "header list too large",
        "RFC 9113 10.5.1",
        "max_header_list_size",
    ),
    "name": (
        lambda p: p.headers(1, [*f.RESPONSE, ("Upper", "y")]),
        "invalid field name 'Upper'",
        "RFC 9113 8.2.1",
        "",
    ),
    "value": (lambda p: p.headers(1, [*f.RESPONSE, ("x", "a\0")]), "'x'", "RFC 9113 8.2.1", ""),
    "path": (  # no limit of ours would accept that
        lambda p: p.headers(1, [*f.RESPONSE, (":path", b"/\xff")]),
        "':path'",
        "RFC 9113 8.3.1",
        "",
    ),
    "status": (lambda p: p.headers(1, [(":status", "2x0")]), "':status'", "RFC 9113 8.3.2", ""),
    "length that is none": (
        lambda p: p.headers(1, [*f.RESPONSE, ("content-length", "x")]),
        "'content-length'",
        "RFC 9110 8.6",
        "",
    ),
    "te": (lambda p: p.headers(1, [*f.RESPONSE, ("te", "x")]), "'te'", "RFC 9113 8.2.2", ""),
    "no status": (lambda p: p.headers(1, [("x", "y")]), ":status", "RFC 9113 8.3.2", ""),
    "body": (
        lambda p: p.headers(1, f.RESPONSE) + p.data(1, bytes(2_000)),
        "body too large",
        "RFC 9110 15.5.14",
        "max_body_size",
    ),
    "length": (
        lambda p: p.headers(1, [*f.RESPONSE, ("content-length", "1")]) + p.data(1, b"xy"),
        "more DATA than content-length says",
        "RFC 9113 8.1.1",
        "",
    ),
    # These end the connection.
    "ping": (lambda p: f.frame(f.PING, 0, 1, bytes(8)), "PING on a stream", "RFC 9113 6.7", ""),
    "frame": (
        lambda p: f.frame(f.PING, 0, 0, bytes(20_000)),
        "frame of 20000 bytes",
        "RFC 9113 4.2",
        "max_frame_size",
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_http2(lab: Lab, name: str) -> None:
    write, *wanted = FRAMES[name]
    limits = replace(LIMITS, max_header_block_size=100_000)

    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.expect(f.HEADERS)
        peer.send(write(peer.pen))
        await peer.reader.read()

    async def main() -> None:
        async with by_hand(script) as url:
            expect(await refusal(aio.request("GET", url, force_http2=True, limits=limits)), *wanted)

    lab.run(main())


def test_a_reset_of_the_peer_has_no_rule_of_ours(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.expect(f.HEADERS)
        peer.send(peer.pen.rst(1, f.CANCEL))
        await peer.reader.read()

    async def main() -> None:
        async with by_hand(script) as url:
            with pytest.raises(aio.StreamError, match="by the peer: CANCEL") as caught:
                await aio.request("GET", url, force_http2=True)
            assert (caught.value.rule, caught.value.limit) == ("", "")

    lab.run(main())


# -- connections that end --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (b"", "before the response"),
        (OK + b"content-length: 10\r\n\r\nhalf", "in the middle of the response"),
        (CHUNKED + b"2\r\nok\r\n", "in the middle of the response"),
    ],
)
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_an_end_says_by_whom_and_where(lab: Lab, answer: bytes, where: str, how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.send(answer)
        await peer.writer.drain()
        if how == "reset":
            await asyncio.sleep(0.05)
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.writer.transport.abort()

    async def main() -> None:
        async with by_hand(script) as url:
            client = await aio.connect(url)
            with pytest.raises(cno.ConnectionError) as caught:
                await (await client.request("GET", "/")).payload.read()
            text = str(caught.value)
            if how == "reset":
                assert (
                    text == f"the connection was lost: [Errno 104] Connection reset by peer {where}"
                )
            else:
                assert text == f"the peer closed the connection {where}"
            await client.wait_closed()

    lab.run(main())


def test_an_end_of_ours_says_so(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read()

    async def main() -> None:
        async with by_hand(script) as url:
            client = await aio.connect(url)
            waiting = asyncio.ensure_future(client.request("GET", "/"))
            await asyncio.sleep(0.01)
            client.close()
            with pytest.raises(cno.ConnectionError, match="closed here"):
                await waiting
            await client.wait_closed()

    lab.run(main())


def test_a_peer_that_was_given_up_is_not_said_to_have_closed(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.rest()

        limits = Limits(ping_interval=0.1, ping_timeout=0.1)
        async with by_hand(script) as url:
            async with await lab.connect(HTTP2, url, limits=limits) as client:
                with pytest.raises(cno.ConnectionError, match=r"lost: the peer .* no PING"):
                    await client.request("GET", "/")

    lab.run(main())


def test_a_connection_that_is_not_made_says_why(lab: Lab) -> None:
    for cause in (ConnectionResetError("gone"), TimeoutError(), OSError("no way")):
        error = connect_error(Target("http://a/"), cause)
        assert str(error) == f"cannot connect to a: {str(cause) or type(cause).__name__}"
        assert error.retryable

    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url, aio.Pool() as pool:
            with pytest.raises(aio.ConnectError, match="certificate") as caught:
                await pool.request("GET", url)
            assert not caught.value.retryable

    lab.run(main())
