"""A server with TLS, and all its options."""

import ssl
from pathlib import Path

import cno


async def main(handle: cno.Handler) -> None:
    files = Path("cert.pem"), Path("key.pem")
    async with cno.serve(handle, "127.0.0.1", 443, certfile=files[0], keyfile=files[1]):
        pass
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    async with cno.serve(
        handle,
        "127.0.0.1",
        443,
        ssl=context,
        backlog=10,
        reuse_port=True,
        date=False,
        settings={"max_concurrent_streams": 10, "enable_connect_protocol": 1},
        limits=cno.Limits(body_timeout=None),
        proxy_protocol=["10.0.0.0/8"],
    ):
        pass
