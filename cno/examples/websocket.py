"""WebSockets over HTTP/1.1 (RFC 6455) and over HTTP/2 (RFC 8441): an echo server and a client.

    python -m cno.examples.websocket                       an echo server, on port 8765
    python -m cno.examples.websocket ws://127.0.0.1:8765/  sends it the lines of standard input

It needs the extra `ws`.
"""

import argparse
import asyncio
import sys
from typing import Final

import cno

#: A server announces in HTTP/2 that it supports extended CONNECT.
SETTINGS: Final[cno.SettingsDict] = {"enable_connect_protocol": 1}


async def echo(request: cno.Request) -> None:
    """Send every message back."""
    async with await request.accept_websocket() as socket:
        async for message in socket:
            await socket.send(message)


async def serve(host: str, port: int, cert: str | None, key: str | None) -> None:
    """Run the echo server, over TLS if there is a certificate."""
    server = cno.serve(echo, host, port, certfile=cert, keyfile=key, settings=SETTINGS)
    async with server:
        name = server.sockets[0].getsockname()
        print(f"{'wss' if cert else 'ws'}://{name[0]}:{name[1]}/", flush=True)
        await server.serve_forever()


async def talk(url: str, http2: bool) -> None:
    """Send each line of standard input, and print the replies."""
    async with cno.Pool(force_http2=http2) as pool, pool.websocket(url) as socket:
        while line := await asyncio.to_thread(sys.stdin.readline):
            await socket.send(line.rstrip("\n"))
            print(printable(await socket.receive()), flush=True)


def printable(message: str | bytes) -> str:
    """Return a message without characters that control a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(message))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cno.examples.websocket")
    parser.add_argument("url", nargs="?", help="ws: or wss: URL to talk to; without, serve")
    parser.add_argument("--http2", action="store_true", help="ws: over HTTP/2 (prior knowledge)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--cert", help="serve over TLS: the certificate (PEM)")
    parser.add_argument("--key", help="its private key")
    options = parser.parse_args()
    try:
        if options.url:
            asyncio.run(talk(options.url, options.http2))
        else:
            asyncio.run(serve(options.host, options.port, options.cert, options.key))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
