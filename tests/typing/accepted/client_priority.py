"""Priorities."""

import cno


async def main(client: cno.Client) -> None:
    async with client.request("GET", "/", [("priority", "u=1, i")]) as response:
        response.reprioritize(7, incremental=True)
        response.cancel(cno.raw.CNO_RST_CANCEL)
