"""The server under load with faults put in, so that the load test can be seen to find them."""

import asyncio
from typing import Any

from tests.stress.bodies import Mark
from tests.stress.server import BEGUN, Call, Journal, Site, main


class Spoiled(Site):
    """Does one thing wrong for each of some requests."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._kept: list[Any] = []
        self._wrongs = [
            self._wrong_byte,
            self._too_short,
            self._of_another,
            self._leave_a_task,
            self._keep_a_context,
            self._never_answer,
            self._fail,
        ]
        self._post_begun_twice = False

    async def answer(self, call: Call) -> None:
        method = call.request.method
        if call.kind == "bytes" and method == "GET" and call.down > 1 and self._wrongs:
            await self._wrongs.pop()(call)
            return
        if method == "POST" and not self._post_begun_twice:
            self._post_begun_twice = True
            self.journal.note(BEGUN, call.number)
        await super().answer(call)

    async def _wrong_byte(self, call: Call) -> None:
        data = bytearray(call.body())
        data[-1] ^= 1
        await call.request.respond(200, call.headers, data)

    async def _too_short(self, call: Call) -> None:
        await call.request.respond(200, call.headers, call.body()[:-1])

    async def _of_another(self, call: Call) -> None:
        await call.request.respond(200, [("x-number", "0")], call.body())

    async def _leave_a_task(self, call: Call) -> None:
        self._kept.append(asyncio.ensure_future(asyncio.sleep(3_600)))
        await self.at_once(call)

    async def _keep_a_context(self, call: Call) -> None:
        self._kept.append(list(Mark.alive))
        await self.at_once(call)

    async def _never_answer(self, call: Call) -> None:
        await asyncio.sleep(3_600)

    async def _fail(self, call: Call) -> None:
        raise LookupError("not on purpose")


if __name__ == "__main__":
    main(Spoiled)
