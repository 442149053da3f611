"""Interim responses, pushes and upgrades."""

from typing import assert_type

import cno


async def handle(request: cno.Request) -> None:
    await request.inform(103, [("link", "</style.css>; rel=preload; as=style")])
    request.push("GET", "/style.css", [("accept", "text/css")])
    tunnel = await request.upgrade([("upgrade", "chat")])
    assert_type(tunnel, cno.Tunnel)
