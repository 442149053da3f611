"""`cno get`: from arguments to `GetOptions`.

Knows which options exclude each other. Must never know how a request is sent.
"""

import os
import sys
from pathlib import Path
from typing import Any

from cno.aio.client.connection import CLIENT_LIMITS
from cno.cli.get import GetOptions
from cno.cli.get import run as fetch
from cno.cli.get_options import table
from cno.cli.option_table import ArgumentError, help_of
from cno.cli.origins import ConnectOptions
from cno.cli.problems import Problem, reason
from cno.cli.running import run_loop, split_header, with_limits, with_scheme


def run(args: list[str]) -> int:
    """Run the command. Return its status. Raises ArgumentError and Problem."""
    known = table()
    if "--help" in args or "-h" in args:
        print(help_of(known))
        return 0
    values = known.parse(args)
    return run_loop(fetch(options_of(values)))


def options_of(values: dict[str, Any]) -> GetOptions:
    """Return the options of a parsed command line. Raises ArgumentError."""
    urls = values["arguments"]
    outputs = values["output"]
    if outputs and (values["remote_name"] or len(urls) > 1 or len(outputs) > 1):
        raise ArgumentError("-o is for one URL; use -O for several")
    if values["head"] and values["data"]:
        raise ArgumentError("-I sends no body: leave out -d")
    if values["key"] and not values["cert"]:
        raise ArgumentError("--key needs --cert")
    connect = ConnectOptions(
        version=values["version"] or "",
        limits=with_limits(values["limits"], CLIENT_LIMITS),
        insecure=bool(values["insecure"]),
        **{name: values[name] for name in ("cacert", "cert", "key", "proxy")},
    )
    return GetOptions(
        tuple(with_scheme(url) for url in urls),
        connect,
        values["method"],
        [split_header(line) for line in values["headers"]],
        joined(values["data"]),
        outputs[0] if outputs and outputs[0] != "-" else None,
        bool(values["remote_name"]),
        bool(values["include"]),
        bool(values["verbose"]),
        bool(values["head"]),
        values["max_time"],
        bool(values["follow"]),
        bool(values["fail"]),
    )


def joined(pieces: list[str]) -> bytes | None:
    """Join the values of `-d` into one form. Raises Problem for a file that cannot be read."""
    return b"&".join(map(data_of, pieces)) if pieces else None


def data_of(piece: str) -> bytes:
    """Return the bytes of one `-d`: itself, `@FILE` or `@-` (standard input). Raises Problem."""
    if piece[:1] != "@":
        return os.fsencode(piece)
    if piece == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(piece[1:]).read_bytes()
    except OSError as error:
        raise Problem(f"cannot read {piece[1:]}: {reason(error)}") from None
