"""Figures that each need a separate process: `python -m benchmarks.weigh PART NAME COUNT`.

Prints one number. Memory is the difference of the resident memory with many objects and with a few,
which includes every allocator. Knows nothing of tables.
"""

import gc
import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import callgrind, engine, lab, wire

SMALL: Final = {"server2": "server, 10 fields", "client2": "client, 10 fields"}

#: Requests that are weighed at each age of a connection, by time and by instructions.
TIMED: Final = 1000
COUNTED: Final = 100


def case_of(name: str) -> engine.Case:
    return next(case for case in engine.all_cases() if case.name == name)


# -- memory ----------------------------------------------------------------------------------------


def resident() -> int:
    """Octets of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def answered(name: str) -> Callable[[], Any]:
    """Makes connections that have answered one request."""
    case = case_of(SMALL["server2"])
    request = case.make(1)[0]

    def one() -> Any:
        subject = engine.start(name, case, 0)
        subject.feed(wire.CLIENT_PREFACE)
        subject.feed(request)
        assert wire.tally(subject.out)[0] == 1
        return forget(subject)

    return one


def opened(name: str) -> Callable[[], Any]:
    """Makes connections with a hundred requests under way, besides."""
    case = case_of(SMALL["server2"])
    lists = wire.request_lists("POST", wire.TEN)
    heads = b"".join(wire.heads(wire.Blocks(lists), 100, 0))

    def one() -> Any:
        subject = engine.start(name, case, 0)
        subject.feed(wire.CLIENT_PREFACE)
        subject.feed(heads)
        return forget(subject)

    return one


def forget(subject: Any) -> Any:
    """Without what the application keeps."""
    subject.out = []
    subject.headers = None
    return subject


def per_unit(one: Callable[[], Any], count: int) -> float:
    kept = [one() for _ in range(100)]
    gc.collect()
    before = resident()
    kept += [one() for _ in range(count)]
    gc.collect()
    return (resident() - before) / count


def idle(name: str, count: int) -> float:
    """KiB per connection that has answered one request, with `count` of them."""
    return per_unit(answered(name), count) / 1024


def traced(name: str, count: int) -> float:
    """The same by tracemalloc, which counts Python's allocators only."""
    one = answered(name)
    kept = [one() for _ in range(10)]
    gc.collect()
    tracemalloc.start()
    kept += [one() for _ in range(count)]
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / count / 1024


def busy(name: str, count: int) -> float:
    """KiB per connection with a hundred requests under way."""
    return per_unit(opened(name), count) / 1024


# -- age and width ---------------------------------------------------------------------------------


def feed(subject: Any, role: str, chunks: list[bytes]) -> None:
    if role == "server2":
        engine.serve(subject, chunks)
    else:
        engine.ask(subject, chunks, False)


def aged(role: str, name: str, count: int) -> float:
    """Microseconds of a request on a connection after `count` requests."""
    case = case_of(SMALL[role])
    subject = engine.start(name, case, 0)
    subject.feed(wire.CLIENT_PREFACE if role == "server2" else wire.SERVER_PREFACE)
    chunks = case.make(count + TIMED)
    for at in range(0, count, TIMED):
        feed(subject, role, chunks[at : min(at + TIMED, count)])
        subject.out.clear()
    last = chunks[count:]
    return lab.timed(lambda: feed(subject, role, last)) / TIMED * 1e6


def age(name: str, count: int) -> float:
    return aged("server2", name, count)


def age_client(name: str, count: int) -> float:
    return aged("client2", name, count)


def counted(role: str, ages: list[int]) -> None:
    """Marks requests at these ages, for callgrind."""
    case = case_of(SMALL[role])
    subject = engine.start("cno", case, 0)
    subject.feed(wire.CLIENT_PREFACE if role == "server2" else wire.SERVER_PREFACE)
    chunks = case.make(ages[-1] + COUNTED)
    gc.disable()
    done = 0
    for at in ages:
        feed(subject, role, chunks[done:at])
        subject.out.clear()
        callgrind.mark()
        feed(subject, role, chunks[at : at + COUNTED])
        callgrind.mark()
        done = at + COUNTED


def width(name: str, count: int) -> float:
    """Nanoseconds per field of a request with `count` fields, all in the dynamic table."""
    from benchmarks.drivers import ours
    from cno import Limits

    ours.LIMITS = Limits(
        max_header_fields=None, max_header_list_size=None, max_header_block_size=None
    )
    fields = [(f"x-field-{number % 40}", f"value {number % 40}") for number in range(count - 4)]
    case = engine.Case("wide", "server2", "small", lambda n: wire.small(fields, n))
    requests = max(20_000 // count, 20)
    chunks = case.make(2 * requests)
    subject = engine.start(name, case, 0)
    subject.feed(wire.CLIENT_PREFACE)
    engine.serve(subject, chunks[:requests])
    subject.out.clear()
    spent = lab.timed(lambda: engine.serve(subject, chunks[requests:]))
    assert wire.tally(subject.out)[0] == requests
    return spent / requests / count * 1e9


PARTS: Final[dict[str, Callable[[str, int], float]]] = {
    "idle": idle,
    "traced": traced,
    "busy": busy,
    "age": age,
    "age_client": age_client,
    "width": width,
}


def main(part: str, name: str, *counts: str) -> None:
    if part == "counted":
        counted(name, [int(count) for count in counts])
    else:
        print(json.dumps(PARTS[part](name, int(counts[0]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
