"""The smallest handler, and the whole program."""

import cno


async def handle(request: cno.Request) -> None:
    await request.respond(200, [("content-type", "text/plain")], b"hello")


def main() -> None:
    cno.run(handle, "127.0.0.1", 8000)
