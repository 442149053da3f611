"""Lines of `-v` are dropped and counted while nobody reads standard error."""

import asyncio
import os
import re
import threading
from pathlib import Path

import pytest

from cno.cli import printer
from cno.cli.printer import MAX_TRACE, Printer
from tests.cli.commands import POSIX
from tests.tree import ROOT

LINE = "frame {:05} " + "x" * 200


@POSIX
def test_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that comes late finds each line in its order, or a line that counts it."""
    monkeypatch.setattr(printer, "MAX_TRACE", 200_000)
    reading, writing = os.pipe()
    received: list[str] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as file:
            received.extend(file.read().decode().splitlines())

    async def main() -> None:
        out = Printer()
        for number in range(5_000):
            out.trace(LINE.format(number))
        out.line("cno: an error is never dropped")
        thread.start()
        await out.drain()
        out.trace("at last")
        await out.drain()
        out.close()

    thread = threading.Thread(target=read)
    with os.fdopen(writing, "w", encoding="utf-8") as error:
        monkeypatch.setattr("sys.stderr", error)
        asyncio.run(main())
    thread.join()
    frames = [line for line in received if line.startswith("frame ")]
    assert frames == sorted(frames)
    assert 500 < len(frames) < 2_000  # those of the bound, and of the pipe's own buffer
    gaps = [re.fullmatch(r"\(([\d,]+) lines? w.* dropped: .*slowly\)", line) for line in received]
    counts = [int(gap[1].replace(",", "")) for gap in gaps if gap is not None]
    assert 0 < len(counts) < 5 and len(frames) + sum(counts) == 5_000
    assert "cno: an error is never dropped" in received and received[-1] == "at last"


def test_a_file_that_takes_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is one of lines that wait: written ones make room."""
    monkeypatch.setattr(printer, "MAX_TRACE", 1_000)

    async def main() -> None:
        out = Printer()
        for number in range(50):
            out.trace(LINE.format(number))
            await out.drain()
        out.close()

    with open(tmp_path / "err", "w", encoding="utf-8") as error:
        monkeypatch.setattr("sys.stderr", error)
        asyncio.run(main())
    assert (tmp_path / "err").read_text() == "".join(LINE.format(n) + "\n" for n in range(50))


def test_the_bound_is_documented() -> None:
    text = (ROOT / "docs" / "get.md").read_text("utf-8")
    assert f"more than {MAX_TRACE >> 20} MiB of" in text
