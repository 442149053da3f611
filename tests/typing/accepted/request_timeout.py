"""Time limits: a number, or by phase."""

import math

import cno

PATIENT = cno.Timeout(connect=5, read=math.inf)


async def fetch(pool: cno.Pool, client: cno.Client) -> None:
    async with pool.request("GET", "http://cno.test/", timeout=5):
        pass
    async with pool.request("GET", "http://cno.test/", timeout=0.5):
        pass
    await client.request("GET", "/", timeout=PATIENT)
    await cno.request("GET", "http://cno.test/", timeout=cno.Timeout(3.0, pool=1.0, write=None))
