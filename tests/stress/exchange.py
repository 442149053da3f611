"""One request of a plan: how it is sent, how its response is read, and what must be true of both.

Raises Violation for what must never happen. Knows nothing of when a failure is excused.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import cno
from tests.stress.bodies import BASE, DOWN, MARK, UP, Check, Mark, WrongBody, body, place
from tests.stress.plan import FILES, Plan

#: Bytes of each piece of a body that is sent piece by piece.
PIECE = 17_000


class Violation(Exception):
    """What must never happen; `kind` says which promise is broken."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class ProducerFailed(Exception):
    """The source of a body fails on purpose."""


class CutShort(Exception):
    """A server says that the request it got was incomplete."""

    retryable = False


#: What may happen where something was disturbed.
FAILURES = (cno.ConnectError, cno.ConnectionLostError, cno.StreamError, CutShort)


class Exchange:
    """One request, as far as it has got."""

    def __init__(self, plan: Plan, pool: cno.Pool, url: str) -> None:
        self.plan = plan
        self.url = url + target_of(plan)
        self.stage = "waiting for the head"
        self.begun = False
        self.answered = False  # completely, with all that was promised
        self.pool = pool
        self._mark: Mark | None = None
        self._filling: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Send it and read what comes. Raises Violation, FAILURES, ProducerFailed."""
        plan = self.plan
        self.begun = True
        self._mark = Mark(plan.number)
        MARK.set(self._mark)
        try:
            response = await self._ask()
            try:
                self.stage = f"reading the body of {response!r}"
                await self._judge(response)
                self.stage = "done"
            finally:
                if not self._goes_on:
                    response.cancel()
        except WrongBody as error:
            raise Violation("download", str(error)) from None
        finally:
            if self._filling is not None and not self._goes_on:
                self._filling.cancel()
        if MARK.get() is not self._mark:
            raise Violation("context", "a request has lost its context")

    @property
    def _goes_on(self) -> bool:
        """Whether the upload goes on although the response has ended."""
        return self.answered and self.plan.kind == "early"

    async def _ask(self) -> cno.Response:
        plan = self.plan
        headers = [("range", range_of(plan))] if plan.kind == "range" else []
        if plan.form == "sized" and plan.up:
            headers.append(("content-length", str(plan.up)))
        if plan.form == "expect" and plan.up:
            headers.append(("expect", "100-continue"))
        if not plan.up:
            return await self.pool.request(plan.method, self.url, headers)
        if plan.form in ("bytes", "expect"):
            data = body(plan.number, UP, plan.up)
            return await self.pool.request(plan.method, self.url, headers, data)
        if plan.form == "channel":
            channel: cno.Channel[bytes] = cno.Channel(2)
            self._filling = asyncio.ensure_future(self._fill(channel))
            return await self.pool.request(plan.method, self.url, headers, channel)
        return await self.pool.request(plan.method, self.url, headers, self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        plan = self.plan
        until = plan.up if plan.fail_at < 0 else plan.fail_at
        data = body(plan.number, UP, until)
        for at in range(0, until, PIECE):
            if MARK.get() is not self._mark:
                raise Violation("context", "the source of a body runs in another context")
            yield data[at : at + PIECE]
            await asyncio.sleep(0)
        if plan.fail_at >= 0:
            raise ProducerFailed

    async def _fill(self, channel: "cno.Channel[bytes]") -> None:
        data = body(self.plan.number, UP, self.plan.up)
        try:
            for at in range(0, len(data), PIECE):
                await channel.put(data[at : at + PIECE])
        except BrokenPipeError:
            return
        channel.close()

    # -- what comes ------------------------------------------------------------------------------

    async def _judge(self, response: cno.Response) -> None:
        plan = self.plan
        expected = self._expected_code(response)
        if plan.relayed and response.code in (400, 408):
            raise CutShort(f"{response.code}")  # the relay ended the request in its middle
        if response.code != expected:
            raise Violation("status", f"{response.code} instead of {expected}")
        if plan.peer == "ours" and response.code == 200:
            number = dict(response.headers).get("x-number")
            if number != str(plan.number):
                raise Violation("mixed up", f"this is the response to request {number}")
        text = self._expected_text(response)
        if text is not None:
            check = Check(text, 0, len(text))
        elif plan.method == "HEAD":
            check = Check(b"", 0, 0)
        elif plan.kind == "echo":
            check = Check.of(plan.number, UP, plan.up)
        elif plan.kind == "file":
            check = Check(BASE, 0, FILES[plan.down])
        else:
            check = Check.of(plan.number, DOWN, plan.down)
        if not await self._read(response, check):
            return
        if plan.kind in ("crashlate", "reset"):
            raise Violation("download", "a response that failed in the middle is taken for whole")
        if plan.fail_at >= 0 and plan.kind not in ("early", "refused", "post"):
            raise Violation("upload", "a body that failed in the middle is taken for whole")
        check.end()
        if plan.kind == "echo" and plan.peer == "ours":
            if response.trailers != [("x-size", str(plan.up))]:
                raise Violation("trailers", f"{response.trailers}")
        self.answered = True

    def _expected_code(self, response: cno.Response) -> int:
        plan = self.plan
        if plan.kind == "put":
            return response.code if response.code in (201, 204) else 201
        return {"crash": 500, "refused": 413, "range": 206}.get(plan.kind, 200)

    def _expected_text(self, response: cno.Response) -> bytes | None:
        """The body of responses that have no part of BASE."""
        plan = self.plan
        if plan.kind == "digest":
            return hashlib.sha256(body(plan.number, UP, plan.up)).hexdigest().encode()
        if plan.kind == "post":
            return f"/post/{plan.number}".encode()
        if plan.kind in ("crash", "put"):
            return b""
        return b"too large" if plan.kind == "refused" else None

    async def _read(self, response: cno.Response, check: Check) -> bool:
        """Read the body, to its end or not; whether that was the end."""
        payload, how = response.payload, self.plan.reading
        if how == "whole":
            check.feed(await payload.read())
            return True
        if how == "park":
            await asyncio.sleep(0.3)
        if how in ("leave", "cancel"):
            check.feed(await payload.read(1 + self.plan.number % 20_000))
            if how == "cancel":
                response.cancel()
            return False
        slow = 40 if how == "slow" else 0
        while data := await payload.read(8_192 if slow else 65_536):
            check.feed(data)
            if slow:
                slow -= 1
                await asyncio.sleep(0.01)
        return True


def target_of(plan: Plan) -> str:
    """The path that is asked for."""
    if plan.peer == "ours":
        return plan.path
    if plan.kind == "range":
        return f"/base.bin?{plan.number}"
    if plan.kind == "file":
        return f"/{FILES[plan.down]}.bin?{plan.number}"
    if plan.kind == "put":
        return f"/put/{plan.number}-{plan.up}"
    return f"/{plan.kind}/{plan.number}"


def range_of(plan: Plan) -> str:
    start = place(plan.number, DOWN)
    return f"bytes={start}-{start + plan.down - 1}"
