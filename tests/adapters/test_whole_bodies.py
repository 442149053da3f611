"""Responses that are read as a whole look as those that httpx makes itself."""

import asyncio
import copy
import gzip
import pickle
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from cno import aio
from cno.adapters.responses import WholeBodies, response_class
from tests import frames as f
from tests.adapters.kit import Kit
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet

TEXT = b"whole body " * 100
BODIES: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "/plain": ([], TEXT),
    "/empty": ([], b""),
    "/large": ([], b"x" * 1_000_000),
    "/gzip": ([("content-encoding", "gzip")], gzip.compress(TEXT)),
    "/identity": ([("content-encoding", "identity")], TEXT),
    "/teapot": ([("x-code", "418")], TEXT),
}


async def serve(request: aio.Request) -> None:
    fields, body = BODIES[request.path]
    await request.respond(int(dict(fields).get("x-code", "200")), fields, body)


def state(response: Any) -> dict[str, Any]:
    """What users see of a response."""
    return {
        "content": response.content,
        "text": response.text,
        "encoding": response.encoding,
        "downloaded": response.num_bytes_downloaded,
        "is_closed": response.is_closed,
        "is_stream_consumed": response.is_stream_consumed,
        "phrase": response.reason_phrase,
        "took_time": response.elapsed.total_seconds() > 0,
        "repr": repr(response),
    }


@pytest.mark.parametrize("path", BODIES)
def test_same_state_as_httpx(kit: Kit, lab: Lab, path: str) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, serve) as url:
            async with kit.client(lab, HTTP2) as client:
                ours = await client.get(url + path)
            async with kit.httpx.AsyncClient(http1=False, http2=True) as client:
                own = await client.get(url + path)
            assert isinstance(ours, kit.httpx.Response)
            assert state(ours) == state(own)
            assert await ours.aread() == ours.content
            assert [piece async for piece in ours.aiter_bytes(100_000)] == [
                piece async for piece in own.aiter_bytes(100_000)
            ]
            with pytest.raises(kit.httpx.StreamConsumed):
                async for _ in ours.aiter_raw():
                    pass

    lab.run(main())


@pytest.mark.parametrize("path", BODIES)
def test_same_state_without_a_loop(kit: Kit, lab: Lab, path: str) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, serve) as url:
            await asyncio.to_thread(compare, url + path)

    def compare(url: str) -> None:
        with kit.httpx.Client(transport=kit.sync_transport(lab, HTTP2)) as client:
            ours = client.get(url)
        with kit.httpx.Client(http1=False, http2=True) as client:
            own = client.get(url)
        assert state(ours) == state(own)
        assert ours.read() == ours.content
        with pytest.raises(kit.httpx.StreamConsumed):
            list(ours.iter_raw())

    lab.run(main())


def test_partly_read(kit: Kit, lab: Lab, wire: Wire) -> None:
    """httpx refuses to read the rest of a body as a whole, and so do its responses here."""

    async def main() -> None:
        async with lab.serving(wire, serve) as url, kit.client(lab, wire) as client:
            async with client.stream("GET", url + "/large") as response:
                async for _ in response.aiter_bytes():
                    break
                with pytest.raises(kit.httpx.StreamConsumed):
                    await response.aread()
            async with client.stream("GET", url + "/large") as response:
                pass
            with pytest.raises(kit.httpx.StreamClosed):
                await response.aread()
            async with client.stream("GET", url + "/plain") as response:
                with pytest.raises(RuntimeError, match="sync"):
                    response.read()
                assert await response.aread() == TEXT

    lab.run(main())


def test_wrapped_stream_is_read(kit: Kit, lab: Lab) -> None:
    """A transport around ours may replace the stream: all bytes come through it."""

    class Upper(kit.httpx.AsyncByteStream):  # type: ignore[name-defined,misc]  # a module as a value
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self.stream:
                yield piece.upper()

        async def aclose(self) -> None:
            await self.stream.aclose()

    class Wrapper(kit.httpx.AsyncBaseTransport):  # type: ignore[name-defined,misc]  # a module as a value
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def handle_async_request(self, request: Any) -> Any:
            response = await self.inner.handle_async_request(request)
            response.stream = Upper(response.stream)
            return response

        async def aclose(self) -> None:
            await self.inner.aclose()

    async def main() -> None:
        async with lab.serving(HTTP2, serve) as url:
            transport = Wrapper(kit.transport(lab, HTTP2))
            async with kit.httpx.AsyncClient(transport=transport) as client:
                assert (await client.get(url + "/plain")).content == TEXT.upper()

    lab.run(main())


def test_stream_replaced_by_a_hook_is_read(kit: Kit, lab: Lab) -> None:
    """Even if it looks like the wrapper of httpx's client."""

    class Counted(kit.httpx.AsyncByteStream):  # type: ignore[name-defined,misc]  # a module as a value
        def __init__(self, stream: Any) -> None:
            self._stream = stream
            self.count = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self._stream:
                self.count += len(piece)
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def replace(response: Any) -> None:
        response.stream = Counted(response.stream)

    async def main() -> None:
        async with lab.serving(HTTP2, serve) as url, kit.client(lab, HTTP2) as client:
            client.event_hooks = {"response": [replace]}
            for path in ("/plain", "/large"):
                response = await client.get(url + path)
                assert response.stream.count == len(response.content) == len(BODIES[path][1])

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_body_that_comes_in_pieces(kit: Kit, lab: Lab, wire: Wire) -> None:
    """It is read as it comes: with its trailers, and with the time that it takes."""

    async def pieces(request: aio.Request) -> None:
        async with request.start(200, [], trailers=[("x-end", "1")]) as out:
            for _ in range(3):
                await out.write(b"piece")
                await asyncio.sleep(0.01)

    async def main() -> None:
        async with lab.serving(wire, pieces) as url, kit.client(lab, wire) as client:
            response = await client.get(url)
            assert response.content == b"piecepiecepiece"
            assert response.num_bytes_downloaded == 15
            assert response.elapsed.total_seconds() >= 0.03
            assert response.extensions["trailers"] == [(b"x-end", b"1")]

    lab.run(main())


def test_trailers_of_a_whole_body(kit: Kit, lab: Lab) -> None:
    async def with_trailers(request: aio.Request) -> None:
        await request.respond(200, [], b"body", trailers=[("x-end", "1")])

    async def main() -> None:
        async with lab.serving(HTTP2, with_trailers) as url, kit.client(lab, HTTP2) as client:
            response = await client.get(url)
            assert response.content == b"body"
            assert response.extensions["trailers"] == [(b"x-end", b"1")]

    lab.run(main())


def test_cut_short(kit: Kit, lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        head = await peer.expect(f.HEADERS)
        peer.send(peer.pen.headers(head.stream, f.RESPONSE) + peer.pen.data(head.stream, b"abc"))
        peer.send(peer.pen.rst(head.stream, 2))
        await peer.rest()

    async def main() -> None:
        async with by_hand(script) as url, kit.client(lab, HTTP2) as client:
            async with client.stream("GET", url) as response:
                with pytest.raises(kit.httpx.RemoteProtocolError) as raised:
                    await response.aread()
                assert raised.value.request is response.request
                with pytest.raises(kit.httpx.ResponseNotRead):
                    assert response.content
            assert response.is_closed

    lab.run(main())


def test_pickled_response_is_of_httpx(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, serve) as url, kit.client(lab, HTTP1) as client:
            response = await client.get(url + "/plain")
            for again in (pickle.loads(pickle.dumps(response)), copy.copy(response)):
                assert type(again) is kit.httpx.Response
                assert again.content == TEXT
                assert again.headers == response.headers

    lab.run(main())


def test_unknown_attributes() -> None:
    """A version of httpx with other private attributes keeps its own class of responses."""

    class Response:
        def __init__(self, status_code: int, *, content: bytes) -> None:
            self.loaded = content

    module = SimpleNamespace(Response=Response)
    assert response_class(module, WholeBodies) is Response
