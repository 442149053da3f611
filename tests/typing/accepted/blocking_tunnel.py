"""Tunnels, pushes and bodies of the blocking client."""

import io
from collections.abc import Iterator
from typing import assert_type

from cno import sync


def pieces() -> Iterator[bytes]:
    yield b"one"


def main(client: sync.Client, pool: sync.Pool, url: str) -> None:
    with client.tunnel("cno.test:22") as tunnel:
        assert_type(tunnel, sync.Tunnel)
        tunnel.write(bytearray(b"data"), timeout=1)
        assert_type(tunnel.read(100, timeout=1.0), bytes)
    assert_type(client.upgrade("chat", "/", timeout=3), sync.Tunnel)
    assert_type(client.ping(), float)
    for data in (b"bytes", io.BytesIO(b"file"), pieces()):
        with pool.request("POST", url, [("a", "b")], data) as response:
            for piece in response:
                assert_type(piece, bytes)
            assert_type(response.trailers, list[tuple[str, str]] | None)
    for push in pool.request("GET", url).pushed:
        assert_type(push.response, sync.Response)
