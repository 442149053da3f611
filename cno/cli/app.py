"""The commands and their options, and how they end: a line and a status, never a traceback.

Knows click and what users type. Must never know HTTP.
"""

import asyncio
import os
import sys
from typing import Any

import click

from cno._build import describe
from cno.cli.problems import Problem, one_line


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(message=describe())
def app() -> None:
    """HTTP/2 and HTTP/1.1: serve a folder, fetch a URL."""


@app.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path())
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 for any that is free.",
)
@click.option("--cert", metavar="FILE", help="Serve over TLS with this certificate (PEM).")
@click.option("--key", metavar="FILE", help="Its private key, if that is in a file of its own.")
@click.option("--self-signed", is_flag=True, help="Serve over TLS with a certificate made up.")
@click.option("--index", metavar="NAME", default="index.html", show_default=True)
@click.option("--listing/--no-listing", default=True, help="Whether to list folders.")
@click.option("--log/--no-log", default=None, help="A line per request (on a terminal: yes).")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but what goes wrong.")
def serve(**options: Any) -> None:
    """Serve the files of a folder (this one, unless told) until Ctrl-C.

    In clear text, HTTP/2 is for clients that start with it (prior knowledge); over TLS it is
    negotiated. Hidden files, and links that lead out of the folder, are not served.
    """
    from cno.cli.serve import Serving, run

    if options["self_signed"] and (options["cert"] or options["key"]):
        raise click.UsageError(
            "--self-signed makes its own certificate: leave out --cert and --key"
        )
    if options["key"] and not options["cert"]:
        raise click.UsageError("--key needs --cert")
    asyncio.run(run(Serving(**options)))


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run_app(sys.argv[1:]))


def run_app(args: list[str]) -> int:
    """The exit status: 0, 1 for what went wrong, 2 for what was not understood, 130 for Ctrl-C."""
    try:
        status = app.main(args, prog_name="cno", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Problem as problem:
        print(f"cno: {one_line(str(problem))}", file=sys.stderr)
        return problem.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has read enough. Python would flush, and fail, again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status if isinstance(status, int) else 0
