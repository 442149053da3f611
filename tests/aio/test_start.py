"""`request.start`: a response whose body the handler writes piece by piece."""

import pytest

import cno
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire

CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)


async def handle(request: cno.Request) -> None:
    if request.path == "/trailers":
        async with request.start(200, [("x-a", "1")], trailers=[("x-b", "2")]) as out:
            await out.write(bytearray(b"one"))
            await out.write(memoryview(b"two"))
            await out.write(b"")
            out.trailers.append(("x-c", "3"))
    elif request.path == "/none":
        async with request.start(204) as out:
            await out.write(b"dropped")
    elif request.path == "/closed":
        out = request.start(200)
        with pytest.raises(cno.raw.UsageError, match="inside"):
            await out.write(b"early")
        async with out:
            await out.write(b"all")
            await out.close()
            with pytest.raises(cno.raw.UsageError, match="inside"):
                await out.write(b"late")
            with pytest.raises(cno.raw.UsageError, match="started"):
                await out.__aenter__()
        with pytest.raises(cno.raw.UsageError):
            async with request.start(200):
                pass
    else:
        async with request.start(200) as out:
            await out.write(b"half")
            raise LookupError("on purpose")


@CLEAR
def test_pieces_and_trailers(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/trailers")
            assert response.header("x-a") == "1"
            assert await response.read() == b"onetwo"
            assert response.trailers == [("x-b", "2"), ("x-c", "3")]
            head = await client.request("HEAD", "/trailers")
            assert (head.code, await head.read()) == (200, b"")
            none = await client.request("GET", "/none")
            assert (none.code, await none.read()) == (204, b"")

    lab.run(main())


@CLEAR
def test_the_order_of_calls(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/closed")
            assert await response.read() == b"all"

    lab.run(main())


@CLEAR
def test_an_exception_leaves_the_body_incomplete(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/half")
            with pytest.raises(cno.ConnectionError):
                await response.read()

    lab.run(main(), failures=1)
