"""Addresses of a server."""

import socket
from typing import assert_type

import cno


async def main(handle: cno.Handler, sock: socket.socket) -> None:
    async with cno.serve(handle, "127.0.0.1", 8000) as server:
        assert_type(server, cno.Listener)
        assert_type(server.sockets, list[socket.socket])
    async with cno.serve(handle, ["127.0.0.1", "::1"], port=0):
        pass
    async with cno.serve(handle, port=8000), cno.serve(handle, sock=sock):
        pass
    server = await cno.serve(handle, path="/run/socket", mode=0o660)
    await server.serve_forever()
