"""The load: workers that make requests of plans, somebody who disturbs, somebody who watches.

Knows when a failure is excused, and what must be true when all is over. Violations are collected by
kind; none ends the run.
"""

import asyncio
import faulthandler
import gc
import io
import os
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cno
from tests.census import census, forget_needless_timers, is_of_the_loop, pending_timers
from tests.processes import Pair
from tests.stress.bodies import Mark
from tests.stress.exchange import FAILURES, Exchange, ProducerFailed, Violation
from tests.stress.peers import CLOSING, Nginx, Ours, Peer
from tests.stress.plan import IDEMPOTENT, WIRES, Mix, Plan

#: What became of a request, kept as bits.
ANSWERED, UNPROCESSED, UNSURE, GIVEN_UP = 1, 2, 4, 8
#: Violations shown of each kind.
SHOWN = 12
#: Seconds in which an upload ends after the response.
UPLOADING = 10.0


@dataclass
class Options:
    requests: int = 1_000
    first: int = 1
    workers: int = 40
    deadline: float = 60.0
    patience: float = 2.0  # of the relay
    every: float = 5.0
    #: The first half of so many requests is stormy, the second calm but for graceful restarts.
    cycle: int = 10_000
    disturb_every: int = 500
    say: Callable[[str], None] = print


@dataclass
class Findings:
    """What the run has seen."""

    ignored: frozenset[str]
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, text: str) -> None:
        if kind in self.ignored:
            return
        self.counts[kind] += 1
        if len(self.violations[kind]) < SHOWN:
            self.violations[kind].append(text)

    def lines(self) -> Iterator[str]:
        for kind, texts in sorted(self.violations.items()):
            yield f"VIOLATION {kind}: {self.counts[kind]}"
            yield from (f"    {text}" for text in texts)


class Load:
    """A run, from its first request to its last check."""

    def __init__(self, mix: Mix, options: Options, peers: list[Peer], pair: Pair) -> None:
        self.mix = mix
        self.options = options
        self.peers = {peer.name: peer for peer in peers}
        self.findings = Findings(frozenset({"context"} & set(mix.without)))
        self.outcomes = bytearray(options.first + options.requests)
        self.done = 0
        self._pair = pair
        self._next = options.first
        self._chance = random.Random(mix.seed)
        self._pools: dict[str, cno.Pool] = {}
        self.closed_pools = 0
        self._closed: set[int] = set()  # ids of pools; compiled ones have no weak references
        self._active: dict[asyncio.Task[None], tuple[float, Exchange]] = {}
        self._stopping = False
        self._disturbing: list[str] = []  # what is being done
        self._hung: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._uploading: dict[int, float] = {}  # answered, and may not have been received yet
        self._began = time.monotonic()

    # -- the run ---------------------------------------------------------------------------------

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._told)
        await asyncio.to_thread(int)  # the thread that starts servers is there from the start
        sockets = census()["sockets"]
        for wire in WIRES:
            self._pools[wire] = self._make_pool(wire)
        await self._make_all_requests()
        self._say()
        await self._end(sockets)

    async def _make_all_requests(self) -> None:
        watching = asyncio.ensure_future(self._watch())
        disturbing = asyncio.ensure_future(self._disturb())
        workers = [asyncio.ensure_future(self._work()) for _ in range(self.options.workers)]
        await asyncio.gather(*workers)
        self._stopping = True
        await asyncio.gather(disturbing, watching)
        faulthandler.cancel_dump_traceback_later()

    def _make_pool(self, wire: str) -> cno.Pool:
        http2, tls = WIRES[wire]
        context = None
        if tls:
            context = cno.aio.tls.client_context(self._pair.authority)
            context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
        return cno.Pool(
            context, force_http2=http2 and not tls, max_per_origin=8, max_connections=20
        )

    async def _work(self) -> None:
        while self._next < len(self.outcomes):
            plan = self.mix.plan(self._next)
            self._next += 1
            if await self._carry_out(plan):
                await asyncio.sleep(0.3)  # nobody listens at the moment
            self.done += 1

    async def _carry_out(self, plan: Plan) -> bool:
        """Make a request; return whether no connection could be made for it."""
        peer = self.peers[plan.peer]
        exchange = Exchange(plan, self._pools[plan.wire], peer.url(plan.wire, plan.relayed))
        task = asyncio.ensure_future(exchange.run())
        began = time.monotonic()
        self._active[task] = (began, exchange)
        if plan.turns >= 0:
            for _ in range(plan.turns):
                await asyncio.sleep(0)
            task.cancel()
        elif plan.after >= 0:
            await asyncio.wait((task,), timeout=plan.after)
            task.cancel()
        await asyncio.wait((task,))
        del self._active[task]
        self._judge(task, exchange, began)
        if isinstance(peer, Nginx) and plan.kind == "put" and exchange.answered:
            path = peer.folder / "put" / f"{plan.number}-{plan.up}"
            if (problem := peer.check_put(path)) is not None:
                self.findings.add(*problem)
        return not task.cancelled() and isinstance(task.exception(), cno.ConnectError)

    # -- what became of a request ----------------------------------------------------------------

    def _judge(self, task: asyncio.Task[None], exchange: Exchange, began: float) -> None:
        plan = exchange.plan
        calm = not plan.relayed and not self._disturbed(plan, began, time.monotonic())
        if task in self._hung:
            self._hung.discard(task)
            return self._note(plan, "hung", UNSURE)
        if task.cancelled():
            return self._note(plan, "cancelled", GIVEN_UP)
        error = task.exception()
        if error is None:
            if exchange.answered:
                if plan.kind == "early" and not plan.relayed and not plan.breaks:
                    self._uploading[plan.number] = began
                return self._note(plan, "answered", ANSWERED)
            return self._note(plan, "left", GIVEN_UP)
        if isinstance(error, Violation):
            self._violated(plan, error.kind, str(error))
            return self._note(plan, "violated", UNSURE)
        if isinstance(error, ProducerFailed) and plan.fail_at >= 0:
            return self._note(plan, "producer failed", GIVEN_UP)
        if not isinstance(error, FAILURES):
            self._violated(plan, "exception", describe(error))
            return self._note(plan, "violated", UNSURE)
        if calm and not plan.breaks and not self._excused(exchange, error):
            self._violated(plan, "undisturbed", f"{error!r}, while {exchange.stage}")
        self.findings.failures[f"{type(error).__name__} {generalized(str(error))}"] += 1
        if error.retryable:
            return self._note(plan, "failed, retryable", UNPROCESSED)
        return self._note(plan, "failed", UNSURE)

    def _disturbed(self, plan: Plan, since: float, until: float) -> bool:
        """Whether something was done to the server in that time."""
        peer = self.peers[plan.peer]
        # GOAWAY tells exactly what was processed; over HTTP/1.1, who asks on a connection that ends
        # at that moment does not know. nginx, too, ends HTTP/2 connections without a last word.
        soft = not plan.http2 or plan.peer == "nginx"
        return any(peer.disturbed(kind, since, until) for kind in (["hard", "soft"][: 1 + soft]))

    def _excused(self, exchange: Exchange, error: BaseException) -> bool:
        """Whether this may happen by itself."""
        plan = exchange.plan
        # HTTP/1.1 servers end a connection whose upload they do not read, and the end may overtake
        # the response.
        unread = plan.kind == "refused" and not plan.http2
        # A pool that is closed sends what it has not sent yet no more.
        return unread or (id(exchange.pool) in self._closed and "pool was closed" in str(error))

    def _note(self, plan: Plan, what: str, bits: int) -> None:
        self.outcomes[plan.number] = bits
        self.findings.outcomes[f"{plan.peer} {plan.wire}: {what}"] += 1

    def _violated(self, plan: Plan, kind: str, text: str) -> None:
        self.findings.add(kind, f"{text}\n        {plan}")

    def _told(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ProducerFailed) and not is_of_the_loop(context):
            text = "" if error is None else describe(error)
            self.findings.add("loop", f"client: {context.get('message')}: {text}")

    # -- disturbances ----------------------------------------------------------------------------

    async def _disturb(self) -> None:
        """After so many requests do something to a server, or replace a pool."""
        actions: list[tuple[Peer | None, str]] = [
            (peer, action)
            for peer in self.peers.values()
            for action in peer.actions
            if self.mix.has(action)
        ]
        if self.mix.has("pools"):
            actions.append((None, "pools"))
        self._chance.shuffle(actions)
        due = self.options.disturb_every
        while actions and not self._stopping:
            await asyncio.sleep(0.02)
            if self.done < due:
                continue
            due += self.options.disturb_every
            stormy = self.done % self.options.cycle < self.options.cycle / 2
            peer, action = actions.pop(0)
            actions.append((peer, action))
            if peer is None:
                self._replace_pool(self._chance.choice(list(WIRES)))
            elif stormy or action == "restarts":
                self._disturbing.append(f"{peer.name}: {action}")
                await peer.disturb(action)
                self._disturbing.pop()

    def _replace_pool(self, wire: str) -> None:
        task = asyncio.ensure_future(self._close_pool(self._pools[wire], wire))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        self._pools[wire] = self._make_pool(wire)
        self.closed_pools += 1

    async def _close_pool(self, pool: cno.Pool, wire: str) -> None:
        began = time.monotonic()
        # Whoever got this pool a moment ago and has not asked yet would be refused.
        for _ in range(1_000):
            if all(each.begun for _, each in self._active.values() if each.pool is pool):
                break
            await asyncio.sleep(0.01)
        self._closed.add(id(pool))
        await pool.aclose()
        if (took := time.monotonic() - began) > CLOSING:
            self.findings.add("closing", f"a pool for {wire} took {took:.0f} s to close")
        if pool.connections:
            self.findings.add("left", f"a closed pool has {pool.connections} connections")

    # -- watching --------------------------------------------------------------------------------

    async def _watch(self) -> None:
        said = time.monotonic()
        while not self._stopping:
            await asyncio.sleep(0.5)
            faulthandler.dump_traceback_later(self.options.deadline, file=sys.stderr)
            now = time.monotonic()
            if now - said >= self.options.every:
                said = now
                self._say()
            for task, (began, exchange) in list(self._active.items()):
                late = now - began - self.options.deadline
                if late > 0 and task not in self._hung:
                    self._hung.add(task)
                    self._violated(exchange.plan, "hang", self._dump(task, exchange))
                    task.cancel()
                elif late > 20:
                    print(self._dump(task, exchange), file=sys.stderr)
                    print("it does not end even when it is cancelled", file=sys.stderr, flush=True)
                    os._exit(3)

    def _dump(self, task: asyncio.Task[None], exchange: Exchange) -> str:
        """What hangs, and where."""
        text = io.StringIO()
        print(f"{exchange.stage}, for {self.options.deadline} s", file=text)
        task.print_stack(file=text)
        pool = self._pools[exchange.plan.wire]
        print(f"connections of the pool: {pool.connections}", file=text)
        stages = Counter(each.stage.partition(" <")[0] for _, each in self._active.values())
        print(f"all requests under way: {dict(stages)}", file=text)
        others = Counter(
            re.sub(r"^<Task \w+ name='[^']*' coro=|wait_for=.*", "", repr(other))
            for other in asyncio.all_tasks()
            if other is not task and other not in self._active
        )
        for place, count in others.most_common():
            print(f"also {count} x {place[:200]}", file=text)
        for name in sorted(set(self._disturbing)):
            print(f"meanwhile: {name}", file=text)
        return text.getvalue().replace("\n", "\n        ")

    def _say(self) -> None:
        seconds = time.monotonic() - self._began
        found = census()
        totals: Counter[str] = Counter()
        for name, count in self.findings.outcomes.items():
            totals[name.partition(": ")[2]] += count
        self.options.say(
            f"{seconds:6.0f} s  {self.done:,} requests, {self.done / seconds:,.0f}/s; "
            + ", ".join(f"{name} {count:,}" for name, count in totals.most_common())
            + f"; {sum(each.connections for each in self._pools.values())} connections,"
            + f" {found['tasks']} tasks, {found['files']} files, {found['MiB']:.0f} MiB;"
            + f" violations: {sum(self.findings.counts.values())}"
        )

    # -- the end ---------------------------------------------------------------------------------

    async def _end(self, sockets: float) -> None:
        """Close everything, and look for what is left."""
        if self._closing:
            await asyncio.wait(self._closing)
        ours = self.peers.get("ours")
        if isinstance(ours, Ours) and self.mix.has("context"):
            await self._check_idle(ours)
        for wire in WIRES:
            await self._close_pool(self._pools.pop(wire), wire)
        for peer in self.peers.values():
            for kind, text in await peer.finish():
                self.findings.add(kind, text)
        await self._check_left(sockets)
        if isinstance(ours, Ours):
            self._check_journal(ours)

    async def _check_idle(self, ours: Ours) -> None:
        """Connections that wait for their next request hold nothing of those that they had."""
        state: dict[str, Any] = {}
        for _ in range(30):
            state = await ours.state()
            forget_needless_timers()
            gc.collect()
            if not state["marks"] and not Mark.alive:
                return
            await asyncio.sleep(0.1)
        if state["marks"]:
            text = f"ours: connections hold contexts of requests {state['marks'][:10]}"
            self.findings.add("context", text)
        if Mark.alive:
            numbers = [each.number for each in Mark.alive][:10]
            self.findings.add("context", f"client: connections hold contexts of requests {numbers}")

    async def _check_left(self, sockets: float) -> None:
        left: dict[str, Any] = {}
        began = time.monotonic()
        while time.monotonic() - began < CLOSING:  # the peer may take the last output slowly
            await asyncio.sleep(0.05)
            forget_needless_timers()
            gc.collect()
            left = {
                "tasks": len(asyncio.all_tasks()) - 1,
                "sockets": census()["sockets"] - sockets,
                "timers": len(pending_timers()),
                "contexts": len(Mark.alive),
                "connections": sum(isinstance(each, LEAKY) for each in gc.get_objects()),
            }
            if not any(count > 0 for count in left.values()):
                return
        for name, count in left.items():
            if count > 0:
                self.findings.add("left", f"client: {count:.0f} {name}")
        for each in [*pending_timers(), *(o for o in gc.get_objects() if isinstance(o, LEAKY))]:
            self.findings.add("left", f"client: {each!r}"[:300])

    def _check_journal(self, ours: Ours) -> None:
        """Compare what the server did with what the client was told."""
        begun, whole = ours.journal()
        for number, since in self._uploading.items():
            plan = self.mix.plan(number)
            if number not in whole and not self._disturbed(plan, since, since + UPLOADING):
                self._violated(plan, "upload", "its end was lost after the response")
        for number in range(self.options.first, len(self.outcomes)):
            bits, count = self.outcomes[number], begun[number]
            if count <= 1 and not bits & (ANSWERED | UNPROCESSED):
                continue
            plan = self.mix.plan(number)
            if plan.peer != "ours":
                continue
            idempotent = plan.method in IDEMPOTENT
            if count > (2 if idempotent else 1):
                self._violated(plan, "twice", f"begun {count} times")
            if bits & ANSWERED and not count:
                self._violated(plan, "journal", "answered, but never begun")
            if bits & UNPROCESSED and count and not idempotent:
                self._violated(plan, "retryable", "said not to be processed, but it was")


#: None of these is left once all pools are closed.
LEAKY = (cno.Client, cno.Response, cno.Pool)


def describe(error: BaseException) -> str:
    """An error with the places that it came through."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_name} ({Path(code.co_filename).name}:{trace.tb_lineno})")
        trace = trace.tb_next
    return " in ".join([repr(error), *reversed(places[-12:])])


def generalized(text: str) -> str:
    """A text without the numbers in it."""
    return "".join("N" if each.isdigit() else each for each in text).replace("NN", "N")[:100]
