"""The options of `cno serve` that make a folder a site.

Knows click. Must never know HTTP.
"""

from typing import Any

import click

from cno.cli.limit_option import whole


def size(text: str) -> int:
    """Return a number of bytes: `1000`, `64k`, `20M` or `2G`. Raises ValueError."""
    number = whole(text)
    if number < 0:
        raise ValueError(text)
    return number


#: The options that are fields of `Site`.
SITE = ("cors", "isolate", "auth", "single_page", "prefix")

OPTIONS = (
    click.option("--open", "open_browser", is_flag=True, help="Open a browser."),
    click.option(
        "--spa",
        "single_page",
        is_flag=True,
        help="Single-page application: answer navigations to missing pages with the index.",
    ),
    click.option(
        "--add-header",
        "site_headers",
        metavar="'NAME: VALUE'",
        multiple=True,
        help="Send this field with each response; may be repeated.",
    ),
    click.option("--cors", is_flag=True, help="Let pages of all other sites read the files."),
    click.option(
        "--isolate",
        is_flag=True,
        help="Send COOP and COEP, which SharedArrayBuffer and WebAssembly threads need.",
    ),
    click.option(
        "--cache-control",
        metavar="VALUE",
        default="no-cache",
        show_default=True,
        help="Send this Cache-Control; '': none.",
    ),
    click.option(
        "--auth",
        metavar="USER:PASSWORD",
        envvar="CNO_AUTH",
        help="Ask for these credentials (also CNO_AUTH, which other users of the machine cannot "
        "see). Use TLS with it.",
    ),
    click.option(
        "--prefix",
        metavar="PATH",
        default="",
        help="Serve the folder below this path, such as /docs.",
    ),
    click.option("--hidden", is_flag=True, help="Serve names that begin with a dot, too."),
    click.option(
        "--follow-links", is_flag=True, help="Follow links that lead out of the folder, too."
    ),
    click.option(
        "--upload",
        metavar="FOLDER",
        help="Take uploads (PUT) into this folder, the served one (.) or one below it. Nothing is "
        "replaced.",
    ),
    click.option(
        "--max-upload",
        metavar="SIZE",
        type=size,
        default="1G",
        show_default=True,
        help="Bytes of the largest upload (also 64k, 20M, 2G).",
    ),
    click.option(
        "--lan",
        is_flag=True,
        help="Listen on all interfaces, and show the addresses for other devices, with a QR code.",
    ),
    click.option(
        "--local-ca",
        is_flag=True,
        help="Serve over TLS with a certificate of an authority that lasts, to be installed once "
        "(mkcert's, if it is there).",
    ),
    click.option(
        "--live-reload",
        is_flag=True,
        help="Have pages load themselves again when a file changes; for development.",
    ),
    click.option(
        "--top",
        is_flag=True,
        help="Show connections, streams, windows and rates, live; in a pipe, a line every 5 s.",
    ),
    click.option(
        "--log-file", metavar="FILE", help="Append the access log to this file (SIGHUP: reopen it)."
    ),
    click.option(
        "--log-format",
        type=click.Choice(["short", "common", "combined"]),
        help="Format of the access log (default: short; in a file combined).",
    ),
)


def site_options(command: Any) -> Any:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
