"""The options about connections that `cno get`, `ping` and `load` share.

Knows the words that users type. Must never know HTTP.
"""

from typing import Final

from cno.cli.option_table import Option, positive

CONNECTION: Final = "Connections"
TLS: Final = "TLS"

CONNECTIONS: Final = (
    Option("--http1.1", "Use HTTP/1.1 only.", name="version", group=CONNECTION, value="1.1"),
    Option(
        "--http2 --http2-prior-knowledge",
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
    Option("-4 --ipv4", "Connect over IPv4 only.", name="family", group=CONNECTION, value=4),
    Option("-6 --ipv6", "Connect over IPv6 only.", name="family", group=CONNECTION, value=6),
    Option("--unix-socket", "Connect to this Unix socket.", "PATH", group=CONNECTION, files=True),
    Option(
        "--resolve",
        "Use these addresses for a host (*: for any) and port.",
        "HOST:PORT:ADDRESS[,...]",
        group=CONNECTION,
        many=True,
    ),
    Option(
        "--connect-to",
        "Connect to HOST2:PORT2 in place of HOST1:PORT1; an empty one stands for any.",
        "HOST1:PORT1:HOST2:PORT2",
        group=CONNECTION,
        many=True,
    ),
    Option(
        "--connect-timeout",
        "Give up connecting after this time.",
        "SECONDS",
        group=CONNECTION,
        parse=positive,
    ),
    Option(
        "--limit",
        "Change a limit of each connection (see below); may be repeated.",
        "NAME=VALUE",
        "limits",
        CONNECTION,
        many=True,
    ),
)

SECURITY: Final = (
    Option("-k --insecure", "Accept any certificate.", group=TLS),
    Option(
        "--cacert", "Trust only the authorities in this file (PEM).", "FILE", group=TLS, files=True
    ),
    Option("-E --cert", "Send this client certificate (PEM).", "FILE", group=TLS, files=True),
    Option(
        "--key", "Its private key (PEM), if it is in another file.", "FILE", "", TLS, files=True
    ),
)
