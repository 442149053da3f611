"""An ASGI application beside handlers."""

from typing import Any

import cno
from cno.asgi import Handler


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def main() -> None:
    async with Handler(app) as handler, cno.serve(handler, "127.0.0.1", 8000) as server:
        await server.serve_forever()
