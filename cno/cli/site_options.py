"""The options of `cno serve` that make a folder a site.

Knows click. Must never know HTTP.
"""

from typing import Any

import click

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
)


def site_options(command: Any) -> Any:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
