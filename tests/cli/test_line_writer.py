"""`LineWriter` with a slow reader: lines are queued, dropped and counted; nothing blocks."""

import asyncio
import os
import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

import pytest

from cno.cli import line_writer
from cno.cli.line_writer import LineWriter

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")


class Pipe:
    """Both ends of a pipe; `read_all` returns the text."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.reader = os.fdopen(reading, "rb")
        self.writer: TextIO = os.fdopen(writing, "w", encoding="utf-8")

    def close(self) -> None:
        self.reader.close()
        try:
            self.writer.close()
        except OSError:
            pass


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_lines_are_written_in_order(tmp_path: Path) -> None:
    said = [f"line {number} {'é' * (number % 300)}" for number in range(3_000)]

    async def main(file: TextIO) -> None:
        async with LineWriter(file) as out:
            for number, line in enumerate(said):
                out.add(line if number % 2 else partial(str, line))
                if number % 500 == 0:
                    await asyncio.sleep(0.01)

    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        asyncio.run(main(log))
    assert (tmp_path / "log").read_text("utf-8").splitlines() == said


def test_a_reader_who_comes_late(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing blocks, and each line is written or counted."""
    monkeypatch.setattr(line_writer, "MAX_QUEUED", 2_000)
    received: list[bytes] = []
    reading = threading.Thread(target=lambda: received.append(pipe.reader.read()))

    async def main() -> None:
        async with LineWriter(pipe.writer) as out:
            longest = 0.0
            for number in range(10_000):
                began = time.monotonic()
                out.add(f"line {number:05}: {'x' * 200}")
                if number % 100 == 0:
                    await asyncio.sleep(0.002)
                longest = max(longest, time.monotonic() - began)
            assert longest < 5
            reading.start()
            await asyncio.sleep(1)
            out.add("at last")

    asyncio.run(main())
    pipe.writer.close()
    reading.join(10)
    (text,) = received
    found = text.decode().splitlines()
    whole = [line for line in found if re.fullmatch(r"line \d{5}: x{200}", line)]
    notes = [line for line in found if line not in whole and line != "at last"]
    dropped = [int(m[1].replace(",", "")) for n in notes if (m := re.match(r"\(([\d,]+) line", n))]
    assert found[-1] == "at last" and whole == sorted(whole)
    assert len(dropped) == len(notes) > 0
    assert len(whole) + sum(dropped) == 10_000


def test_nobody_reads_at_all(pipe: Pipe) -> None:
    """Closing takes a bounded time, and no line is cut in two."""
    told: list[str] = []

    async def main() -> None:
        async with LineWriter(pipe.writer, told.append) as out:
            for number in range(5_000):
                out.add(f"line {number:05}: {'x' * 200}")
            await asyncio.sleep(0.2)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 10
    # One read of the pipe's content: the thread would write into the space of a second one.
    found = os.read(pipe.reader.fileno(), 1 << 20).decode().splitlines()
    assert all(re.fullmatch(r"line \d{5}: x{200}", line) for line in found)
    assert len(told) == 1
    match = re.fullmatch(r"cno: ([\d,]+) lines were not written: nobody reads them", told[0])
    assert match is not None and len(found) > 100
    assert len(found) + int(match[1].replace(",", "")) == 5_000


def test_a_pipe_that_is_closed(pipe: Pipe) -> None:
    told: list[str] = []

    async def main() -> None:
        async with LineWriter(pipe.writer, told.append) as out:
            pipe.reader.close()
            for _ in range(3):
                out.add("line")
                await asyncio.sleep(0.1)

    asyncio.run(main())
    assert told == ["cno: lines are no longer written: Broken pipe"]
