"""A connection of one's own."""

import asyncio

import cno


class Counted(cno.Server):
    """Counts the connections."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Counted.count += 1
        super().connection_made(transport)
