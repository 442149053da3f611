"""Access logs for other tools: the common and the combined format, in a file."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from cno.cli.log_file import LogFile
from cno.cli.log_format import CommonLog, quoted
from cno.cli.problems import Problem
from tests.cli.commands import Here
from tests.cli.test_files import Fake
from tests.cli.test_site import basic
from tests.cli.test_terminal import fetch
from tests.processes import serving

# As Apache's documentation and every log analyser have it.
COMBINED = re.compile(
    r"(?P<host>\S+) - (?P<user>\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<code>\d{3}) (?P<size>\d+|-)'
    r'(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?'
)


def line_of(path: str, combined: bool, code: int = 200, size: int = 5, **fields: str) -> str:
    lines: list[str] = []
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    log = CommonLog(lambda line: lines.append(line()), combined)
    log.add(Fake("GET", path, headers), code, size, 0.1)
    (line,) = lines
    return line


def test_the_formats() -> None:
    match = COMBINED.fullmatch(line_of("/a?b", False))
    assert match is not None
    assert match["request"] == "GET /a?b HTTP/1.1"
    assert (match["host"], match["user"], match["code"], match["size"]) == ("-", "-", "200", "5")
    assert match["agent"] is None
    line = line_of("/", True, 304, 0, user_agent="curl/8", authorization=basic("me and you:x"))
    match = COMBINED.fullmatch(line)
    assert match is not None
    assert (match["user"], match["size"]) == ("me_and_you", "-")
    assert (match["referer"], match["agent"]) == ("-", "curl/8")
    assert COMBINED.fullmatch(line_of("/", True, 401, authorization=basic("me:x")))["user"] == "-"  # type: ignore[index]  # it matches


@pytest.mark.parametrize("text", ['" 200 5 "', "\n- - -", "\x1b[2J", "\\", "\u2028", "\x00é\udcff"])
def test_nothing_ends_a_line_or_a_part(text: str) -> None:
    user = text.replace("\udcff", "ü")
    line = line_of(f"/{text}", True, referer=text, user_agent=text, authorization=basic(user))
    assert COMBINED.fullmatch(line) is not None, line
    assert line.isascii() and line.isprintable()


def test_escapes() -> None:
    assert quoted('a"b\\c\né') == r"a\"b\\c\x0a\xc3\xa9"
    assert len(line_of("/" + "x" * 100_000, True, user_agent="y" * 100_000)) < 3_000


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal")
def test_a_file_that_is_moved_away(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("before\n")
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site", "--log-file", str(log)) as served:
        fetch(served.port)
        wait_for(log, "GET / HTTP/1.1")
        log.rename(tmp_path / "old.log")
        served.running.process.send_signal(signal.SIGHUP)
        wait_for(log, "")
        fetch(served.port, "/second")
        wait_for(log, "GET /second")
        assert not any("GET" in line for line in served.running.out)
    assert (tmp_path / "old.log").read_text().startswith("before\n127.0.0.1 - - [")
    assert "second" not in (tmp_path / "old.log").read_text()
    assert all(COMBINED.fullmatch(line) for line in log.read_text().splitlines())


def wait_for(path: Path, text: str) -> None:
    for _ in range(1000):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.01)
    raise AssertionError(f"no {text!r} in {path}")


@pytest.mark.slow
def test_a_format_on_standard_output(tmp_path: Path) -> None:
    with serving(tmp_path, "--log-format", "common") as served:
        fetch(served.port)
        served.running.wait_for(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 \d+$')


def test_a_file_that_cannot_be(here: Here, tmp_path: Path) -> None:
    result = here("serve", "--log-file", str(tmp_path / "none" / "x"), "--port", "0")
    assert (result.status, result.stdout) == (1, b"")
    assert "cannot write" in result.stderr
    with pytest.raises(Problem):
        LogFile(str(tmp_path))
    log = LogFile(str(tmp_path / "log"))
    with log:
        os.chmod(tmp_path, 0o500)
        (tmp_path / "log").rename(tmp_path / "log")
        log.reopen()
        os.chmod(tmp_path, 0o700)
