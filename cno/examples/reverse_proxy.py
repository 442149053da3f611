"""A reverse proxy over both protocols: trailers, back-pressure, 502 and 504.

    python -m cno.examples.reverse_proxy 127.0.0.1 8093 http://127.0.0.1:8000

Bodies pass through in constant memory: a slow reader slows the sender down.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator

import cno

log = logging.getLogger("reverse_proxy")
TIMEOUT = cno.Timeout(connect=5.0, read=60.0)
FORWARDED = "x-forwarded-for"


class ReverseProxy:
    """The handler. `upstream` is the URL of the server behind it, without a path."""

    def __init__(self, pool: cno.Pool, upstream: str) -> None:
        self.pool = pool
        self.upstream = upstream

    async def __call__(self, request: cno.Request) -> None:
        try:
            if request.method == "CONNECT":
                await request.respond(501)
            else:
                await self.forward(request)
        except cno.ConnectionError as error:
            if error.concerns(request):
                log.info("%s: the client has gone: %s", request.path, error)
            elif request.code:
                raise  # in the middle of the response: the client gets an error, too
            else:
                log.warning("%s: the upstream server failed: %s", request.path, error)
                await request.respond(504 if isinstance(error, TimeoutError) else 502)

    async def forward(self, request: cno.Request) -> None:
        peer = request.peer[0] if request.peer else "unknown"
        headers = [each for each in cno.forwardable(request.headers) if each[0] != FORWARDED]
        headers += [(FORWARDED, peer), via(request)]
        sent, received = list[tuple[str, str]](), list[tuple[str, str]]()  # trailers
        data = None if request.payload.at_eof() else body(request, sent)
        url = self.upstream + request.path
        async with self.pool.request(
            request.method, url, headers, data, trailers=sent if data else None, timeout=TIMEOUT
        ) as response:
            fields = [*cno.forwardable(response.headers), via(response)]
            data = body(response, received)
            await request.respond(response.code, fields, data, trailers=received)


def via(message: cno.Request | cno.Response) -> tuple[str, str]:
    return ("via", "2 cno" if message.conn.is_http2 else "1.1 cno")


async def body(
    message: cno.Request | cno.Response, trailers: list[tuple[str, str]]
) -> AsyncIterator[bytes]:
    while data := await message.payload.read(65_536):
        yield data
    trailers += message.trailers or []


async def main(host: str, port: int, upstream: str) -> None:
    async with cno.Pool() as pool, cno.serve(ReverseProxy(pool, upstream), host, port) as server:
        print(f"http://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
