"""The views of connections: -v, --trace, --waterfall, --har, --explain; key logs."""

import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cno.cli.frame_lines import FrameLines
from cno.cli.rules import RULES, address_of, rule_of
from cno.cli.slowest import slowest
from cno.cli.text import Paint
from cno.cli.timeline import Row, Timeline
from cno.cli.waterfall import waterfall
from cno.cli.waterfall_svg import svg
from cno.trace import Record, Trace
from tests import frames as f
from tests.cli.commands import POSIX, Here, answering, scripted
from tests.cli.echo import TEXT, Echo, echoing
from tests.processes import ENVIRONMENT, PATIENCE, Pair

HOSTILE = "a\x1b]0;x\x07\u202eb"
PLAIN = Paint(sys.stderr)
PLAIN.enabled = False


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with echoing() as running:
        yield running


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cf") for c in text.replace("\n", ""))


# -- -v --------------------------------------------------------------------------------------------


def test_frames_as_lines(here: Here, echo: Echo) -> None:
    result = here("get", "-v", "--http2", "-d", "a=b", f"{echo.url}/echo")
    assert result.status == 0 and b'"body": "613d62"' in result.stdout
    lines = result.stderr.splitlines()
    frame = r" +\d+\.\d\d ms \[1\] {} +(connection|stream \d+) +[\d,]+ bytes"
    for kind in ("> SETTINGS", "> HEADERS", "> DATA", "< SETTINGS", "< HEADERS", "< DATA"):
        assert any(re.match(frame.format(kind), line) for line in lines), kind
    assert "> POST /echo HTTP/2" in lines and "< HTTP/2 200" in lines
    assert "> content-type: application/x-www-form-urlencoded" in lines
    assert sum("window: " in line for line in lines) >= 2
    assert is_harmless(result.stderr)


def test_heads_over_http1(here: Here, echo: Echo) -> None:
    lines = here("get", "-v", f"{echo.url}/echo").stderr.splitlines()
    assert "> GET /echo HTTP/1.1" in lines and "< HTTP/1.1 200 OK" in lines
    assert not any(" ms " in line for line in lines)


def test_a_trace_is_harmless(here: Here) -> None:
    """Values, debug data and priorities of a server are shown without their control characters."""
    pen = f.FrameFactory()
    response = (
        pen.headers(1, [(":status", "200"), ("x", HOSTILE)]),
        pen.goaway(1, 0, b"\x1b[31m\xff"),
        pen.data(1, b"x", end_stream=True),
    )
    with scripted(*response) as url:
        result = here("get", "-v", "--waterfall", "--http2", url)
    assert "[31m\\xff" in result.stderr and is_harmless(result.stderr)


def test_runs_of_data_share_a_line() -> None:
    records: list[Record] = []
    connection = Trace(records.append).open(False, True)
    pen = f.FrameFactory()
    connection.received(pen.headers(1, f.RESPONSE) + pen.data(1, b"x" * 100) * 10)
    connection.received(pen.data(1, b"", end_stream=True))
    shown = FrameLines(PLAIN)
    lines = [line for record in records for line in shown.lines(record)]
    assert sum("< DATA " in line for line in lines) == 4
    (joint,) = [line for line in lines if "7 more DATA, 700 bytes" in line]
    assert "window: stream 64,535, connection 64,535" in joint
    assert shown.rest() == []


# -- --trace ---------------------------------------------------------------------------------------


def test_a_trace_in_a_file(here: Here, echo: Echo) -> None:
    assert here("get", "--trace", "t", "--http2", f"{echo.url}/text").status == 0
    lines = [json.loads(line) for line in (here.folder / "t").read_text().splitlines()]
    assert {line["type"] for line in lines} >= {"SETTINGS", "HEADERS", "DATA"}
    assert sum(r["length"] for r in lines if r["type"] == "DATA") == len(TEXT)
    assert here("get", "--trace", "none/t", f"{echo.url}/text").status == 23


def test_a_trace_of_http1(here: Here, echo: Echo) -> None:
    assert here("get", "--trace", "t", f"{echo.url}/echo").status == 0
    lines = [json.loads(line) for line in (here.folder / "t").read_text().splitlines()]
    assert lines[0]["values"]["line"] == "GET /echo HTTP/1.1"
    assert lines[1]["values"]["line"] == "HTTP/1.1 200 OK"


# -- --waterfall -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_a_waterfall_in_text(here: Here, echo: Echo, version: str) -> None:
    urls = [f"{echo.url}/text", f"{echo.url}/echo/second", f"{echo.url}/status/404"]
    result = here("get", "-H", "priority: u=1, i", "--waterfall", version, "-O", *urls)
    lines = result.stderr.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["/text", "/echo/second", "/status/404"]
    assert "404" in lines[3] and "queued" in lines[4] and lines[5].startswith("slowest: GET /")
    assert ("u=1, i" in lines[1]) == (version == "--http2")
    assert is_harmless(result.stderr)


def test_a_waterfall_as_svg(here: Here, echo: Echo) -> None:
    urls = [f"{echo.url}/text", f"{echo.url}/echo/%3Cb%3E&x"]
    assert here("get", "--waterfall=w.svg", "--http2", "-O", *urls).status == 0
    tree = ElementTree.parse(here.folder / "w.svg")
    titles = [each.text or "" for each in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 2 and "/text" in titles[0] and "answered after" in titles[0]


def test_a_waterfall_as_svg_says_why_the_slowest_is_slow() -> None:
    """It has the lines of the terminal, wrapped to its width."""
    rows = blocked_rows()
    texts, lowest = drawn_texts(svg(rows))
    said = slowest(rows)
    assert said[0] in texts and len(said) > 1
    assert " ".join(" ".join(said).split()) in " ".join(texts)
    assert max(map(len, texts)) <= 130 and lowest < 0


def drawn_texts(picture: str) -> tuple[list[str], float]:
    """Return the texts of a picture, and how far its last one is from the lower edge."""
    tree = ElementTree.fromstring(picture)
    found = list(tree.iter("{http://www.w3.org/2000/svg}text"))
    lowest = max(float(each.get("y", "0")) for each in found)
    return [each.text or "" for each in found], lowest - float(tree.get("height", "0"))


def test_a_failed_request_has_a_row(here: Here, echo: Echo) -> None:
    result = here("get", "-s", "--waterfall", "--http2", f"{echo.url}/drop", f"{echo.url}/echo")
    assert result.status != 0
    assert "GET /drop" in result.stderr and "GET /echo" in result.stderr


def blocked_rows() -> list[Row]:
    """Return the rows of two streams, of which the second waits for a window."""
    now = 0.0
    timeline = Timeline()
    connection = Trace(timeline.add, clock=lambda: now).open(False, True)
    pen, peer = f.FrameFactory(), f.FrameFactory()
    connection.sent(f.PREFACE + pen.settings({4: 3_000}))
    for stream in (1, 3):
        connection.sent(pen.headers(stream, [*f.REQUEST, ("priority", f"u={stream}")]))
    now = 1.0
    connection.received(peer.settings() + peer.headers(1, f.RESPONSE) + peer.headers(3, f.RESPONSE))
    connection.received(peer.data(1, b"x" * 1_000, end_stream=True))
    now = 2.0
    connection.received(peer.data(3, b"x" * 3_000))
    now = 5.0
    connection.sent(pen.window_update(3, 3_000))
    now = 6.0
    connection.received(peer.data(3, b"x" * 10, end_stream=True))
    return timeline.rows([], 0.0)


def test_what_a_window_held_up() -> None:
    first, second = blocked_rows()
    assert (first.answered, first.ended, first.blocked, first.size) == (1.0, 1.0, [], 1_000)
    assert second.blocked == [(2.0, 5.0)] and second.ended == 6.0 and second.window == 0
    assert (first.priority, second.priority) == ("u=1", "u=3")
    lines = waterfall([first, second], PLAIN, 120, True)
    assert "x" * 10 in lines[2] and "blocked 3000.0 ms" in lines[2]
    assert 'class="blocked"' in svg([first, second])


def test_a_window_that_holds_up_most_of_the_time() -> None:
    """Data comes in each column, and does not hide that."""
    row = Row("GET http://h/", asked=0.0, sent=0.0, answered=0.0, ended=10.0)
    row.pieces = [(number / 10, 100) for number in range(100)]
    row.blocked = [(number / 10 + 0.01, number / 10 + 0.1) for number in range(50)]
    bar = waterfall([row], PLAIN, 120, True)[1].split()[2]
    assert bar == "x" * (len(bar) // 2) + "#" * (len(bar) // 2)


def test_rows_of_hostile_names() -> None:
    row = Row(f"GET http://h/{HOSTILE}<b>&", asked=0.0, sent=0.1, answered=0.2, ended=0.3)
    assert is_harmless("".join(waterfall([row], PLAIN, 80, False)))
    ElementTree.fromstring(svg([row]))
    assert waterfall([], PLAIN, 80, False) == ["no requests"]
    ElementTree.fromstring(svg([]))


# -- --har -----------------------------------------------------------------------------------------


def test_an_archive(here: Here, echo: Echo) -> None:
    url = f"{echo.url}/redirect/1?a=b"
    args = ("-L", "-b", "one=1", "-d", "x=y", "--har", "h.har", "--http2", url)
    assert here("get", *args, f"{echo.url}/cookies/set").status == 0
    log = json.loads((here.folder / "h.har").read_text())["log"]
    assert log["version"] == "1.2" and log["creator"]["name"] == "cno"
    entries = sorted(log["entries"], key=lambda entry: entry["request"]["url"])
    assert [entry["response"]["status"] for entry in entries] == [200, 200, 302]
    cookies, end, first = entries
    assert first["request"]["postData"]["text"] == "x=y"
    assert first["request"]["queryString"] == [{"name": "a", "value": "b"}]
    assert first["request"]["cookies"] == [{"name": "one", "value": "1"}]
    assert first["response"]["redirectURL"] == "/echo/end"
    assert '"method": "GET"' in end["response"]["content"]["text"]
    assert cookies["response"]["cookies"][0]["name"] == "one"
    for entry in entries:
        assert set(entry["timings"]) == {
            *("blocked", "dns", "connect", "ssl", "send", "wait", "receive")
        }
        assert entry["time"] >= 0 and entry["startedDateTime"].endswith("+00:00")
        assert entry["response"]["httpVersion"] == "HTTP/2"
        assert {frame["type"] for frame in entry["_frames"]} >= {"HEADERS"}


# -- --explain -------------------------------------------------------------------------------------

FAULTS = [
    (f.frame(f.HEADERS, f.END_HEADERS, 1, b"\x88\x00\x01X\x01y"), "8.2.1", "00 01 58 01 79"),
    (f.frame(f.WINDOW_UPDATE, 0, 0, bytes(4)), "6.9", "00 00 04 08 00"),
    (f.frame(f.PING, 0, 0, b"short"), "6.7", "73 68 6f 72 74"),
    (f.frame(f.CONTINUATION, 4, 1, b""), "6.10", "00 00 00 09 04"),
]


@pytest.mark.parametrize(("fault", "section", "octets"), FAULTS)
def test_a_broken_rule_is_explained(here: Here, fault: bytes, section: str, octets: str) -> None:
    with scripted(fault) as url:
        result = here("get", "--explain", "--http2", url)
    assert result.status == 16
    assert f"rule    RFC 9113 {section}: " in result.stderr
    assert f"https://www.rfc-editor.org/rfc/rfc9113#section-{section}" in result.stderr
    assert octets in result.stderr and "advice  " in result.stderr
    assert is_harmless(result.stderr)


def test_a_rule_that_is_broken_before_a_request(here: Here) -> None:
    fault = f.frame(f.WINDOW_UPDATE, 0, 0, bytes(4))
    with answering(f.FrameFactory().settings() + fault, hold=True) as url:
        result = here("get", "--explain", "--http2", url)
    assert result.status == 16 and "rule    RFC 9113 6.9: " in result.stderr
    assert "00 00 04 08 00" in result.stderr


def test_a_reset_is_explained(here: Here) -> None:
    pen = f.FrameFactory()
    with scripted(pen.rst(1, 11)) as url:
        result = here("get", "--explain", "--http2", url)
    assert "code=ENHANCE_YOUR_CALM" in result.stderr and "advice  " in result.stderr


def test_a_fault_of_http1_is_explained(here: Here) -> None:
    with answering(b"HTTP/1.1 200 OK\nx: y\n\n") as url:
        result = here("get", "--explain", url)
    assert "RFC 9112 2.2" in result.stderr and "allow_bare_lf=yes" in result.stderr
    assert "48 54 54 50" in result.stderr


HTTP1_FAULTS = [
    (b"HTTP/1.1 204\r\n\r\n", "RFC 9112 4", "no space follows the status code"),
    (b"HTTP/1.1 777 x\r\ncontent-length: 0\r\n\r\n", "RFC 9110 15", "the status 777"),
    (b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n", "RFC 9110 8.6", "in a response 204"),
    (b"HTTP/1.1 204 x\r\ntransfer-encoding: chunked\r\n\r\n", "RFC 9112 6.1", "response 204"),
    (b"HTTP/1.1 204 x\r\nx-a: b\x1b[0m\r\n\r\n", "RFC 9110 5.5", "the value of x-a has control"),
]
SWITCHED = [
    ("allow_bare_lf", b"HTTP/1.1 200 OK\ncontent-length: 1\n\nx", "RFC 9112 2.2", "LF alone"),
    (
        "allow_obs_fold",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 1\r\n\r\nx",
        "RFC 9112 5.2",
        "goes on in the next line",
    ),
    (
        "allow_equal_content_lengths",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "RFC 9110 8.6",
        "more than once",
    ),
    (
        "allow_transfer_codings",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "RFC 9110 10.1.4",
        "a transfer coding",
    ),
]


@pytest.mark.parametrize(("answer", "section", "words"), HTTP1_FAULTS)
def test_a_fault_that_is_accepted(here: Here, answer: bytes, section: str, words: str) -> None:
    with answering(answer) as url:
        result = here("get", "--explain", url)
    assert result.status == 0
    assert "what    accepted: " in result.stderr and words in result.stderr
    assert f"rule    {section}: " in result.stderr and "48 54 54 50" in result.stderr
    assert "advice  cno accepts this" in result.stderr and is_harmless(result.stderr)


@pytest.mark.parametrize(("switch", "answer", "section", "words"), SWITCHED)
def test_a_fault_that_a_limit_accepts(
    here: Here, switch: str, answer: bytes, section: str, words: str
) -> None:
    with answering(answer, answer) as url:
        result = here("get", "--explain", "--limit", f"{switch}=yes", url)
        refused = here("get", "--explain", url)
    assert result.status == 0 and result.stdout == b"x"
    assert "what    accepted: " in result.stderr and words in result.stderr
    assert f"rule    {section}: " in result.stderr
    assert f"advice  --limit {switch}=yes accepts this" in result.stderr
    assert refused.status != 0 and "accepted: " not in refused.stderr
    assert f"--limit {switch}=yes accepts it." in refused.stderr


def test_faults_of_http2_that_are_accepted(here: Here) -> None:
    pen = f.FrameFactory()
    head = [(":status", "200"), ("x-a", " b"), ("x-c", "\x01"), ("content-length", "1")]
    frames = (
        pen.headers(1, [*head, ("content-length", "1")]),
        f.frame(f.DATA, 0x40, 1 << 31 | 1, b"x"),
        f.frame(f.PING, 0x2, 0, bytes(8)),
        f.frame(f.PING, 0x2, 0, bytes(8)),
        pen.headers(1, [("set-cookie", "a=b")], end_stream=True),
    )
    with scripted(*frames) as url:
        result = here("get", "--explain", "--http2", url)
    assert (result.status, result.stdout) == (0, b"x")
    accepted = [line[18:] for line in result.stderr.splitlines() if "accepted: " in line]
    assert accepted == [
        "the value of x-c has control characters",
        "content-length is there more than once",
        "the value of x-a begins or ends with a blank",
        "DATA with the reserved bit",
        "DATA with flags that it does not define (0x40)",
        "PING with flags that it does not define (0x02) (2 times)",
        "set-cookie is a trailer: it was dropped",
    ]
    for section in ("9110 5.5", "9110 8.6", "9113 8.2.1", "9113 4.1", "9110 6.5.1"):
        assert f"rule    RFC {section}: " in result.stderr


def test_no_fault_at_all(here: Here, echo: Echo) -> None:
    for version in ("--http2", "--http1.1"):
        result = here("get", "--explain", version, f"{echo.url}/text")
        assert result.stderr == "explain: nothing that came broke a rule\n"


def test_sections() -> None:
    assert rule_of("RFC 9113 6.5.2")[0] and rule_of("RFC 9113 6.5.9") == RULES["RFC 9113 6.5"]
    assert rule_of("RFC 1 2.3") == ("", "", ()) and rule_of("") == ("", "", ())
    assert address_of("RFC 9112 4") == "https://www.rfc-editor.org/rfc/rfc9112#section-4"
    assert address_of("docs") == ""


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_keys_for_wireshark(tmp_path: Path, pair: Pair) -> None:
    with echoing(pair) as echo:
        args = ["get", "-s", "--cacert", str(pair.authority), f"{echo.url}/echo"]
        done = subprocess.run(
            [sys.executable, "-m", "cno", *args],
            env={**ENVIRONMENT, "SSLKEYLOGFILE": str(tmp_path / "keys")},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0
    assert "CLIENT_TRAFFIC_SECRET_0 " in (tmp_path / "keys").read_text()


# -- completion ------------------------------------------------------------------------------------


@POSIX
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_by_bash(here: Here) -> None:
    script = here("completion", "bash").text

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in words)
        code = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _cno"
        code += '; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("cno", "g") == ["get"]
    assert completed("cno", "get", "--sil") == ["--silent"]
    assert "--water" not in completed("cno", "serve", "--p")
    assert "--port" in completed("cno", "serve", "--po")
    assert "--rate" in completed("cno", "load", "--r")


def test_completion_by_other_shells(here: Here) -> None:
    assert "compinit" in here("completion", "zsh").text
    fish = here("completion", "fish").text
    assert "-l silent" in fish and "-s o" in fish
    if (program := shutil.which("fish")) is not None:
        subprocess.run([program, "-n"], input=fish, text=True, check=True)
    assert here("completion", "tcsh").status == 2


def test_views_do_not_change_the_output(here: Here, pair: Pair) -> None:
    with echoing(pair) as echo:
        args = ["-s", "--cacert", str(pair.authority), f"{echo.url}/text"]
        views = ["-v", "--waterfall", "--explain", "--har", os.devnull, "--trace", os.devnull]
        assert here("get", *views, *args).stdout == here("get", *args).stdout == TEXT
