"""A forward proxy for CONNECT, over HTTP/1.1 and HTTP/2. It carries bytes without reading them.

    python -m cno.examples.proxy
    curl --proxytunnel --proxy http://127.0.0.1:8080 https://example.com/

Every client of the proxy can reach all hosts that the proxy can reach. So it listens on the
loopback interface unless `--host` names another, and `--ports` restricts the ports.
"""

import argparse
import asyncio
import socket
import struct

import cno
from cno import raw

#: Seconds to connect to a host.
PATIENCE = 10.0


class Proxy:
    """The proxy; `handle` is its handler. `ports`: the allowed ports; empty: all."""

    def __init__(self, ports: frozenset[int] = frozenset()) -> None:
        self.ports = ports

    async def handle(self, request: cno.Request) -> None:
        """Answer a CONNECT by a tunnel, and anything else by 405."""
        fields = dict(request.headers)
        if request.method != "CONNECT" or ":protocol" in fields:
            await request.respond(405, [("allow", "CONNECT")])
            return
        host, _, number = fields[":authority"].rpartition(":")
        if not host or not number.isascii() or not number.isdigit():
            await request.respond(400)
            return
        if self.ports and int(number) not in self.ports:
            await request.respond(403)
            return
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(number))
        except TimeoutError:
            await request.respond(504)
        except (OSError, OverflowError, UnicodeError):  # of a name that cannot exist, the last
            await request.respond(502)
        else:
            try:
                await join(await request.upgrade(), reader, writer)
            finally:
                writer.close()


async def join(
    tunnel: cno.Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Copy bytes in both directions until both sides have ended, or one connection is lost."""
    try:
        async with tunnel:
            await copy(tunnel, reader, writer)
    except* (OSError, cno.ConnectionError):
        # `tunnel` has been reset: end the other side by RST instead of FIN (RFC 9113 8.5).
        if not writer.is_closing():  # the host may have ended it
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.transport.abort()


async def copy(
    tunnel: cno.Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Copy in both directions. An error of the host resets the stream by CONNECT_ERROR."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(up(tunnel, writer))
            group.create_task(down(reader, tunnel))
    except* OSError as lost:  # cno.ConnectionError is one
        if not any(is_about(error, tunnel) for error in lost.exceptions):
            # > A proxy treats any error in the TCP connection, which includes receiving a TCP
            # > segment with the RST bit set, as a stream error (Section 5.4.2) of type
            # > CONNECT_ERROR.   (RFC 9113 8.5)
            tunnel.conn.write_reset(tunnel.stream, raw.CNO_RST_CONNECT_ERROR)
        raise


def is_about(error: Exception, tunnel: cno.Tunnel) -> bool:
    """Return whether an error is about the client's connection, not the host's."""
    return isinstance(error, cno.ConnectionError) and error.concerns(tunnel)


async def up(tunnel: cno.Tunnel, writer: asyncio.StreamWriter) -> None:
    """Copy from the client to the host."""
    while data := await tunnel.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def down(reader: asyncio.StreamReader, tunnel: cno.Tunnel) -> None:
    """Copy from the host to the client."""
    while data := await reader.read(65536):
        await tunnel.write(data)
    await tunnel.write_eof()


async def serve(host: str, port: int, ports: frozenset[int]) -> None:
    """Run the proxy."""
    server = cno.serve(Proxy(ports).handle, host, port)
    async with server:
        name = server.sockets[0].getsockname()
        print(f"http://{name[0]}:{name[1]}", flush=True)
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cno.examples.proxy")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--ports", type=int, nargs="*", default=[], help="the only ports to connect to"
    )
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, options.port, frozenset(options.ports)))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
