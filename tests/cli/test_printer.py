"""Lines of `-v` are dropped and counted while nobody reads standard error."""

import asyncio
import json
import os
import re
import threading
from pathlib import Path

import pytest

from cno.cli import bounded_lines
from cno.cli.bounded_lines import MAX_WAITING
from cno.cli.printer import Printer
from cno.cli.trace_file import TraceFile
from tests import frames as f
from tests.cli.commands import POSIX, Here, scripted
from tests.tree import ROOT

LINE = "frame {:05} " + "x" * 200


@POSIX
def test_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that comes late finds each line in its order, or a line that counts it."""
    monkeypatch.setattr(bounded_lines, "MAX_WAITING", 200_000)
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
    monkeypatch.setattr(bounded_lines, "MAX_WAITING", 1_000)

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
    assert f"more than {MAX_WAITING >> 20} MiB of" in text


# -- --trace into a pipe ---------------------------------------------------------------------------

FIFOS = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")


@FIFOS
@pytest.mark.parametrize("opened", [False, True])
def test_a_trace_that_nobody_reads(here: Here, opened: bool) -> None:
    """It blocks neither the transfer nor -m."""
    os.mkfifo(here.folder / "pipe")
    reader = os.open(here.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK) if opened else -1
    pen = f.FrameFactory()
    pings = f.frame(f.PING, 1, 0, bytes(8)) * 900  # more lines than a pipe holds
    response = (pen.headers(1, f.RESPONSE), pings, pen.data(1, b"hello", end_stream=True))
    with scripted(*response) as url:
        args = ("--limit", "glitch_budget=2000", "--http2", "--trace", "pipe", "-o", "f")
        result = here("get", "-m", "1", *args, url)
    assert result.status == 28
    assert (here.folder / "f").read_bytes() == b"hello"
    if opened:
        os.close(reader)


@FIFOS
def test_a_trace_that_is_read_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that were dropped are counted by a line of JSON."""
    monkeypatch.setattr(bounded_lines, "MAX_WAITING", 100_000)
    os.mkfifo(tmp_path / "pipe")
    found: list[dict[str, int]] = []

    def read() -> None:
        with open(tmp_path / "pipe", encoding="utf-8") as file:
            found.extend(json.loads(line) for line in file)

    async def main() -> None:
        trace = TraceFile(str(tmp_path / "pipe"), failures.append)
        for number in range(5_000):
            trace.add(json.dumps({"number": number, "more": "x" * 100}))
        thread.start()
        await trace.drain()
        trace.close()

    failures: list[Exception] = []
    thread = threading.Thread(target=read)
    asyncio.run(main())
    thread.join()
    numbers = [line["number"] for line in found if "number" in line]
    lost = sum(line["dropped"] for line in found if "dropped" in line)
    assert numbers == sorted(numbers) and lost > 0 and len(numbers) + lost == 5_000
    assert failures == []


@FIFOS
def test_a_trace_that_is_read_no_longer(tmp_path: Path) -> None:
    """The error is passed on once, and nothing else happens."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    failures: list[Exception] = []

    async def main() -> None:
        trace = TraceFile(str(tmp_path / "pipe"), failures.append)
        trace.add("one")
        await trace.drain()
        os.close(reader)
        for line in ("two", "three"):
            trace.add(line)
            await trace.drain()
        trace.close()

    asyncio.run(main())
    assert [type(failure) for failure in failures] == [BrokenPipeError]
