"""`cno serve` and `cno --help`, by click.

Knows click and the words that users type. Must never know HTTP. It is imported for these commands
only: the others have tables of their own, since importing click takes as long as a request.
"""

from typing import Any

import click

from cno._build import describe
from cno.cli.application import (
    Command,
    application_options,
    authority_folder,
    is_application,
    serve_application,
    split_options,
)
from cno.cli.commands import COMMANDS
from cno.cli.limit_option import epilog
from cno.cli.running import run_loop, split_header, with_limits
from cno.cli.site import Site
from cno.cli.site_options import SITE, site_options


def limit_option(command: Any) -> Any:
    """Add `--limit` to a command."""
    text = "Change a limit of each connection (see below); may be repeated."
    return click.option("--limit", "limits", metavar="NAME=VALUE", multiple=True, help=text)(
        command
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(message=describe())
def app() -> None:
    """HTTP/2 and HTTP/1.1: serve a folder or an application, fetch URLs, look at connections."""


for _name, _about in COMMANDS.items():
    app.add_command(click.Command(_name, short_help=_about))  # for --help: `app.py` runs them


@app.command(cls=Command, epilog=epilog())
@click.argument(
    "folder", metavar="[DIR | FILE | MODULE:NAME]", default=".", envvar="CNO_APP", type=click.Path()
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
@click.option(
    "--index",
    metavar="NAME",
    default="index.html",
    show_default=True,
    help="The file that is served for its folder.",
)
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
    Hidden files, and links that lead out of the folder, are not served. DIR may also be one file.

    On the loopback interface, requests for hosts other than localhost, IP addresses and those of
    --allow-host get 421, since any web page can make its name resolve to this machine. On other
    interfaces, requests for all hosts are answered, unless there is an --allow-host.
    """
    from cno.aio.server.connection import SERVER_LIMITS
    from cno.cli.serve import ServeOptions, run

    for option in ("self_signed", "local_ca"):
        if options[option] and (options["cert"] or options["key"]):
            name = f"--{option.replace('_', '-')}"
            raise click.UsageError(f"{name} makes its own certificate: leave out --cert and --key")
    if options["key"] and not options["cert"]:
        raise click.UsageError("--key needs --cert")
    options["limits"] = with_limits(options["limits"], SERVER_LIMITS)
    own = split_options(options, ctx)
    if is_application(options["folder"]):
        return serve_application(options, own, options["limits"])
    options["site"] = take_site(options)
    run_loop(run(ServeOptions(**options, ca_folder=authority_folder())), fast=True)
    return 0


def take_site(options: dict[str, Any]) -> Site:
    """Take the options of a site out of the others. Raises click.UsageError."""
    headers = [split_header(line, "--add-header") for line in options.pop("site_headers")]
    named = {name: options.pop(name) for name in SITE}
    try:
        return Site(headers, **named)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
