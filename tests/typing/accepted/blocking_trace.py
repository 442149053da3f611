"""Traces and stats of the blocking client."""

import io
from typing import assert_type

import cno
from cno import sync
from cno.trace import Counters, JsonLines, Several, Tap, Tracer


class Mine(Tracer):
    def open(self, server: bool, http2: bool | None = None) -> Tap | None:
        return None


async def asynchronous(url: str) -> None:
    async with cno.connect(url, trace=Mine()) as client:
        assert_type(client.stats(), cno.ConnectionStats)
    await cno.request("GET", url, trace=Counters())


def main(url: str) -> None:
    counters = Counters()
    with sync.Pool(trace=Several(counters, JsonLines(io.StringIO()))) as pool:
        pool.request("GET", url).read()
        assert_type(pool.stats(), list[cno.ConnectionStats])
    with sync.connect(url, trace=counters) as client:
        assert_type(client.stats().frames_sent, dict[str, int])
    sync.request("GET", url, trace=Mine()).close()
