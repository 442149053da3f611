"""A pool with every option."""

import ssl
from typing import assert_type

import cno


async def main() -> None:
    async with cno.Pool(
        ssl.create_default_context(),
        ssl_hostname="cno.test",
        max_connections=None,
        max_per_origin=10,
        retries=0,
        retry_idempotent=False,
        pushes=True,
        settings={"header_table_size": 0},
        limits=cno.Limits(keepalive_timeout=None),
    ) as pool:
        assert_type(pool, cno.Pool)
        assert_type(pool.connections, int)
    pool.close()
    await pool.aclose()
