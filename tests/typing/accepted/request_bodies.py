"""Bodies of every kind."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

import cno


async def pieces() -> AsyncIterator[bytes]:
    yield b"piece"


def lines() -> Iterator[bytes]:
    yield b"line\n"


async def send(pool: cno.Pool, reader: asyncio.StreamReader, file: BinaryIO, url: str) -> None:
    for data in (b"1", bytearray(b"2"), memoryview(b"3"), io.BytesIO(b"4"), None):
        await pool.request("PUT", url, data=data)
    await pool.request("PUT", url, data=pieces())
    await pool.request("PUT", url, data=lines())
    await pool.request("PUT", url, data=reader)
    await pool.request("PUT", url, data=file)
