"""Uploads of any size in constant memory: the body is hashed as it arrives, the hash is a trailer.

    python -m cno.examples.upload --limit 1000000000
    curl -T some.file http://127.0.0.1:8090/

The response begins before the body has ended, and reports the progress. A body whose content-length
is too large is refused before it is read (with curl's Expect: before it is sent).
"""

import argparse
import asyncio
import hashlib
from collections.abc import AsyncIterator

import cno

#: Bytes between two lines of progress.
STEP = 10_000_000


class Uploads:
    """The upload service; `handle` is its handler. `limit`: bytes of the largest body."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    async def handle(self, request: cno.Request) -> None:
        if request.method not in ("POST", "PUT"):
            await request.respond(405, [("allow", "POST, PUT")])
            return
        if int(dict(request.headers).get("content-length", "0")) > self.limit:
            await request.respond(413, [("content-type", "text/plain")], b"too much\n")
            return
        trailers: list[tuple[str, str]] = []
        fields = [("content-type", "text/plain"), ("trailer", "digest")]
        first = await request.payload.read(65536)  # this sends a 100 to a client that expects one
        progress = self.progress(first, request.payload, trailers)
        await request.respond(200, fields, progress, trailers=trailers)

    async def progress(
        self, data: bytes, body: asyncio.StreamReader, trailers: list[tuple[str, str]]
    ) -> AsyncIterator[bytes]:
        """Read the body, and yield a line of progress every STEP bytes."""
        digest = hashlib.sha256()
        size = 0
        while data:
            digest.update(data)
            if size // STEP != (size + len(data)) // STEP:
                yield f"{size + len(data)} bytes so far\n".encode()
            size += len(data)
            if size > self.limit:  # the response ends here, without trailers
                yield b"too much\n"
                return
            data = await body.read(65536)
        trailers.append(("digest", f"sha-256={digest.hexdigest()}"))
        yield f"{size} bytes\n".encode()


async def serve(host: str, port: int, limit: int) -> None:
    """Run the service."""
    server = cno.serve(Uploads(limit).handle, host, port)
    async with server:
        name = server.sockets[0].getsockname()
        print(f"http://{name[0]}:{name[1]}/", flush=True)
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cno.examples.upload")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--limit", type=int, default=1_000_000_000, help="bytes")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, options.port, options.limit))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
