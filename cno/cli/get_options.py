"""The options of `cno get`: one table, for parsing, `--help`, docs/get.md and shells.

Knows the words that users type; they are curl's where curl has the option. Must never know HTTP.
"""

from typing import Final

from cno.cli.option_table import Option, Table, positive

REQUEST: Final = "Request"
OUTPUT: Final = "Output"
CONNECTION: Final = "Connections"
TLS: Final = "TLS"

OPTIONS: Final = (
    # -- requests
    Option(
        "-X --request", "Use this method instead of GET (or POST).", "METHOD", "method", REQUEST
    ),
    Option(
        "-H --header",
        "Send this header field; without a VALUE, leave out a default one.",
        "'NAME: VALUE'",
        "headers",
        REQUEST,
        many=True,
    ),
    Option("-d --data", "Send this data, or all bytes of @FILE.", "DATA", group=REQUEST, many=True),
    Option("-I --head", "Request the head only.", group=REQUEST),
    Option("-L --location", "Follow redirects.", name="follow", group=REQUEST),
    # -- output
    Option(
        "-o --output",
        "Save the body in this file; -: print it.",
        "FILE",
        group=OUTPUT,
        many=True,
        files=True,
    ),
    Option("-O --remote-name", "Save each body under the last name of its URL.", group=OUTPUT),
    Option("-i --include", "Write heads to standard output, too.", group=OUTPUT),
    Option("-v --verbose", "Write requests and heads to standard error.", group=OUTPUT),
    Option("-f --fail", "Status 400 and above: exit with 22, print no body.", group=OUTPUT),
    # -- connections
    Option("--http1.1", "Use HTTP/1.1 only.", name="version", group=CONNECTION, value="1.1"),
    Option(
        "--http2",
        "Use HTTP/2 only; for http: by prior knowledge.",
        name="version",
        group=CONNECTION,
        value="2",
    ),
    Option(
        "-x --proxy",
        "Use this proxy (http:// or https://[user:password@]host:port); env: the one that "
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name.",
        "URL",
        group=CONNECTION,
    ),
    Option(
        "-m --max-time", "Give up after this time.", "SECONDS", group=CONNECTION, parse=positive
    ),
    Option(
        "--limit",
        "Change a limit of each connection (see below); may be repeated.",
        "NAME=VALUE",
        "limits",
        CONNECTION,
        many=True,
    ),
    # -- TLS
    Option("-k --insecure", "Accept any certificate.", group=TLS),
    Option(
        "--cacert", "Trust only the authorities in this file (PEM).", "FILE", group=TLS, files=True
    ),
    Option("--cert", "Send this client certificate (PEM).", "FILE", group=TLS, files=True),
    Option(
        "--key",
        "Its private key (PEM), if it is in another file.",
        "FILE",
        group=TLS,
        files=True,
    ),
    Option("-h --help", "Show this text."),
)


def table() -> Table:
    """Return the table of the command."""
    from cno.cli.limit_option import epilog

    return Table(
        "get",
        "[OPTIONS] URL...",
        "Fetch URLs, those of one server over one connection.\n\n"
        "On a terminal, heads and pushes are shown and text is formatted. A pipe gets the bodies "
        "only.",
        OPTIONS,
        "URL...",
        epilog(),
    )
