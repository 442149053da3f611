"""The measurements and the output of `cno ping` and `cno load`."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cno
from cno.aio.tls import client_context
from cno.cli.connecting import target_of
from cno.cli.histogram import RATIO, Times, histogram, time_text
from cno.cli.load import Plan, Report
from cno.cli.load_command import as_dict, effort
from cno.cli.load_plot import svg
from cno.cli.processor_share import ProcessorShare
from tests.cli.commands import Here, one_line
from tests.cli.echo import HOST, Echo, echoing
from tests.peers import free_port
from tests.processes import PATIENCE, Pair


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with echoing() as running:
        yield running


@contextmanager
def stalling(stall: float) -> Iterator[str]:
    """Run a server that answers at once, but for one pause."""
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    count = 0
    url = ""

    async def handle(request: cno.Request) -> None:
        nonlocal count
        count += 1
        if count == 10:
            await asyncio.sleep(stall)
        await request.respond(200, [], b"x")

    async def main() -> None:
        nonlocal url
        async with cno.serve(handle, HOST, 0) as listener:
            url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}/"
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        loop.close()


# -- times -----------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=200), st.floats(0, 100))
def test_percentiles(values: list[float], share: float) -> None:
    times = Times()
    for value in values:
        times.add(value)
    rank = min(len(values), max(1, -int(-len(values) * share / 100 // 1)))
    exact = sorted(values)[rank - 1]
    assert exact / RATIO**2 <= times.percentile(share) <= max(exact, times.least) * RATIO**2
    assert sum(count for _, _, count in times.groups(7)) == len(values)
    assert times.least == min(values) and times.most == max(values)


def test_no_times() -> None:
    times = Times()
    assert times.mean == times.deviation == times.percentile(50) == 0.0
    assert histogram(times, 5, 10, True) == []


def test_times_for_people() -> None:
    shown = [time_text(seconds) for seconds in (1e-6, 1.234e-3, 0.01234, 0.1234, 1.234)]
    assert shown == ["1 us", "1.23 ms", "12.3 ms", "123 ms", "1.23 s"]


# -- ping ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "name"), [("--http2", "PING"), ("--http1.1", "HEAD")])
def test_round_trips(here: Here, echo: Echo, version: str, name: str) -> None:
    result = here("ping", version, "-n", "4", "-i", "0.001", f"{echo.url}/status/200")
    assert result.status == 0
    lines = result.text.splitlines()
    assert sum(line.startswith(f"HTTP/{version[6:]} ") for line in lines) == 4
    assert any(line.startswith(f"{name} ") and " 4 " in line for line in lines)
    assert any(line.startswith("TCP ") for line in lines)


def test_round_trips_over_tls(here: Here, pair: Pair) -> None:
    with echoing(pair) as echo:
        args = ("--cacert", str(pair.authority), "-c", "3", "-n", "2", "-i", "0.001", "--json")
        found = json.loads(here("ping", *args, echo.url).stdout)
    assert found["protocol"] == "HTTP/2" and found["lost"] == 0
    assert found["tls"]["count"] == found["tcp"]["count"] == 3 and found["ping"]["count"] == 2
    assert 0 < found["ping"]["min"] <= found["ping"]["median"] <= found["ping"]["max"]


def test_loading_certificates_is_no_part_of_a_connection(here: Here, pair: Pair) -> None:
    large = here.folder / "large.pem"
    large.write_bytes(Path(pair.authority).read_bytes() * 3_000)
    began = time.monotonic()
    client_context(large)
    most = (time.monotonic() - began) / 2
    with echoing(pair) as echo:
        trust = ("--cacert", str(large))
        result = here("ping", *trust, "-n", "1", "--json", echo.url)
        found = json.loads(result.text)
        assert found["dns"]["max"] < most and found["tls"]["max"] < most
        result = here("get", *trust, "-w", "\n%{time_namelookup}", f"{echo.url}/text")
        assert float(result.text.rpartition("\n")[2]) < most


def test_a_summary_only(here: Here, echo: Echo) -> None:
    result = here("ping", "--http1.1", "-q", "-n", "2", "-i", "0.001", f"{echo.url}/status/200")
    assert result.status == 0
    assert not any(line.startswith("HTTP/1.1 ") for line in result.text.splitlines())
    assert "HEAD " in result.text


def test_nobody_to_ping(here: Here) -> None:
    one_line(here("ping", f"{HOST}:{free_port()}"), 7)


@pytest.mark.parametrize(
    "args", [["ping"], ["ping", "a", "b"], ["ping", "-c", "0", "a"], ["load"], ["load", "-c0", "a"]]
)
def test_usage(here: Here, args: list[str]) -> None:
    assert here(*args).status == 2


@pytest.mark.parametrize("command", ["ping", "load", "completion"])
def test_help(here: Here, command: str) -> None:
    result = here(command, "--help")
    assert result.status == 0 and result.text.startswith(f"Usage: cno {command} ")


# -- load ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--http1.1"], ["--http2", "-m", "5"]])
def test_a_closed_loop(here: Here, echo: Echo, args: list[str]) -> None:
    echo.seen.clear()
    echo.connections.clear()
    url = f"{echo.url}/status/200"
    result = here("load", "-n", "60", "-c", "3", *args, "--json", url)
    found = json.loads(result.stdout)
    assert (found["requests"], found["failed"], found["loop"]) == (60, 0, "closed")
    assert found["statuses"] == {"200": 60} and len(echo.seen) == 60
    assert len(echo.connections) == 3
    assert 0 < found["times"]["min"] <= found["times"]["p50"] <= found["times"]["max"]
    assert found["rate"] == pytest.approx(60 / found["seconds"])
    assert 0 < found["client_cpu"] < 2 and 0 <= found["client_waited"] <= 1
    assert found["client_rate"] * found["client_cpu"] == pytest.approx(found["rate"], rel=0.5)


def test_an_open_loop(here: Here, echo: Echo) -> None:
    url = f"{echo.url}/status/200"
    result = here("load", "-R", "100", "-D", "0.5", "-c", "5", "--svg", "p.svg", url)
    assert result.status == 0 and "open loop, 100/s wanted" in result.text
    rate = float(result.text.partition("rate")[2].split("/s")[0].split()[-1])
    assert 80 <= rate <= 105
    ElementTree.parse(here.folder / "p.svg")


def test_a_stall_hides_no_request(here: Here) -> None:
    """In an open loop, requests that were due during a stall are late (coordinated omission)."""
    with stalling(0.4) as url:
        found = json.loads(here("load", "-R", "100", "-n", "100", "-c", "1", "--json", url).stdout)
    assert found["requests"] == 100
    assert found["times"]["p75"] > 0.1
    with stalling(0.4) as url:
        found = json.loads(here("load", "-n", "100", "-c", "1", "--json", url).stdout)
    assert found["times"]["p75"] < 0.1


def test_failures_are_counted(here: Here, echo: Echo) -> None:
    result = here("load", "-n", "5", "-c", "1", "--json", f"{echo.url}/status/500")
    assert result.status == 1 and json.loads(result.stdout)["failed"] == 5
    result = here("load", "-n", "4", "-c", "2", f"{echo.url}/drop")
    assert result.status == 1 and "the connection" in result.text


def test_data_is_sent(here: Here, echo: Echo) -> None:
    echo.seen.clear()
    here("load", "-n", "2", "-c", "1", "-d", "a=b", "-H", "x-y: z", f"{echo.url}/echo")
    assert [(seen.method, seen.body, seen.header("x-y")) for seen in echo.seen] == [
        ("POST", b"a=b", "z")
    ] * 2


def test_a_method_and_a_warm_up(here: Here, echo: Echo) -> None:
    """Requests of the first seconds are sent, and not counted."""
    echo.seen.clear()
    args = ("-X", "PUT", "-c", "1", "-R", "200", "--warm-up", "0.1", "-D", "0.2", "--json")
    found = json.loads(here("load", *args, f"{echo.url}/echo").stdout)
    assert {seen.method for seen in echo.seen} == {"PUT"}
    assert 0 < found["requests"] < len(echo.seen)


PLAN = Plan(target_of("http://a/<&"), "GET", [], b"", 1, 1, 1, None, None, 0.0)


@pytest.mark.parametrize(
    ("cpu", "waited", "limited"), [(0.5, 0.0, False), (0.95, 0.0, True), (0.3, 0.65, True)]
)
def test_the_client_was_the_limit(cpu: float, waited: float, limited: bool) -> None:
    """It says so where it was busy, and where other programs took the processor from it."""
    report = Report(PLAN, "http://a/", cpu=cpu, waited=waited, most=17_449.0)
    lines = effort(report)
    assert lines[0].startswith(f"This client used {cpu:.0%} of one processor")
    assert ("waited 65% of the time" in lines[0]) == (waited > 0)
    assert "about 17,000 such requests" in lines[1]
    assert lines[2:] == ([lines[-1]] if limited else []) and limited == ("limit" in lines[-1])
    assert report.client_limited == as_dict(report)["client_limited"] == limited


def test_the_share_of_a_processor() -> None:
    share = ProcessorShare()
    while share.seconds() < 0.01:
        pass
    assert share.used() > 0 and 0 <= share.waited() <= 1


def test_a_drawing_of_nothing() -> None:
    ElementTree.fromstring(svg(Report(PLAN, "http://a/<&\x1b")))
