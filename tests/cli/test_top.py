"""`cno serve --top`: its lines on a terminal and in a pipe, and that it holds nothing up."""

import asyncio
import io
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pytest

from cno.cli import top_view
from cno.cli.top import ENTER, LEAVE, Meter, Observer, Screen, Snapshot, summary
from cno.cli.top_view import showing
from tests.cli.commands import POSIX
from tests.cli.test_terminal import fetch, on_terminal
from tests.peers import free_port
from tests.processes import ENVIRONMENT, serving


@dataclass
class Fake:
    """The part of a connection that the view reads."""

    number: int = 1
    is_http2: bool = True
    phase: str = "OPEN"
    streams_open: int = 2
    streams_by_peer: int = 1234
    round_trip: float | None = 0.0123
    send_window: int | None = 0
    receive_window: int | None = 65_535
    written: int = 0
    unsent: int = 0
    blocked_streams: int = 1
    limits_near: Mapping[str, float] = field(default_factory=dict)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shot(*stats: Fake, seconds: float = 2.0) -> Snapshot:
    meter = Meter()
    observer = Observer(meter, 0.0)
    observer.look([Fake(each.number) for each in stats], 0.0)
    for code in (200, 200, 404):
        meter.add(None, code, 1 << 20, 0.1)
    return observer.look(stats, seconds)


def test_rates() -> None:
    found = shot(Fake(1, written=100), Fake(2, written=4096, is_http2=False), Fake(3))
    assert [row.stats.number for row in found.rows] == [2, 1, 3]  # the busiest first
    assert [row.rate for row in found.rows] == [2048, 50, 0]
    assert (found.responses, found.errors, found.rate) == (1.5, 0.5, 1.5 * (1 << 20))
    assert (found.streams, found.http2) == (6, 2)
    assert shot(seconds=0.0).responses > 0  # and no division by zero


def test_a_line() -> None:
    line = summary(shot(Fake(7, limits_near={"glitch_budget": 0.83, "max_stream_resets": 0.1})))
    assert re.match(r"\d\d:\d\d:\d\d 1 connection \(1 HTTP/2\), 2 streams, 2 responses/s", line)
    assert "1.5 MiB/s" in line
    assert "near: #7: glitch_budget 83%" in line
    assert "max_stream_resets" not in line


def draw(*stats: Fake, title: str = "title", environment: dict[str, str] | None = None) -> str:
    old = dict(os.environ)
    os.environ.update({"COLUMNS": "140", "LINES": "12", "TERM": "xterm-256color"})
    os.environ.pop("NO_COLOR", None)
    os.environ.update(environment or {})
    try:
        return Screen(Terminal(), title).draw(shot(*stats))
    finally:
        os.environ.clear()
        os.environ.update(old)


def test_a_screen() -> None:
    text = draw(Fake(7, written=4096, limits_near={"glitch_budget": 0.83}))
    for word in ("title", "1,234", "12.3 ms", "64 KiB", "glitch_budget 83%", "open", "0 B"):
        assert word in text, word
    assert text.startswith("\x1b[H") and text.endswith("\x1b[J")
    assert "\x1b[31m" in text  # a closed window


def test_no_colours() -> None:
    text = draw(Fake(limits_near={"glitch_budget": 0.83}), environment={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)


def test_a_screen_is_never_longer_than_the_terminal() -> None:
    text = draw(*(Fake(number) for number in range(500)))
    assert len(text.splitlines()) <= 12
    assert "and 497 more" in text
    assert "near a limit" in draw(Fake(), environment={"COLUMNS": "80"})


def test_nothing_is_obeyed() -> None:
    evil = "\x1b]0;x\x07\x1b[2J[red]\u202e\r\n"
    text = draw(Fake(phase=evil, limits_near={evil: 0.9}), title=evil)
    text = text.removeprefix("\x1b[H").removesuffix("\x1b[J").replace("\x1b[K\n", "")
    assert not re.search("[\x00-\x1a\x1c-\x1f\x7f\u202e]", text)
    assert set(re.findall("\x1b.", text)) <= {"\x1b["}
    assert "[red]" in text


def test_a_terminal_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes on, and ends."""
    monkeypatch.setattr(top_view, "PATIENCE", 0.01)
    ours, theirs = os.pipe()
    looks = 0

    def look() -> list[Fake]:
        nonlocal looks
        looks += 1
        return [Fake()]

    monkeypatch.setattr(top_view, "PIPE_INTERVAL", 0.0)

    async def main(file: TextIO) -> None:
        async with showing(look, Meter(), file, "x"):
            for _ in range(100):
                await asyncio.sleep(0.005)
        os.read(ours, 1 << 20)  # lets the thread end

    with open(theirs, "w") as file:
        asyncio.run(main(file))
    os.close(ours)
    assert 1 < looks < 2000  # as many as the pipe holds, and then no more


@pytest.mark.slow
def test_in_a_pipe(tmp_path: Path) -> None:
    with serving(tmp_path, "--top") as served:
        fetch(served.port)
        served.running.wait_for(r"^\d\d:\d\d:\d\d \d+ connections? \(\d+ HTTP/2\), \d+ streams?")
        assert "\x1b" not in "".join(served.running.out)


@pytest.mark.slow
@POSIX
def test_on_a_terminal(tmp_path: Path) -> None:
    seen = on_terminal(
        "serve", "--top", "--port", "0", cwd=tmp_path, steps=[(b"near a limit", None)]
    )
    assert ENTER in seen and "requests" in seen
    assert seen.rindex(LEAVE) > seen.rindex("near a limit")


@pytest.mark.slow
def test_a_reader_that_goes(tmp_path: Path) -> None:
    port = free_port()
    args = [sys.executable, "-m", "cno", "serve", "--top", "-q", "--port", str(port)]
    process = subprocess.Popen(
        args, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert b"connection" in process.stdout.readline()
        process.stdout.close()
        assert fetch(port).startswith(b"HTTP/1.1 200")
    finally:
        process.terminate()
        assert process.wait(20) == 0
        assert process.stderr is not None
        process.stderr.close()
