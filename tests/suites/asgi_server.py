"""Serves an ASGI application by `cno.asgi.Handler`, for suites: module:app host port [cert key]."""

import asyncio
import sys
from importlib import import_module

import cno
from cno.asgi import Handler


async def main(name: str, host: str, port: str, *pair: str) -> None:
    module, _, attribute = name.partition(":")
    app = getattr(import_module(module), attribute)
    cert, key = pair if pair else (None, None)
    settings: cno.SettingsDict = {"enable_connect_protocol": 1}
    async with Handler(app) as handler:
        server = cno.serve(handler, host, int(port), certfile=cert, keyfile=key, settings=settings)
        await server.serve_forever()


if __name__ == "__main__":
    sys.path.insert(0, "")
    asyncio.run(main(*sys.argv[1:]))
