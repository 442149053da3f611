"""`cno ping`: round trips to a server, of TCP, TLS, and PING frames of HTTP/2.

Over HTTP/1.1, which has no PING, it times requests for the head of the URL. Knows how results are
shown. Must never know how a connection is made.
"""

import asyncio
import json
import sys
from typing import Any, Final

from cno.aio.client.connection import CLIENT_LIMITS, Client
from cno.aio.client.urls import Target
from cno.cli import exit_codes
from cno.cli.connect_arguments import connect_options
from cno.cli.connect_table import CONNECTIONS, SECURITY
from cno.cli.connecting import Dialer, Timings, target_of
from cno.cli.histogram import Times, histogram, time_text
from cno.cli.option_table import ArgumentError, Option, Table, count, help_of, positive
from cno.cli.problems import Problem, reason
from cno.cli.running import run_loop, with_scheme
from cno.cli.text import Paint, one_line
from cno.cli.views import can_draw
from cno.errors import ConnectionError

#: Rows and columns of the histogram.
ROWS: Final = 10
WIDTH: Final = 40

OPTIONS: Final = (
    Option("-n --count", "Send this many (10).", "NUMBER", "count", "Pings", count, default=10),
    Option(
        "-i --interval",
        "Wait this long between them (0.2).",
        "SECONDS",
        "interval",
        "Pings",
        positive,
        default=0.2,
    ),
    Option(
        "-c --connections",
        "Connect this many times, for the times of TCP and TLS (1).",
        "NUMBER",
        "connections",
        "Pings",
        count,
        default=1,
    ),
    Option("-q --quiet", "Show the summary only.", group="Pings"),
    Option("--json", "Print the results as JSON.", name="as_json", group="Pings"),
    *CONNECTIONS,
    *SECURITY,
    Option("-h --help", "Show this text."),
)


def table() -> Table:
    """Return the table of the command."""
    from cno.cli.limit_option import epilog

    return Table(
        "ping",
        "[OPTIONS] URL",
        "Measure the round trips to a server: of TCP, TLS, and PING frames over one connection of "
        "HTTP/2. Over HTTP/1.1, which has no PING, HEAD requests are timed.",
        OPTIONS,
        "URL",
        epilog(),
    )


def run(args: list[str]) -> int:
    """Run the command. Return its status. Raises ArgumentError and Problem."""
    known = table()
    if "--help" in args or "-h" in args:
        print(help_of(known))
        return 0
    values = known.parse(args)
    if len(values["arguments"]) != 1:
        raise ArgumentError("give one URL")
    if values["connections"] < 1:
        raise ArgumentError("-c: at least one connection")
    dialer = Dialer(connect_options(values, CLIENT_LIMITS))
    target = target_of(with_scheme(values["arguments"][0]))
    return run_loop(ping(dialer, target, values))


class Results:
    """What was measured."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.protocol = ""
        self.times = {name: Times() for name in ("dns", "tcp", "tls", "ping")}
        self.lost = 0

    def connected(self, timings: Timings) -> None:
        """Count the steps of a connection."""
        if timings.resolved:
            self.times["dns"].add(timings.resolved - timings.begun)
        if timings.connected and timings.resolved:
            self.times["tcp"].add(timings.connected - timings.resolved)
        if timings.secured - timings.connected > 0 and self.url.startswith("https:"):
            self.times["tls"].add(timings.secured - timings.connected)

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"url": self.url, "protocol": self.protocol, "lost": self.lost}
        for name, times in self.times.items():
            if times.count:
                found[name] = {
                    "count": times.count,
                    "min": times.least,
                    "mean": times.mean,
                    "median": times.percentile(50),
                    "p95": times.percentile(95),
                    "max": times.most,
                    "deviation": times.deviation,
                }
        return found


async def ping(dialer: Dialer, target: Target, values: dict[str, Any]) -> int:
    """Measure, and print what was measured, also when Ctrl-C ends it."""
    results = Results(f"{target.scheme}://{target.authority}{target.path}")
    try:
        for _ in range(values["connections"] - 1):
            client, timings = await dialer.connect(target)
            results.connected(timings)
            client.close()
            await client.wait_closed()
        client, timings = await dialer.connect(target)
        results.connected(timings)
        results.protocol = "HTTP/2" if client.is_http2 else "HTTP/1.1"
        try:
            await send_pings(client, target, values, results)
        finally:
            client.transport.abort()
    finally:
        if results.protocol:
            show(results, bool(values["as_json"]))
    return exit_codes.NOT_RECEIVED if results.lost else 0


async def send_pings(
    client: Client, target: Target, values: dict[str, Any], results: Results
) -> None:
    """Send pings, one at each interval, and wait for each answer."""
    loop = asyncio.get_running_loop()
    is_quiet = values["quiet"] or values["as_json"]
    for number in range(values["count"]):
        due = loop.time() + values["interval"]
        try:
            took = await round_trip(client, target)
        except (ConnectionError, TimeoutError) as error:
            results.lost += 1
            if not is_quiet:
                print(f"{results.protocol} {number + 1}: {one_line(reason(error))}", flush=True)
            if client.transport.is_closing():
                raise Problem(f"{results.url}: {reason(error)}", exit_codes.NOT_RECEIVED) from None
            continue
        results.times["ping"].add(took)
        if not is_quiet:
            print(f"{results.protocol} {number + 1}: {time_text(took)}", flush=True)
        if number + 1 < values["count"]:
            await asyncio.sleep(max(0.0, due - loop.time()))


async def round_trip(client: Client, target: Target) -> float:
    """Return the time of one round trip, in seconds."""
    if client.is_http2:
        return await client.ping()
    loop = asyncio.get_running_loop()
    began = loop.time()
    response = await client.request("HEAD", target.path, [("user-agent", "cno")])
    took = loop.time() - began
    await response.payload.read()
    return took


def show(results: Results, as_json: bool) -> None:
    """Print the summary."""
    if as_json:
        print(json.dumps(results.as_dict(), indent=1), flush=True)
        return
    paint = Paint(sys.stdout)
    names = {"dns": "name", "tcp": "TCP", "tls": "TLS", "ping": "PING"}
    if results.protocol == "HTTP/1.1":
        names["ping"] = "HEAD"
    print(f"\n{paint(one_line(results.url), 'bold')} over {results.protocol}")
    print(
        f"{'':6} {'count':>6} {'min':>9} {'mean':>9} {'median':>9} {'p95':>9} {'max':>9} {'dev':>9}"
    )
    for name, times in results.times.items():
        if times.count:
            shown = (
                times.least, times.mean, times.percentile(50), times.percentile(95), times.most,
                times.deviation,
            )  # fmt: skip  # in the order of the head
            columns = " ".join(f"{time_text(seconds):>9}" for seconds in shown)
            print(f"{names[name]:6} {times.count:>6} {columns}")
    if results.lost:
        print(paint(f"{results.lost} without an answer", "red"))
    if results.times["ping"].count > 1:
        print()
        for line in histogram(
            results.times["ping"], ROWS, WIDTH, not can_draw(sys.stdout.encoding)
        ):
            print(line)
    sys.stdout.flush()
