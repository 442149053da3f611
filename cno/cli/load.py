"""Sends many requests and times them: closed loop, or open loop at a fixed rate.

In an open loop a request has a time at which it is due. It counts from then, also if it had to wait
for a connection: a slow answer does not hide the requests behind it (coordinated omission). Knows
connections and times. Must never know how results are shown.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from cno.aio.client.connection import Client
from cno.aio.client.urls import Target
from cno.cli.connecting import Dialer
from cno.cli.histogram import Times
from cno.cli.problems import Problem, reason
from cno.cli.processor_share import ProcessorShare
from cno.errors import ConnectionError

Headers = list[tuple[str, str]]

#: Kinds of errors that are told apart.
MAX_ERRORS: Final = 20
#: Seconds to wait for the last answers.
PATIENCE: Final = 10.0
#: The share of the time from which on the client is what is slow: it had work, and did it or waited
#: for a processor.
BUSY: Final = 0.9


@dataclass(eq=False, repr=False)
class Plan:
    """What to send. `requests` and `duration` (seconds) end it; `rate` makes the loop open."""

    target: Target
    method: str
    headers: Headers
    body: bytes
    connections: int
    streams: int
    requests: int | None
    duration: float | None
    rate: float | None
    warm_up: float


@dataclass
class Report:
    """What happened."""

    plan: Plan
    url: str
    protocol: str = ""
    seconds: float = 0.0
    times: Times = field(default_factory=Times)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    late: int = 0  #: Open loop: requests that were due and could not be sent.
    received: int = 0  #: Bytes of content.
    cpu: float = 0.0  #: The client's share of one processor.
    waited: float = 0.0  #: The share of the time for which the client waited for a processor.
    most: float = 0.0  #: Answers for each second of processor time: the client's own limit.

    @property
    def client_limited(self) -> bool:
        """Whether the client, and maybe not the server, was what was slow."""
        return self.cpu + self.waited > BUSY

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.times.count / self.seconds if self.seconds else 0.0


async def load(dialer: Dialer, plan: Plan) -> Report:
    """Run a plan. Raises Problem if no connection can be made."""
    target = plan.target
    report = Report(plan, f"{target.scheme}://{target.authority}{target.path}")
    clients = [(await dialer.connect(target))[0] for _ in range(plan.connections)]
    report.protocol = "HTTP/2" if clients[0].is_http2 else "HTTP/1.1"
    if plan.streams > 1 and not clients[0].is_http2:
        raise Problem("-m is for HTTP/2: this server speaks HTTP/1.1", 2)
    run = Run(dialer, plan, report)
    try:
        await run.all(clients)
    finally:
        for client in run.clients:
            client.transport.abort()
    return report


class Run:
    """The requests of a plan that is under way."""

    def __init__(self, dialer: Dialer, plan: Plan, report: Report) -> None:
        self.clients: list[Client] = []
        self._dialer = dialer
        self._plan = plan
        self._report = report
        self._loop = asyncio.get_running_loop()
        # (`loop.time` of uvloop has milliseconds.)
        self._now = time.perf_counter
        self._begun = 0  # requests that were taken
        self._answered = 0  # of these, also those that are not counted
        self._from = 0.0  # when counting begins
        self._until: float | None = None
        self._start = 0.0

    async def all(self, clients: list[Client]) -> None:
        """Send all requests, and wait for their answers."""
        plan, loop = self._plan, self._loop
        self.clients = clients
        self._start = self._now()
        self._from = self._start + plan.warm_up
        if plan.duration is not None:
            self._until = self._from + plan.duration
        share = ProcessorShare()
        workers = [
            loop.create_task(self._worker(number))
            for number in range(len(clients))
            for _ in range(plan.streams)
        ]
        patience = None
        if self._until is not None:
            patience = self._until - self._now() + PATIENCE
        _, pending = await asyncio.wait(workers, timeout=patience)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
            self._failed("no answer at the end", len(pending))
        for task in workers:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        report, now = self._report, self._now()
        report.cpu, report.waited = share.used(), share.waited()
        report.most = self._answered / max(share.seconds(), 1e-9)
        last = now if self._until is None else min(now, self._until)
        report.seconds = max(last - self._from, 1e-9)
        self._count_late()

    def _count_late(self) -> None:
        """Open loop: count what was due within the time and was not sent."""
        plan = self._plan
        if plan.rate is None or self._until is None:
            return
        due = int((self._until - self._start) * plan.rate)
        if plan.requests is not None:
            due = min(due, plan.requests)
        self._report.late = max(0, due - self._begun)

    def _take(self) -> float | None:
        """Return when the next request is due; None if there is none."""
        plan, now = self._plan, self._now()
        number = self._begun
        if plan.requests is not None and number >= plan.requests:
            return None
        due = now if plan.rate is None else self._start + number / plan.rate
        if self._until is not None and max(due, now) >= self._until:
            return None
        self._begun += 1
        return due

    async def _worker(self, number: int) -> None:
        """Send one request after the other over a connection."""
        while (due := self._take()) is not None:
            delay = due - self._now()
            if delay > 0:
                await asyncio.sleep(delay)
            try:
                await self._request(self.clients[number], due)
            except ConnectionError as error:
                self._failed(reason(error), 1)
                await self._reconnect(number)

    async def _request(self, client: Client, due: float) -> None:
        plan, report = self._plan, self._report
        response = await client.request(plan.method, plan.target.path, plan.headers, plan.body)
        size = len(await response.payload.read())
        ended = self._now()
        self._answered += 1
        if ended < self._from or (self._until is not None and ended > self._until):
            return
        report.times.add(ended - due)
        report.statuses[response.code] += 1
        report.received += size
        if response.code >= 400:
            report.failed += 1

    def _failed(self, text: str, count: int) -> None:
        report = self._report
        report.failed += count
        if text in report.errors or len(report.errors) < MAX_ERRORS:
            report.errors[text] = report.errors.get(text, 0) + count

    async def _reconnect(self, number: int) -> None:
        """Replace a connection that has ended."""
        client = self.clients[number]
        if not client.transport.is_closing():
            return
        try:
            fresh, _ = await self._dialer.connect(self._plan.target)
        except Problem as problem:
            self._failed(str(problem), 1)
            await asyncio.sleep(0.1)
            return
        if self.clients[number] is client:
            self.clients[number] = fresh
        else:
            fresh.close()  # another stream's worker was faster
