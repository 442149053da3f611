"""A handler that is a proxy for CONNECT, for tests of clients that go through one."""

import asyncio

import cno
from tests.aio.lab import Handler


def tunnel_proxy(asked: list[str]) -> Handler:
    """Return a handler that connects tunnels to their hosts; it adds each method to `asked`."""

    async def proxy(request: cno.Request) -> None:
        asked.append(request.method)
        host, _, port = (request.header("host") or "").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with await request.upgrade() as tunnel:

            async def back() -> None:
                while data := await reader.read(65_536):
                    await tunnel.write(data)
                await tunnel.write_eof()

            task = asyncio.ensure_future(back())
            while data := await tunnel.read(65_536):
                writer.write(data)
            writer.close()
            await task

    return proxy
