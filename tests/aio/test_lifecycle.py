"""Every event in every phase of a connection's life, with the required effects.

`lifecycle.txt`, beside this file, is the table: it says for each pair what the peer gets, what
becomes of the connection, and how the application's call ends. Connections, peers and the clock are
those of `world`, `phases` and `simulation`.
"""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.aio.lab import Certificates
from tests.aio.phases import CLIENT, EVENTS, SERVER, Phase
from tests.aio.simulation import VirtualLoop
from tests.aio.world import Contexts, Work, World
from tests.rows import each_row

TABLE = Path(__file__).with_name("lifecycle.txt")


class Pair(NamedTuple):
    """A phase and an event, on one kind of connection; `outcome` is what must come of it."""

    role: str
    protocol: str
    tls: bool
    phase: str
    event: str
    outcome: str

    def __str__(self) -> str:
        layer = "-tls" if self.tls else ""
        return f"{self.role}-{self.protocol[5:]}{layer}-{self.phase}-{self.event}"

    @property
    def phases(self) -> dict[str, Phase]:
        return SERVER if self.role == "server" else CLIENT


def read(text: str) -> list[Pair]:
    """The pairs of a table. Cells are two blanks or more apart; " / " is between what holds in
    clear text and over TLS; "-" stands for what cannot happen."""
    pairs: list[Pair] = []
    events: list[str] = []
    role = protocol = ""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        first, *cells = re.split(" {2,}", line)
        if first.startswith(("server ", "client ")):
            (role, protocol), events = first.split(), cells
            continue
        assert len(cells) == len(events), line
        for event, cell in zip(events, cells, strict=True):
            both = cell.split(" / ")
            for tls in (False, True):
                outcome = both[-1 if tls else 0]
                if outcome != "-":
                    pairs.append(Pair(role, protocol, tls, first, event, outcome))
    return pairs


PAIRS = read(TABLE.read_text("utf-8"))


@pytest.fixture(scope="module")
def contexts(certificates: Certificates) -> dict[tuple[str, str], Contexts]:
    """What makes a pair of TLS contexts for (role, protocol); made once, since that takes long."""
    found: dict[tuple[str, str], Contexts] = {}
    for protocol, name in (("http/1.1", "http/1.1"), ("http/2", "h2")):
        server, client = certificates.server(name), certificates.client()
        client.set_alpn_protocols([name])
        found["server", protocol] = (server, client)
        found["client", protocol] = (client, server)
    return found


def run(
    pair: Pair, contexts: dict[tuple[str, str], Contexts], script: Callable[[World], Work]
) -> list[object]:
    """Run this in a world that is in the pair's phase; what the loop's handler was told."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        tls = contexts[pair.role, pair.protocol] if pair.tls else None
        world = World(loop, pair.role == "server", pair.protocol == "http/2", tls)
        await pair.phases[pair.phase](world)
        await world.settle()
        world.outcome()
        await script(world)
        await world.end()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        runner.run(main())
        assert isinstance(loop, VirtualLoop)
        return [context.get("exception", context["message"]) for context in loop.failures]


def test_the_table_is_whole() -> None:
    """Each phase has an outcome, or a reason to have none, for each event."""
    named = {(pair.role, pair.phase) for pair in PAIRS}
    assert named == {("server", each) for each in SERVER} | {("client", each) for each in CLIENT}
    assert {pair.event for pair in PAIRS} == EVENTS.keys()
    assert len(set(map(str, PAIRS))) == len(PAIRS) > 900


@each_row("pair", PAIRS, ids=str)
def test_an_event_in_a_phase(pair: Pair, contexts: dict[tuple[str, str], Contexts]) -> None:
    async def script(world: World) -> None:
        start = world.loop.time()
        await EVENTS[pair.event](world)
        await world.settle()
        assert world.outcome(start) == pair.outcome

    failures = run(pair, contexts, script)
    # A handler that raises is somebody's fault, and nothing else is.
    assert [type(each) for each in failures] == [ZeroDivisionError] * (
        pair.role == "server" and pair.event == "fail"
    )


#: How the connection of a request that waits can end, and what the error says of that.
ENDS = [
    (False, "eof", "the peer closed the connection"),
    (True, "eof", "the peer closed the connection without ending TLS (no close_notify)"),
    (True, "notify", "the peer closed the connection"),
    (False, "vanished", "the connection was cut off"),
    (True, "lost", "the connection was lost: reset"),
    (True, "abort", "the connection was closed here"),
]


@each_row("protocol", ["http/1.1", "http/2"])
@each_row(("tls", "event", "text"), ENDS)
def test_what_an_error_says_of_the_end(
    protocol: str,
    tls: bool,
    event: str,
    text: str,
    contexts: dict[tuple[str, str], Contexts],
) -> None:
    async def script(world: World) -> None:
        await EVENTS[event](world)
        await world.settle()
        assert world.texts[0].startswith(text)
        assert not world.texts[0].removeprefix(text).strip(" ").startswith("without")

    run(Pair("client", protocol, tls, "waiting", event, ""), contexts, script)


#: What may happen at any time to a connection that has begun.
ANYTIME = [event for event in EVENTS if event not in ("made", "notify")]


@each_row("seed", range(150))
def test_events_one_after_the_other(seed: int) -> None:
    """Whatever happens in whatever order: the connection ends, everybody is told, nothing stays."""
    dice = random.Random(seed)
    begun = [pair for pair in PAIRS if not pair.tls and pair.phase not in ("connecting", "dropped")]
    pair = dice.choice(begun)
    events = dice.choices(ANYTIME, k=6)

    async def script(world: World) -> None:
        for event in events:
            await EVENTS[event](world)
            for _ in range(dice.randrange(20)):
                await asyncio.sleep(0)

    failures = run(pair, {}, script)
    assert {type(each) for each in failures} <= {ZeroDivisionError}, (pair, events)
