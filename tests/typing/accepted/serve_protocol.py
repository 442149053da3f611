"""A server's connections by asyncio itself."""

import asyncio

import cno


async def main(handle: cno.Handler) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: cno.Server(handle), "127.0.0.1", 0)
    async with server:
        await server.serve_forever()
    protocol: asyncio.Protocol = cno.Client(loop, "cno.test", "http", force_http2=True)
    await loop.create_connection(lambda: protocol, "127.0.0.1", 80)
