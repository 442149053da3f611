"""Where servers listen, and how they let connections in."""

import asyncio
import contextlib
import gc
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cno import aio
from cno.aio.server.listener import ACCEPTS
from cno.limits import Limits
from tests.aio.lab import HOST, Lab, hello, place, settle, until
from tests.support import PREFACE, REQUEST, FrameFactory


def test_serve_by_await_and_by_async_with(lab: Lab) -> None:
    async def main() -> None:
        listener = await aio.serve(hello, HOST, 0)
        assert isinstance(listener, aio.Listener)
        assert listener.sockets[0].getsockname()[0] == HOST
        response = await aio.request("GET", place(listener))
        assert await response.payload.read() == b"hello"
        listener.close()
        await listener.wait_closed()
        with pytest.raises(OSError):  # noqa: PT011  # the text is the system's
            await aio.connect(place(listener))
        async with aio.serve(hello, HOST, 0) as listener:
            response = await aio.request("GET", place(listener))
            assert await response.payload.read() == b"hello"
        listener.close()
        await listener.wait_closed()

    lab.run(main())


def test_serve_on_a_socket_and_a_path(lab: Lab) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = socket.create_server((HOST, 0))
        async with aio.serve(hello, sock=sock) as listener:
            response = await aio.request("GET", place(listener))
            assert await response.payload.read() == b"hello"
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "socket"))
            async with aio.serve(hello, path=path):
                _, client = await loop.create_unix_connection(
                    lambda: aio.Client("cno.test", "http", force_http2=True), path
                )
                response = await client.request("GET", "/")
                assert await response.payload.read() == b"hello"
                client.close()
                await client.wait_closed()

    lab.run(main())


def test_serving_that_nobody_awaits_is_noticed(lab: Lab) -> None:
    async def main() -> None:
        with pytest.warns(RuntimeWarning, match=r"^cno\.serve\(\) was never awaited$") as noticed:
            aio.serve(hello, HOST, 0)
        assert [each.filename for each in noticed] == [__file__]
        # Not where it is refused, closed or used. (Warnings are errors here.)
        with pytest.raises(TypeError):
            aio.serve("hello", HOST, 0)  # type: ignore[call-overload]  # the point
        aio.serve(hello, HOST, 0).close()
        listener = await aio.serve(hello, HOST, 0)
        listener.close()
        del listener
        async with aio.serve(hello, HOST, 0):
            pass
        forever = asyncio.ensure_future(aio.serve(hello, HOST, 0).serve_forever())
        await asyncio.sleep(0.01)
        forever.cancel()
        gc.collect()

    lab.run(main())


def test_a_crowd_is_let_in_a_few_at_a_time(lab: Lab, tmp_path: Path) -> None:
    """asyncio would take as many in one turn of the loop as may wait in the system's queue."""
    crowd = 10 * ACCEPTS

    async def main(address: dict[str, Any], way: int, to: Any) -> None:
        async with aio.serve(hello, **address) as listener:
            with contextlib.ExitStack() as stack:
                for _ in range(crowd):
                    sock = stack.enter_context(socket.socket(way, socket.SOCK_STREAM))
                    sock.settimeout(5)
                    sock.connect(to or listener.sockets[0].getsockname())
                before, steps = 0, []
                while before < crowd:
                    await asyncio.sleep(0)
                    steps.append(listener.connections - before)
                    before = listener.connections
                if lab.loop_factory is None:  # uvloop accepts by itself
                    assert max(steps) <= ACCEPTS
            await until(lambda: listener.connections == 0, "they are gone")

    lab.run(main({"host": HOST, "port": 0}, socket.AF_INET, None))
    path = str(tmp_path / "socket")
    lab.run(main({"path": path}, socket.AF_UNIX, path))
    bound = socket.socket()
    bound.bind((HOST, 0))
    lab.run(main({"sock": bound}, socket.AF_INET, None))


def remove(path: str) -> bool:
    """Whether the file was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def test_socket_file_is_removed_by_whom_it_belongs_to(lab: Lab) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/socket"
            async with aio.serve(hello, path=path):
                pass
            assert not remove(path)
            first = await aio.serve(hello, path=path)
            assert remove(path)
            second = await aio.serve(hello, path=path)
            first.close()
            await first.wait_closed()
            _, client = await asyncio.get_running_loop().create_unix_connection(
                lambda: aio.Client("cno.test", "http"), path
            )
            assert (await client.request("GET", "/")).code == 200
            second.close()
            await second.wait_closed()
            await client.wait_closed()

    lab.run(main())


def test_serve_on_several_hosts_and_on_a_port_that_is_shared(lab: Lab) -> None:
    async def main() -> None:
        async with aio.serve(hello, [HOST, "127.0.0.2"], 0) as listener:
            addresses = {sock.getsockname()[:2] for sock in listener.sockets}
            assert len(addresses) == 2
            assert len({port for _, port in addresses}) == 1
            for host, port in addresses:
                response = await aio.request("GET", f"http://{host}:{port}/")
                assert await response.payload.read() == b"hello"
        async with aio.serve(hello, HOST, 0, reuse_port=True) as listener:
            port = listener.sockets[0].getsockname()[1]
            async with aio.serve(hello, HOST, port, reuse_port=True) as other:
                assert other.sockets[0].getsockname()[1] == port
                response = await aio.request("GET", place(listener))
                assert await response.payload.read() == b"hello"

    lab.run(main())


def test_any_free_port_is_the_same_on_all_interfaces(lab: Lab) -> None:
    async def main() -> None:
        for host in (None, "", "localhost"):
            async with aio.serve(hello, host, 0) as listener:
                ports = {sock.getsockname()[1] for sock in listener.sockets}
                assert len(ports) == 1
                for sock in listener.sockets:
                    name = "[::1]" if sock.family == socket.AF_INET6 else HOST
                    response = await aio.request("GET", f"http://{name}:{min(ports)}/")
                    assert await response.payload.read() == b"hello"

    lab.run(main())


def test_a_port_that_is_taken_is_an_error(lab: Lab) -> None:
    async def main() -> None:
        async with aio.serve(hello, HOST, 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            with pytest.raises(OSError, match="in use"):
                await aio.serve(hello, [HOST, "127.0.0.2"], port)

    lab.run(main())


def test_mode_of_a_unix_socket(lab: Lab, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "socket"
        for mode in (0o600, 0o660, 0o666):
            async with aio.serve(hello, path=str(path), mode=mode):
                assert path.stat().st_mode & 0o777 == mode
                response = await aio.request("GET", "http://cno.test/", unix=str(path))
                assert await response.payload.read() == b"hello"
        with pytest.raises(ValueError, match="mode"):
            aio.serve(hello, HOST, 0, mode=0o600)  # type: ignore[call-overload]  # the point

    lab.run(main())


def test_serve_needs_one_place_and_one_way(lab: Lab) -> None:
    sock = socket.socket()
    certs = lab.certs
    try:
        with pytest.raises(ValueError, match="one of"):
            aio.serve(hello)  # type: ignore[call-overload]  # the point
        with pytest.raises(ValueError, match="one of"):
            aio.serve(hello, HOST, 0, sock=sock)  # type: ignore[call-overload]  # the point
        with pytest.raises(ValueError, match="certfile"):
            aio.serve(hello, HOST, 0, keyfile=certs.keyfile)
        with pytest.raises(ValueError, match="certfile"):
            aio.serve(hello, HOST, 0, certfile=certs.certfile, ssl=certs.server())
    finally:
        sock.close()


def test_serve_with_a_context_and_with_files(lab: Lab) -> None:
    async def main() -> None:
        certs = lab.certs
        for arguments in (
            {"ssl": certs.server()},
            {"certfile": certs.certfile, "keyfile": certs.keyfile},
        ):
            async with aio.serve(hello, HOST, 0, **arguments) as listener:
                url = place(listener).replace("http", "https")
                response = await aio.request("GET", url, ssl_ctx=certs.client())
                assert response.conn.is_http2
                assert await response.payload.read() == b"hello"

    lab.run(main())


def test_closing_what_has_not_begun_yet(lab: Lab) -> None:
    async def main() -> None:
        listener = aio.serve(hello, HOST, 0)

        async def begin() -> None:
            await listener

        beginning = asyncio.ensure_future(begin())
        await asyncio.sleep(0)
        listener.close()
        await beginning
        await asyncio.wait_for(listener.wait_closed(), 5)
        assert all(sock.fileno() < 0 for sock in listener.sockets)
        async with aio.serve(hello, HOST, 0) as other:
            other.close()
        async with other:
            pass

    lab.run(main())


@pytest.mark.parametrize("turns", range(1, 6))
def test_who_is_cancelled_while_it_begins_leaves_no_server(
    lab: Lab, tmp_path: Path, turns: int
) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")

        async def begin() -> aio.Listener:
            return await aio.serve(hello, path=path)

        beginning = asyncio.ensure_future(begin())
        await settle(turns)
        beginning.cancel()
        try:
            listener = await beginning
        except asyncio.CancelledError:
            await settle()
            with pytest.raises(OSError):  # noqa: PT011  # the text is the system's
                await asyncio.get_running_loop().create_unix_connection(asyncio.Protocol, path)
        else:
            listener.close()
            await listener.wait_closed()

    lab.run(main())


def test_a_mode_that_cannot_be_set_leaves_no_server(lab: Lab, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(OverflowError):
            await aio.serve(hello, path=str(tmp_path / "socket"), mode=1 << 40)

    lab.run(main())
    assert not list(tmp_path.iterdir())


#: The header of a RST_STREAM frame on stream 1.
RST = bytes([0, 0, 4, 3, 0, 0, 0, 0, 1])


@pytest.mark.parametrize("http2", [False, True])
def test_any_authority_is_for_unix_sockets(lab: Lab, tmp_path: Path, http2: bool) -> None:
    """The switch is without effect where requests come over a network."""
    limits = Limits(allow_any_authority=True)
    if http2:
        pen = FrameFactory()
        fields = [*REQUEST[:2], (":authority", "/run/x.sock"), (":path", "/")]
        wire = PREFACE + pen.settings() + pen.headers(1, fields, end_stream=True)
    else:
        wire = b"GET / HTTP/1.1\r\nHost: /run/x.sock\r\nConnection: close\r\n\r\n"

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(wire)
        got = b""
        while not any(end in got for end in (b"hello", b" 400 ", RST)):
            data = await asyncio.wait_for(reader.read(65536), 5)
            if not data:
                break
            got += data
        writer.close()
        return got

    async def main() -> None:
        path = str(tmp_path / "socket")
        async with aio.serve(hello, path=path, limits=limits):
            assert b"hello" in await answers(*await asyncio.open_unix_connection(path))
        async with aio.serve(hello, HOST, 0, limits=limits) as listener:
            name = listener.sockets[0].getsockname()
            assert b"hello" not in await answers(*await asyncio.open_connection(*name))

    lab.run(main())


def test_what_never_began_has_ended(lab: Lab) -> None:
    async def main() -> None:
        listener = aio.serve(hello, HOST, 0)
        await asyncio.wait_for(listener.wait_closed(), 1)
        async with listener:
            pass

    lab.run(main())


def test_a_socket_file_that_somebody_else_has_removed(lab: Lab, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "socket"
        async with aio.serve(hello, path=str(path)):
            path.unlink()
        assert not path.exists()

    lab.run(main())
