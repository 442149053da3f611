"""The commands, their options and their exit statuses. Errors are one line, never a traceback.

Knows click and the words that users type. Must never know HTTP.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from cno._build import describe
from cno.cli.application import (
    Command,
    application_options,
    is_application,
    serve_application,
    split_options,
)
from cno.cli.limit_option import limits_from, names
from cno.cli.problems import OUTPUT_CLOSED, Problem, end_line, reason
from cno.cli.site_options import site_options
from cno.cli.text import one_line
from cno.limits import Limits

T = TypeVar("T")

#: The end of `--help`: the names of all limits.
_LIMITS = f"Limits (none: no limit; sizes also as 64k or 2M): {', '.join(names())}."


def limit_option(command: Any) -> Any:
    """Add `--limit` to a command."""
    text = "Change a limit of each connection (see below); may be repeated."
    return click.option("--limit", "limits", metavar="NAME=VALUE", multiple=True, help=text)(
        command
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(message=describe())
def app() -> None:
    """HTTP/2 and HTTP/1.1: serve a folder or an application, fetch a URL."""


@app.command(cls=Command, epilog=_LIMITS)
@click.argument(
    "folder", metavar="[DIR | MODULE:NAME]", default=".", envvar="CNO_APP", type=click.Path()
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="CNO_HOST",
    help="Address to listen on.",
)
@click.option(
    "-p",
    "--port",
    default=8000,
    show_default=True,
    envvar="CNO_PORT",
    type=click.IntRange(0, 65535),
    help="Port; 0: any free one.",
)
@click.option("--cert", metavar="FILE", help="Serve over TLS with this certificate (PEM).")
@click.option("--key", metavar="FILE", help="Its private key (PEM), if it is in another file.")
@click.option(
    "--self-signed", is_flag=True, help="Serve over TLS with a new, self-signed certificate."
)
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    help="Also answer for this host; .NAME: and for the hosts below it; *: for any host.",
)
@site_options
@click.option("--index", metavar="NAME", default="index.html", show_default=True)
@click.option("--listing/--no-listing", default=True, help="Whether to list folders.")
@click.option("--log/--no-log", default=None, help="Log each request (default: on a terminal).")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@limit_option
@application_options
@click.pass_context
def serve(ctx: click.Context, /, **options: Any) -> int:
    """Serve the files of a folder (by default the current one), or an ASGI application, until
    Ctrl-C.

    MODULE:NAME is an application: it is served by one process, or by several workers. Each of its
    options is also an environment variable (--root-path: CNO_ROOT_PATH) and a key of the file that
    --config names.

    Over TLS, HTTP/2 is negotiated; in clear text, clients may start with it (prior knowledge).
    Hidden files, and links that lead out of the folder, are not served.

    On the loopback interface, requests for hosts other than localhost, IP addresses and those of
    --allow-host get 421, since any web page can make its name resolve to this machine. On other
    interfaces, requests for all hosts are answered, unless there is an --allow-host.
    """
    from cno.aio.server.connection import SERVER_LIMITS
    from cno.cli.serve import ServeOptions, run

    if options["self_signed"] and (options["cert"] or options["key"]):
        raise click.UsageError(
            "--self-signed makes its own certificate: leave out --cert and --key"
        )
    if options["key"] and not options["cert"]:
        raise click.UsageError("--key needs --cert")
    options["site_headers"] = tuple(
        split_header(line, "--add-header") for line in options["site_headers"]
    )
    options["limits"] = with_limits(options["limits"], SERVER_LIMITS)
    own = split_options(options, ctx)
    if is_application(options["folder"]):
        return serve_application(options, own, options["limits"])
    run_loop(run(ServeOptions(**options)), fast=True)
    return 0


@app.command(epilog=_LIMITS)
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="Save the body in this file; -: print it.")
@click.option(
    "-O", "--remote-name", is_flag=True, help="Save each body under the last name of its URL."
)
@click.option(
    "-H",
    "--header",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    help="Send this header field; without a VALUE, leave out a default one.",
)
@click.option(
    "-X", "--request", "method", metavar="METHOD", help="Use this method instead of GET (or POST)."
)
@click.option(
    "-d", "--data", metavar="DATA", multiple=True, help="Send this data, or all bytes of @FILE."
)
@click.option("-I", "--head", is_flag=True, help="Request the head only.")
@click.option("-i", "--include", is_flag=True, help="Write heads to standard output, too.")
@click.option("-v", "--verbose", is_flag=True, help="Write requests and heads to standard error.")
@click.option("-L", "--location", "follow", is_flag=True, help="Follow redirects.")
@click.option(
    "-f", "--fail", is_flag=True, help="Status 400 and above: exit with 22, print no body."
)
@click.option("--http1.1", "version", flag_value="1.1", help="Use HTTP/1.1 only.")
@click.option(
    "--http2", "version", flag_value="2", help="Use HTTP/2 only; for http: by prior knowledge."
)
@click.option("-k", "--insecure", is_flag=True, help="Accept any certificate.")
@click.option("--cacert", metavar="FILE", help="Trust only the authorities in this file (PEM).")
@click.option("--cert", metavar="FILE", help="Send this client certificate (PEM).")
@click.option("--key", metavar="FILE", help="Its private key (PEM), if it is in another file.")
@click.option(
    "--proxy",
    metavar="URL",
    help="Use this proxy (http:// or https://[user:password@]host:port); env: the one that "
    "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name.",
)
@click.option(
    "--max-time",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Give up after this time.",
)
@limit_option
def get(**options: Any) -> int:
    """Fetch URLs, those of one server over one connection.

    On a terminal, heads and pushes are shown and text is formatted. A pipe gets the bodies only.
    """
    from cno.aio.client.connection import CLIENT_LIMITS
    from cno.cli.get import GetOptions, run
    from cno.cli.origins import ConnectOptions

    if options["output"] and (options["remote_name"] or len(options["urls"]) > 1):
        raise click.UsageError("-o is for one URL; use -O for several")
    if options["output"] == "-":
        options["output"] = None
    if options["head"] and options["data"]:
        raise click.UsageError("-I sends no body: leave out -d")
    if options["key"] and not options["cert"]:
        raise click.UsageError("--key needs --cert")
    connect = ConnectOptions(
        version=options.pop("version") or "",
        limits=with_limits(options.pop("limits"), CLIENT_LIMITS),
        **{name: options.pop(name) for name in ("insecure", "cacert", "cert", "key", "proxy")},
    )
    options["urls"] = tuple(with_scheme(url) for url in options["urls"])
    options["headers"] = [split_header(line) for line in options["headers"]]
    options["data"] = joined(options["data"])
    return run_loop(run(GetOptions(connect=connect, **options)))


def run_loop(main: Coroutine[Any, Any, T], *, fast: bool = False) -> T:
    """Run a command. `fast`: on uvloop if it is installed, since that is slower to import.

    Raises Problem(status 130) when Ctrl-C ends it.
    """
    factory = None
    if fast:
        from cno.aio.running import usual_loop_factory

        factory = usual_loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    except KeyboardInterrupt:
        end_line()
        raise Problem("", 130) from None


def with_limits(texts: tuple[str, ...], base: Limits) -> Limits:
    """Return `base` with the changes of `--limit`. Raises click.UsageError."""
    try:
        return limits_from(texts, base)
    except ValueError as error:
        raise click.UsageError(f"--limit: {error}") from None


def with_scheme(url: str) -> str:
    """Return a URL; one without a scheme is taken as `http:`."""
    return url if "://" in url else f"http://{url}"


def split_header(line: str, option: str = "-H") -> tuple[str, str]:
    """Split `name: value`. An empty value removes a default field. Raises click.UsageError."""
    name, colon, value = line.partition(":")
    if not colon or not name or any(c in line for c in "\r\n\0"):
        raise click.UsageError(f"{option} {one_line(line)!r}: should be 'name: value'")
    return name.strip().lower(), value.strip()


def joined(pieces: tuple[str, ...]) -> bytes | None:
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


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(run_app(sys.argv[1:]))


def run_app(args: list[str]) -> int:
    """Return the exit status: 0, 1 for an error, 2 for a usage error, 130 for Ctrl-C."""
    try:
        status = app.main(args, prog_name="cno", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Problem as problem:
        if str(problem):
            print(f"cno: {one_line(str(problem))}", file=sys.stderr)
        if problem.status == OUTPUT_CLOSED:
            # Python flushes standard output again at exit, which would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return problem.status
    except KeyboardInterrupt:
        return 130
    return status if isinstance(status, int) else 0
