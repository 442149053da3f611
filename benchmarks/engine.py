"""The engine in-process against h2, zttp, h11 and httptools: `python -m benchmarks.engine`.

One connection of each implementation receives the same bytes in the same pieces from the loop
below, and delivers method, path, fields and bodies, and its output (`drivers/`). A first run checks
the output and does not count. Times are CPU time per request (or frame, or MiB).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Final

from benchmarks import lab, wire
from benchmarks.drivers.base import Client, Server
from benchmarks.lab import Claim, Missing, Options, Row

DRIVERS: Final = {
    "cno": "ours",
    "h2": "with_h2",
    "zttp": "with_zttp",
    "h11": "with_h11",
    "httptools": "with_httptools",
}
HTTP2: Final = ("cno", "h2", "zttp")
HTTP1: Final = ("cno", "h11", "zttp", "httptools")


@dataclass
class Case:
    """The input of a driver, and the required outcome of it."""

    name: str
    role: str  # the function of a driver: server1, server2, client1, client2
    app: str
    make: Callable[[int], list[bytes]]
    unit: str = "µs per request"
    #: Octets of body that the implementation has to send, and to receive, per unit.
    sends: int = len(wire.BODY)
    takes: int = 0
    #: Messages it has to end; None: one per unit.
    ends: int | None = None
    #: Counts are multiples of this; a large body is counted in MiB, always the same many.
    step: int = 1
    large: bool = False
    goals: dict[str, float] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)

    def peers(self) -> tuple[str, ...]:
        return HTTP2 if self.role.endswith("2") else HTTP1


def server_cases() -> list[Case]:
    h2 = {"h2": 40.0, "zttp": 1.5}
    cases = [
        Case("server, 10 fields", "server2", "small", partial(wire.small, wire.TEN), goals=h2),
        Case("server, 30 fields", "server2", "small", partial(wire.small, wire.THIRTY), goals=h2),
        Case(
            "server, gRPC-like",
            "server2",
            "grpc",
            wire.grpc,
            sends=len(wire.MESSAGE),
            takes=len(wire.MESSAGE),
            goals={"h2": 40},
        ),
    ]
    for streams in (1, 10, 100):
        cases.append(
            Case(
                f"server, echo on {streams} stream{'s' * (streams > 1)}",
                "server2",
                "echo",
                partial(wire.echoed, streams),
                unit="µs per DATA frame of 100 octets",
                sends=100,
                takes=100,
                ends=streams,
                step=streams,
                goals={"h2": 30},
            )
        )
    for streams in (1, 10, 100, 1000):
        few = {"zttp": f"{streams} streams at once (its limit is 128)"} if streams > 128 else {}
        cases.append(
            Case(
                f"server, {streams} interleaved upload{'s' * (streams > 1)} of 10 KiB",
                "server2",
                "sink",
                partial(wire.interleaved, streams),
                takes=10_240,
                step=streams,
                without=few,
            )
        )
    return cases


MIB: Final = "µs per MiB"


def large_cases() -> list[Case]:
    one = wire.PIECE
    page = wire.small1(wire.TEN, 1)
    return [
        Case(
            "server, 64 MiB up",
            "server2",
            "sink",
            wire.upload,
            unit=MIB,
            sends=0,
            takes=one,
            ends=1,
            large=True,
            goals={"h2": 6, "zttp": 1},
        ),
        Case(
            "server, 64 MiB down",
            "server2",
            "big",
            lambda _: wire.small(wire.TEN, 1),
            unit=MIB,
            sends=one,
            ends=1,
            large=True,
            goals={"zttp": 2},
        ),
        Case(
            "client, 64 MiB down",
            "client2",
            "small",
            wire.download,
            unit=MIB,
            takes=one,
            ends=1,
            large=True,
        ),
        Case(
            "client, 64 MiB up",
            "client2",
            "upload",
            lambda _: wire.answers(1),
            unit=MIB,
            sends=one,
            ends=1,
            large=True,
        ),
        Case(
            "HTTP/1.1 server, 16 MiB up in chunks of 4 KiB",
            "server1",
            "sink",
            wire.chunked1,
            unit=MIB,
            sends=0,
            takes=one,
            ends=1,
            large=True,
            goals={"h11": 10},
        ),
        Case(
            "HTTP/1.1 server, 64 MiB up",
            "server1",
            "sink",
            wire.upload1,
            unit=MIB,
            sends=0,
            takes=one,
            ends=1,
            large=True,
        ),
        Case(
            "HTTP/1.1 server, 64 MiB down",
            "server1",
            "big",
            lambda _: page,
            unit=MIB,
            sends=one,
            ends=1,
            large=True,
        ),
        Case(
            "HTTP/1.1 client, 64 MiB down",
            "client1",
            "small",
            wire.download1,
            unit=MIB,
            takes=one,
            ends=1,
            large=True,
        ),
    ]


def client_cases() -> list[Case]:
    body, message = len(wire.BODY), len(wire.MESSAGE)
    h2, h11 = {"h2": 30.0}, {"h11": 15.0}
    return [
        Case("client, 10 fields", "client2", "small", wire.answers, takes=body, goals=h2),
        Case("client, 30 fields", "client2", "thirty", wire.answers, takes=body, goals=h2),
        Case(
            "client, gRPC-like",
            "client2",
            "grpc",
            wire.grpc_answers,
            sends=message,
            takes=message,
            goals=h2,
        ),
        Case(
            "HTTP/1.1 client, 10 fields", "client1", "small", wire.answers1, takes=body, goals=h11
        ),
        Case(
            "HTTP/1.1 client, 30 fields", "client1", "thirty", wire.answers1, takes=body, goals=h11
        ),
    ]


def http1_cases() -> list[Case]:
    goals = {"h11": 25.0, "zttp": 1.0}
    return [
        Case(
            f"HTTP/1.1 server, {count} fields",
            "server1",
            "small",
            partial(wire.small1, fields),
            goals=goals,
        )
        for count, fields in ((10, wire.TEN), (30, wire.THIRTY))
    ]


def all_cases() -> list[Case]:
    return [*server_cases(), *client_cases(), *http1_cases(), *large_cases()]


# -- running ---------------------------------------------------------------------------------------


def start(name: str, case: Case, megabytes: int) -> Any:
    if name in case.without:
        raise Missing(f"{name}: {case.without[name]}")
    driver = import_module(f"benchmarks.drivers.{DRIVERS[name]}")
    return getattr(driver, case.role)(case.app, megabytes)


def serve(server: Server, chunks: list[bytes]) -> None:
    feed = server.feed
    for chunk in chunks:
        feed(chunk)


def ask(client: Client, chunks: list[bytes], large: bool) -> None:
    """A request for each piece that comes back; of a large body there is but one."""
    feed, request = client.feed, client.request
    if large:
        request()
        for chunk in chunks:
            feed(chunk)
        return
    for chunk in chunks:
        request()
        feed(chunk)


def pour(subject: Any, count: int, keep: bool) -> None:
    """A large body out, piece by piece, as a transport would take it."""
    pump, out = subject.pump, subject.out
    for _ in range(count):
        pump()
        if not keep:
            out.clear()


def exchange(subject: Any, case: Case, chunks: list[bytes], count: int, keep: bool) -> None:
    """All that is measured of a case."""
    if case.app == "big":
        serve(subject, chunks)
        pour(subject, count, keep)
    elif case.app == "upload":
        subject.request()
        pour(subject, count, keep)
        serve(subject, chunks)
    elif "server" in case.role:
        serve(subject, chunks)
    else:
        ask(subject, chunks, case.large)


def run(name: str, case: Case, chunks: list[bytes], count: int, checked: bool = True) -> float:
    """Microseconds per unit, of a fresh connection."""
    subject = start(name, case, count if case.large else 0)
    if case.role.endswith("2"):
        subject.feed(wire.CLIENT_PREFACE if "server" in case.role else wire.SERVER_PREFACE)
    subject.out.clear()
    spent = lab.timed(lambda: exchange(subject, case, chunks, count, checked))
    if checked:
        check(name, case, subject, count)
    return spent / count * 1e6


def check(name: str, case: Case, subject: Any, count: int) -> None:
    ends = count if case.ends is None else case.ends
    ended, sent = (wire.tally if case.role.endswith("2") else wire.tally1)(subject.out)
    sends = case.sends * count
    if "client" in case.role:
        assert subject.ended == ends, (name, case.name, subject.ended, ends)
        sends = 0 if case.app in ("small", "thirty") else sends
    elif not case.sends:
        sends = len(wire.BODY)
    assert (ended, sent) == (ends, sends), (name, case.name, ended, sent, ends, sends)
    takes = len(wire.BODY) if case.app == "upload" else case.takes * count
    assert subject.received == takes, (name, case.name, subject.received)


def size(case: Case, quick: bool) -> int:
    """How many units one connection gets."""
    if case.large:
        return 4 if quick else (16 if "16 MiB" in case.name else 64)
    wanted = 100 if quick else 1000
    return max(wanted // case.step, 1) * case.step


def sample(name: str, case: Case, chunks: list[bytes], count: int, times: int) -> float:
    """Return the mean of several connections, one after the other."""
    return sum(run(name, case, chunks, count, False) for _ in range(times)) / times


def measure_case(case: Case, opts: Options, claim: Claim) -> Row:
    runs: dict[str, Callable[[], float]] = {}
    count = size(case, opts.quick)
    chunks = case.make(count)
    for name in case.peers():
        try:
            cost = run(name, case, chunks, count) * count / 1e6
        except Missing as reason:
            claim.miss(str(reason))
            continue
        times = 1 if opts.quick else max(round(0.15 / cost), 1)
        runs[name] = partial(sample, name, case, chunks, count, times)
    return Row(case.name, case.unit, lab.alternate(runs, opts.rounds), goals=case.goals)


def measure(opts: Options) -> Claim:
    claim = Claim(
        "engine",
        "The engine, in-process",
        "One connection, fed the same octets; microseconds of processor time per unit: median "
        "(least-most) of the rounds, **how many times longer a peer takes (goal)**.",
        notes=[
            "A connection carries 1,000 requests, then the next one begins: the client of zttp "
            "takes longer with each request, and its server ends a connection after some 10,000.",
            "zttp compresses its own header fields less: it writes literals that are neither "
            "indexed nor Huffman-coded, which is less work and more octets.",
            "httptools only parses requests; formatting the response is a few lines of Python, "
            "without any check.",
            "h2 and zttp give header fields as bytes, cno as str.",
        ],
    )
    for case in all_cases():
        if not opts.wants(case.name):
            continue
        try:
            claim.rows.append(measure_case(case, opts, claim))
        except Missing as reason:
            claim.miss(f"{case.name}: {reason}")
    claim.versions = {name: lab.version(name) for name in ("h2", "zttp", "h11", "httptools")}
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
