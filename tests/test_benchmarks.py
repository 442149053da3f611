"""The benchmarks still run: the smallest case of each, with whatever peers are here.

No figure is looked at: only that each module measures, makes tables of it, and keeps it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

import cno
from benchmarks import (
    blocking_clients,
    callgrind,
    engine,
    instructions,
    lab,
    report,
    scale,
    syscalls,
)
from benchmarks.lab import Claim, Missing, Options, Row
from tests.aio.lab import HTTP1, HTTP2, Certificates, Lab
from tests.peers import missing, require
from tests.sync.kit import serving
from tests.tree import ROOT


def need(*names: str) -> None:
    for name in names:
        try:
            lab.peer(name)
        except Missing as reason:
            missing(str(reason))


def check(claim: Claim, tmp_path: Path, *names: str) -> str:
    """Rows with our samples, kept as they are; the tables name who took part."""
    assert claim.rows
    claim.machine = lab.machine()
    claim.save(tmp_path)
    again = lab.load(tmp_path / f"{claim.name}.json")
    assert [row.case for row in again.rows] == [row.case for row in claim.rows]
    text = lab.markdown(again)
    for name in names:
        assert f" {name} " in text
        assert any(row.samples.get(name) for row in again.rows)
    return text


@pytest.mark.parametrize("case", engine.all_cases(), ids=lambda case: case.name)
def test_our_driver_does_what_each_case_asks_for(case: engine.Case) -> None:
    need("hpack")
    count = 2 if case.large else case.step
    assert engine.run("cno", case, case.make(count), count) >= 0


def test_engine_compares(tmp_path: Path) -> None:
    need("h2", "h11")
    claim = engine.measure(Options(1, True, ["10 fields"]))
    text = check(claim, tmp_path, "cno", "h2", "h11")
    assert "short of" in text or "x (" in text


def test_hpack_compares(tmp_path: Path) -> None:
    need("hpack")
    from benchmarks import hpack

    check(hpack.measure(Options(1, True, ["decode"]), tmp_path / "none"), tmp_path, "cno", "hpack")


def test_scale_weighs(tmp_path: Path) -> None:
    need("h2")
    claim = Claim("scale", "Scale", "")
    found = scale.Scale(Options(1, True), claim)
    found.add(Row("idle", "KiB", found.samples("idle", ("cno", "h2"), 20, 1), at_most=4))
    check(claim, tmp_path, "cno", "h2")
    assert claim.rows[0].samples["cno"][0] < 100


def test_servers_answer_their_load(tmp_path: Path) -> None:
    need("trustme")
    require("h2load")
    from benchmarks import server, servers
    from benchmarks.load import Load

    claim = Claim("server", "Servers", "")
    site = servers.Site.make(tmp_path)
    core, load = lab.cores()
    with servers.all_started(["cno (asyncio)"], site, core, claim) as running:
        bench = server.Bench(running, load, 0.05, tmp_path / "times", claim)
        claim.rows += bench.rows(server.Case("x", servers.H2C, "/", Load(2, 2)), 1)
    assert claim.missing == []
    check(claim, tmp_path, "cno (asyncio)")


def test_messages_are_echoed(tmp_path: Path) -> None:
    need("trustme", "uvloop", "httptools", "websockets")
    from benchmarks import servers, websocket

    claim = Claim("websocket", "Echoes", "")
    site = servers.Site.make(tmp_path)
    core, load = lab.cores()
    names = ["cno ASGI", "cno", "uvicorn (websockets)"]
    with servers.all_started(names, site, core, claim) as running:
        for case in websocket.CASES:
            claim.rows += websocket.rows(case, Options(1, True), running, load, claim)
    assert claim.missing == []
    check(claim, tmp_path, *names)


def test_files_are_served(tmp_path: Path) -> None:
    require("h2load")
    from benchmarks import files

    claim = files.measure(Options(1, True, ["1k, h2c"]))
    check(claim, tmp_path, "cno")


def test_a_report_holds_what_was_measured(tmp_path: Path) -> None:
    row = Row("server, 10 fields", "µs", {"cno": [1.0, 2.0], "h2": [50.0, 40.0]}, goals={"h2": 40})
    Claim("engine", "Engine", "About.", [row], ["zttp is not installed"]).save(tmp_path)
    text = report.write(tmp_path).read_text("utf-8")
    assert "45 (40-50) **35.0x (short of 40)**" in text
    assert "- Not measured: zttp is not installed." in text


def test_more_instructions_fail_and_fewer_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"instructions": {"a": 1000.0, "b": 1000.0}}
    assert instructions.check({"a": 1029.0, "b": 500.0}, kept) == 0
    assert instructions.check({"a": 1031.0, "b": 1000.0}, kept) == instructions.SLOWER
    assert "more than 3% slower: a" in capsys.readouterr().out


def test_scripts_of_instructions_run() -> None:
    need("hpack")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scripts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


DUMP = """\
events: Ir
fn=(1) CPyDef_outer
1 10
cfn=(2) PyList_New
calls=2 0
1 100
cfn=(3) CPyDef_inner'2
calls=4 0
+1 48
fn=(2)
1 100
fn=(3)
* 48
totals: 158
"""


def test_a_profile_counts_what_functions_take_and_whom_they_call(tmp_path: Path) -> None:
    path = tmp_path / "out.2"
    path.write_text(DUMP)
    assert callgrind.total(path) == 158
    lines = [" ".join(line.split()) for line in callgrind.describe(path, 2).splitlines()]
    assert lines == [
        "55 CPyDef_outer, itself 5",
        "50 PyList_New, 1 times",
        "24 CPyDef_inner, 2 times",
        "24 CPyDef_inner, itself 24",
    ]


def test_writes_are_counted_between_waits_by_connection_and_thread() -> None:
    lines = [
        "7 epoll_wait(3, ...) = 2",
        "7 recvfrom(8, ...) = 10",
        "7 sendto(8, ...) = 10",
        "9 sendto(8, ...) = 10",
        "7 sendto(9, ...) = 10",
        "7 epoll_wait(3, ...) = 1",
        "7 sendto(8, ...) = 10",
        "7 sendto(8, ...) = 10",
        "8 +++ exited with 0 +++",
    ]
    assert syscalls.count(lines) == syscalls.Count(turns=2, reads=1, writes=5, most=2)


def test_blocking_clients() -> None:
    """Each of them requests a page, from two threads."""
    for name in ("httpx", "h2", "requests", "urllib3"):
        need(name)

    async def page(request: cno.Request) -> None:
        await request.respond(200, [], b"page")

    place = Lab(None, Certificates("", "", ""))
    for name in blocking_clients.CLIENTS:
        wire = HTTP1 if name.startswith(("cno.sync, ", "requests", "urllib3")) else HTTP2
        with serving(place, wire, page) as url:
            seen = blocking_clients.measure(name, url.replace("h2c:", "http:") + "/", 2, 0.05)
            assert seen["requests"] > 0 and seen["cpu"] > 0, name
