"""The options of a server of ASGI applications: names, defaults, meanings.

One table, from which the command line, the environment's names, the keys of a TOML file and the
page docs/serve.md are made. Names and meanings are uvicorn's, where uvicorn has the option.
Must never know what becomes of an option.
"""

import ssl
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Final

from cno.limits import Limits

#: Environment variables that other servers read too, beside ours.
SHARED: Final = {"workers": "WEB_CONCURRENCY", "forwarded_allow_ips": "FORWARDED_ALLOW_IPS"}

LEVELS: Final = ("critical", "error", "warning", "info", "debug", "trace")

ACCESS_FORMAT: Final = '%(h)s - "%(r)s" %(s)s'


def option(group: str, default: Any, text: str, **more: Any) -> Any:
    """Return a field with what the command line needs to know: `choices` of values, `metavar`, the
    `flag` if its name is not that of the field, `least` of a number, `type` of what is no str."""
    return field(default=default, metadata={"group": group, "help": text, **more})


@dataclass(frozen=True)
class Config:
    """All options of a server. `app` is "module:attribute", or the application itself."""

    app: Any = ""

    # fmt: off
    host: str = option("Address", "127.0.0.1", "Listen on this address.")
    port: int = option("Address", 8000, "Listen on this port; 0: any free one.", least=0)
    uds: str | None = option("Address", None, "Listen on the Unix socket at this path.", metavar="PATH")
    uds_mode: str | None = option("Address", "666", "Permissions of the Unix socket, octal.", metavar="MODE")
    fd: int | None = option("Address", None, "Listen on this inherited file descriptor.", least=0)
    bind: tuple[str, ...] = option("Address", (), "Listen here; may be repeated: HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N. Replaces --host and --port.", metavar="ADDRESS")
    backlog: int = option("Address", 2048, "Connections that may wait to be accepted.", least=1)

    factory: bool = option("Application", False, "MODULE:NAME is a function that returns the application.")
    app_dir: str = option("Application", "", "Look for the module in this folder (default: the current one).", metavar="DIR")
    lifespan: str = option("Application", "auto", "Whether the application knows the lifespan protocol.", choices=("auto", "on", "off"))
    root_path: str = option("Application", "", "Path below which the application is mounted (ASGI `root_path`).", metavar="PATH")
    env_file: str | None = option("Application", None, "Set the environment variables of this file, unless they are set.", metavar="FILE")

    reload: bool = option("Reload", False, "Start again when a source file changes; for development.")
    reload_dirs: tuple[str, ...] = option("Reload", (), "Watch this folder (default: the current one); may be repeated.", flag="--reload-dir", metavar="DIR")
    reload_includes: tuple[str, ...] = option("Reload", (), "Also watch files of this pattern, or this folder; may be repeated.", flag="--reload-include", metavar="GLOB")
    reload_excludes: tuple[str, ...] = option("Reload", (), "Do not watch files of this pattern, or this folder; may be repeated.", flag="--reload-exclude", metavar="GLOB")
    reload_delay: float = option("Reload", 0.25, "Seconds to collect changes.", least=0.0)

    workers: int | None = option("Processes", None, "Worker processes (default: 1).", least=1, type=int)
    loop: str = option("Processes", "auto", "Event loop: auto (uvloop if it is installed), asyncio, uvloop, or MODULE:FACTORY.")
    limit_max_requests: int | None = option("Processes", None, "End a process, or replace a worker, after this many requests.", least=1)
    limit_max_requests_jitter: int = option("Processes", 0, "Add up to this many requests to that, by chance.", least=0)
    worker_max_rss: str | None = option("Processes", None, "Replace a worker with more memory than this (bytes, or 512M, 2G).", metavar="SIZE")
    worker_lifetime: float | None = option("Processes", None, "Replace a worker after this many seconds.", least=0.0)
    timeout_worker_healthcheck: float = option("Processes", 5.0, "Kill a worker whose event loop hangs for this many seconds.", least=0.0)
    timeout_graceful_shutdown: float | None = option("Processes", None, "Seconds for open requests to complete when the server stops (default: the limit shutdown_timeout).", least=0.0)

    limit_concurrency: int | None = option("Limits", None, "Answer 503 if more connections are open, or as many requests run.", least=1)
    timeout_keep_alive: float | None = option("Limits", None, "Seconds after which an idle connection is closed (default: the limit keepalive_timeout).", least=0.0)

    log_config: str | None = option("Logging", None, "Configure logging by this file: .ini, .json, .yaml or .toml.", metavar="FILE")
    log_level: str = option("Logging", "info", "Level of the log.", choices=LEVELS)
    access_log: bool = option("Logging", True, "Log each response, to standard output.")
    access_log_format: str = option("Logging", ACCESS_FORMAT, "Format of its lines, with gunicorn's atoms.", metavar="FORMAT")
    use_colors: bool | None = option("Logging", None, "Colours in logs (default: on a terminal).", type=bool)

    proxy_headers: bool = option("Proxies", True, "Take client and scheme from X-Forwarded-For and X-Forwarded-Proto of trusted proxies.")
    forwarded_allow_ips: str = option("Proxies", "127.0.0.1,::1", "Trusted proxies: addresses, networks and literals (the path of a Unix socket), by commas; *: all; unix: clients of Unix sockets.", metavar="LIST")
    proxy_protocol: bool = option("Proxies", False, "Connections from the trusted proxies begin with a PROXY header.")

    server_header: bool = option("Responses", True, "Send a Server field.")
    date_header: bool = option("Responses", True, "Send a Date field.")
    headers: tuple[str, ...] = option("Responses", (), "Send this field with each response; may be repeated.", flag="--header", metavar="NAME:VALUE")

    ssl_keyfile: str | None = option("TLS", None, "Private key (PEM).", metavar="FILE")
    ssl_certfile: str | None = option("TLS", None, "Certificate chain (PEM): serve over TLS.", metavar="FILE")
    ssl_keyfile_password: str | None = option("TLS", None, "Password of the private key.", metavar="TEXT")
    ssl_version: int = option("TLS", int(ssl.PROTOCOL_TLS_SERVER), "Protocol constant of Python's ssl module.", show=False)
    ssl_cert_reqs: int = option("TLS", int(ssl.CERT_NONE), "Client certificates: 0 none, 1 optional, 2 required.", choices=(0, 1, 2))
    ssl_ca_certs: str | None = option("TLS", None, "Authorities of client certificates (PEM).", metavar="FILE")
    ssl_ciphers: str | None = option("TLS", None, "OpenSSL's cipher list for TLS 1.2.", metavar="LIST")

    ws: str = option("WebSockets", "auto", "none: no WebSockets.", choices=("auto", "none"))
    ws_max_size: int = option("WebSockets", 16_777_216, "Bytes of the largest message.", least=1)
    ws_max_queue: int = option("WebSockets", 32, "Messages that wait for the application.", least=1)
    ws_ping_interval: float | None = option("WebSockets", 20.0, "Seconds between two pings; 0: none.", least=0.0)
    ws_ping_timeout: float | None = option("WebSockets", 20.0, "Seconds for the answer to a ping; 0: any time.", least=0.0)
    ws_per_message_deflate: bool = option("WebSockets", True, "Offer compression (permessage-deflate).")
    # fmt: on

    limits: Limits | None = None


def options() -> list[Field[Any]]:
    """Return the fields that are options of the command line, in order."""
    return [each for each in fields(Config) if "help" in each.metadata]


def flag(each: Field[Any]) -> str:
    """Return the name of an option on the command line."""
    found: str = each.metadata.get("flag") or "--" + each.name.replace("_", "-")
    return found


def variables(each: Field[Any]) -> list[str]:
    """Return the environment variables of an option."""
    name = "CNO_" + flag(each).lstrip("-").replace("-", "_").upper()
    return [name, SHARED[each.name]] if each.name in SHARED else [name]


def kind(each: Field[Any]) -> type:
    """Return the type of one value of an option."""
    if "type" in each.metadata:
        found: type = each.metadata["type"]
        return found
    text = str(each.type)
    for made in (bool, int, float, str):
        if made.__name__ in text:
            return made
    raise AssertionError(f"{each.name}: {text}")


def is_repeated(each: Field[Any]) -> bool:
    """Return whether an option may be given several times."""
    return each.default == () and each.default is not MISSING
