"""`cno load`: from arguments to a `Plan`, and from a `Report` to text.

Knows the words that users type, and how results are shown. Must never know a connection.
"""

import json
import sys
from typing import Any, Final

from cno.aio.client.connection import CLIENT_LIMITS
from cno.cli import request_data
from cno.cli.connect_arguments import connect_options
from cno.cli.connect_table import CONNECTIONS, SECURITY
from cno.cli.connecting import Dialer, target_of
from cno.cli.histogram import histogram, time_text
from cno.cli.load import Plan, Report, load
from cno.cli.option_table import ArgumentError, Option, Table, count, help_of, positive
from cno.cli.running import run_loop, split_header, with_scheme
from cno.cli.text import Paint, one_line
from cno.cli.trace_file import save
from cno.cli.views import can_draw
from cno.cli.waterfall import bytes_text

GROUP: Final = "Load"
PERCENTILES: Final = (50, 75, 90, 95, 99, 99.9)
ROWS: Final = 12
WIDTH: Final = 40
#: The share of the time for which the client waited for a processor that is worth a remark.
WAITED: Final = 0.02
#: What one processor made: small responses of nginx, compiled build (docs/get.md).
FASTEST: Final = (
    "The client uses one processor. One of an AMD EPYC made 25,000 requests a second over "
    "HTTP/1.1 and 38,000 over HTTP/2 with -m 50 (November 2026, Python 3.11, uvloop, in clear "
    "text). The client tells what it can make where it runs, and whether it was the limit."
)

OPTIONS: Final = (
    Option("-n --requests", "Send this many.", "NUMBER", "requests", GROUP, count),
    Option("-D --duration", "Go on for this time (10).", "SECONDS", "duration", GROUP, positive),
    Option(
        "-c --connections",
        "Over this many (10).",
        "NUMBER",
        "connections",
        GROUP,
        count,
        default=10,
    ),
    Option(
        "-m --streams",
        "Over HTTP/2: this many requests at once over each (1).",
        "NUMBER",
        "streams",
        GROUP,
        count,
        default=1,
    ),
    Option(
        "-R --rate",
        "Send this many a second, whether or not answers come; times count from when a request "
        "was due.",
        "NUMBER",
        "rate",
        GROUP,
        positive,
    ),
    Option("--warm-up", "Do not count the first seconds.", "SECONDS", "warm_up", GROUP, positive),
    Option("-X --request", "Use this method, not GET (or POST).", "METHOD", "method", GROUP),
    Option("-H --header", "Send this field.", "'NAME: VALUE'", "headers", GROUP, many=True),
    Option(
        "-d --data",
        "Send this data by POST.",
        "DATA",
        "data",
        GROUP,
        request_data.data_option("data"),
        many=True,
    ),
    Option("--json", "Print the results as JSON.", name="as_json", group=GROUP),
    Option("--svg", "Draw the times of all percentiles.", "FILE.svg", "svg", GROUP, files=True),
    *CONNECTIONS,
    *SECURITY,
    Option("-h --help", "Show this text."),
)


def table() -> Table:
    """Return the table of the command."""
    from cno.cli.limit_option import epilog

    return Table(
        "load",
        "[OPTIONS] URL",
        "Measure how many requests a server answers, and how fast.\n\n"
        "Without --rate, each connection (each stream of HTTP/2) sends its next request when the "
        "last one was answered: a slow server gets fewer requests. With --rate, requests are due "
        "at fixed times, and a request that has to wait for a connection is late: no slow answer "
        "hides others (no coordinated omission).\n\n" + FASTEST,
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
    if values["connections"] < 1 or values["streams"] < 1:
        raise ArgumentError("-c and -m are at least 1")
    plan = plan_of(values)
    report = run_loop(load(Dialer(connect_options(values, CLIENT_LIMITS)), plan), fast=True)
    if values["as_json"]:
        print(json.dumps(as_dict(report), indent=1))
    else:
        show(report)
    if values["svg"] is not None:
        from cno.cli.load_plot import svg

        save(values["svg"], svg(report))
    return 1 if report.failed else 0


def plan_of(values: dict[str, Any]) -> Plan:
    """Return what is to be sent."""
    data = request_data.data_content(values["data"]) if values["data"] else None
    fields = [("user-agent", "cno-load"), ("accept", "*/*"), *(data.headers if data else [])]
    given = [split_header(line) for line in values["headers"]]
    names = {name for name, _ in given}
    duration = values["duration"]
    return Plan(
        target=target_of(with_scheme(values["arguments"][0])),
        method=values["method"] or ("GET" if data is None else "POST"),
        headers=[*(pair for pair in fields if pair[0] not in names), *(p for p in given if p[1])],
        body=b"" if data is None else data.make(),
        connections=values["connections"],
        streams=values["streams"],
        requests=values["requests"],
        duration=duration if duration or values["requests"] else 10.0,
        rate=values["rate"],
        warm_up=values["warm_up"] or 0.0,
    )


def as_dict(report: Report) -> dict[str, Any]:
    """Return the results."""
    times = report.times
    return {
        "url": report.url,
        "protocol": report.protocol,
        "loop": "open" if report.plan.rate else "closed",
        "seconds": report.seconds,
        "requests": times.count,
        "failed": report.failed,
        "late": report.late,
        "rate": report.rate,
        "wanted_rate": report.plan.rate,
        "bytes": report.received,
        "statuses": {str(code): number for code, number in sorted(report.statuses.items())},
        "errors": report.errors,
        "client_cpu": report.cpu,
        "client_waited": report.waited,
        "client_rate": report.most,
        "client_limited": report.client_limited,
        "times": {
            "min": times.least if times.count else 0.0,
            "mean": times.mean,
            "deviation": times.deviation,
            "max": times.most,
            **{f"p{share:g}": times.percentile(share) for share in PERCENTILES},
        },
    }


def show(report: Report) -> None:
    """Print the table and the histogram."""
    paint, times, plan = Paint(sys.stdout), report.times, report.plan
    how = f"open loop, {plan.rate:g}/s wanted" if plan.rate else "closed loop"
    streams = f" of {plan.streams} streams" if plan.streams > 1 else ""
    print(f"{paint(one_line(report.url), 'bold')} over {report.protocol}, {how}")
    print(f"{plan.connections} connections{streams}, {report.seconds:.2f} s\n")
    rows = [
        ("requests", f"{times.count:,}"),
        ("rate", f"{report.rate:,.1f} /s"),
        ("received", f"{bytes_text(report.received)} of content"),
        ("statuses", ", ".join(f"{code}: {n:,}" for code, n in sorted(report.statuses.items()))),
        ("failed", f"{report.failed:,}"),
    ]
    if plan.rate:
        rows.append(("not sent in time", f"{report.late:,}"))
    for name, text in rows:
        print(f"  {name:<17} {text}")
    for text, number in report.errors.items():
        print(f"  {paint(f'{number:,} x {one_line(text)}', 'red')}")
    if times.count:
        print(
            f"\n  {'min':>9} {'mean':>9} " + " ".join(f"{f'p{s:g}':>9}" for s in PERCENTILES),
            end="",
        )
        print(f" {'max':>9} {'dev':>9}")
        columns = [times.least, times.mean, *(times.percentile(s) for s in PERCENTILES)]
        columns += [times.most, times.deviation]
        print("  " + " ".join(f"{time_text(seconds):>9}" for seconds in columns) + "\n")
        for line in histogram(times, ROWS, WIDTH, not can_draw(sys.stdout.encoding)):
            print(line)
    print()
    for text in effort(report):
        print(f"  {paint(text, 'yellow') if report.client_limited else text}")


def effort(report: Report) -> list[str]:
    """Return what the client had to do, and whether that was the limit."""
    used = f"This client used {report.cpu:.0%} of one processor"
    if report.waited >= WAITED:
        used += f", and waited {report.waited:.0%} of the time for one"
    lines = [f"{used}."]
    if report.most:
        lines.append(f"It can make about {rounded(report.most):,} such requests a second with one.")
    if report.client_limited:
        lines.append("It was the limit, and maybe not the server: the rate and times are its own.")
    return lines


def rounded(rate: float) -> int:
    """Return a rate with two digits that are not 0."""
    unit = int(10 ** max(0, len(str(int(rate))) - 2))
    return round(rate / unit) * unit
