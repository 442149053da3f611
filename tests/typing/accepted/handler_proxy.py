"""A reverse proxy's handler."""

import cno


def proxy(pool: cno.Pool, upstream: str) -> cno.Handler:
    async def handle(request: cno.Request) -> None:
        headers = cno.forwardable(request.headers)
        try:
            async with pool.request(
                request.method, upstream + request.path, headers, request.payload
            ) as response:
                fields = cno.forwardable(response.headers)
                await request.respond(response.code, fields, response.payload)
        except cno.ConnectionError as error:
            if not error.concerns(request) and not request.code:
                await request.respond(502)

    return handle
