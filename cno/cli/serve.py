"""`cno serve`: serve a folder over HTTP/1.1 and HTTP/2 until a signal ends it.

Knows addresses, certificates and signals. Must never know responses, or options as users type them.
"""

import asyncio
import os
import signal
import socket
import ssl
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Thread
from typing import Any, Final

from cno.aio.server.listener import Listener
from cno.aio.serving import serve
from cno.cli.accesslog import AccessLog
from cno.cli.clear_text import https_context
from cno.cli.files import Files, Log
from cno.cli.hosts import Hosts, are_loopback
from cno.cli.line_writer import LineWriter
from cno.cli.problems import Problem, Reporter, reason, report
from cno.cli.reserve import RESERVED, Reserve, raise_limit
from cno.cli.signals import stopping
from cno.cli.site import Site
from cno.cli.text import Paint, one_line
from cno.limits import Limits

#: The names of a self-signed certificate, beside the host that the server listens on.
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")

#: Seconds to wait for open connections before saying so.
PATIENCE: Final = 0.5


@dataclass(frozen=True)
class ServeOptions:
    """The options of `cno serve`. `log`: log requests; None: if standard output is a terminal."""

    folder: str
    host: str
    port: int
    cert: str | None = None
    key: str | None = None
    self_signed: bool = False
    allow_hosts: tuple[str, ...] = ()
    index: str = "index.html"
    listing: bool = True
    log: bool | None = None
    quiet: bool = False
    limits: Limits | None = None
    open_browser: bool = False
    single_page: bool = False
    site_headers: tuple[tuple[str, str], ...] = ()
    cors: bool = False
    isolate: bool = False
    cache_control: str = "no-cache"
    auth: str | None = None


async def run(options: ServeOptions) -> None:
    """Serve until SIGINT or SIGTERM, then finish the open requests. Raises Problem."""
    context = server_context(options)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    raise_limit()
    async with LineWriter(sys.stderr) as errors, LineWriter(sys.stdout, errors.add) as output:
        loop.set_exception_handler(Reporter(errors.add))
        try:
            await serve_until_stopped(options, context, output, errors)
        finally:
            loop.set_exception_handler(report)


async def serve_until_stopped(
    options: ServeOptions, context: ssl.SSLContext | None, output: LineWriter, errors: LineWriter
) -> None:
    wanted = options.log if options.log is not None else sys.stdout.isatty()
    log = None
    if wanted and not options.quiet:
        log = AccessLog(output.add, Paint(sys.stdout)).add
    try:
        hosts = Hosts([options.host, *options.allow_hosts])
    except ValueError as error:
        raise Problem(f"cannot answer for this host: {error}") from None
    restricted = True  # until the addresses are known
    reserve = Reserve(RESERVED)
    handler = files(
        options, log, lambda authority: not restricted or hosts.allow(authority), reserve
    )
    listener = await listen(options, handler, context)
    addresses = [str(each.getsockname()[0]) for each in listener.sockets]
    restricted = bool(options.allow_hosts) or are_loopback(addresses)
    with stopping() as stop:
        if not options.quiet:
            output.add(announcement(listener, handler.root, context is not None))
        if options.open_browser:
            open_browser(listener, context is not None)
        if await stop == signal.SIGINT and sys.stderr.isatty():
            errors.add("")  # the terminal shows ^C, without a line break
        listener.close()
        await finish(listener, None if options.quiet else errors.add)


def files(
    options: ServeOptions,
    log: Log | None,
    allow_host: Callable[[str], bool],
    reserve: Reserve | None = None,
) -> Files:
    """Return the handler. Raises Problem."""
    try:
        site = Site(
            options.site_headers, options.cors, options.isolate, options.auth, options.single_page
        )
    except ValueError as malformed:
        raise Problem(str(malformed), 2) from None
    try:
        return Files(
            options.folder,
            index=options.index,
            listing=options.listing,
            log=log,
            allow_host=allow_host,
            reserve=reserve,
            cache_control=options.cache_control or None,
            site=site,
        )
    except OSError as error:
        raise Problem(f"cannot serve {options.folder}: {reason(error)}") from None


async def listen(options: ServeOptions, handler: Files, context: ssl.SSLContext | None) -> Listener:
    """Start listening. Raises Problem."""
    # asyncio restricts `::` to IPv6; users expect all interfaces, as of other servers.
    host = None if options.host == "::" else options.host
    try:
        return await serve(handler, host, options.port, ssl=context, limits=options.limits)
    except (OSError, UnicodeError) as error:
        where = f"{bracketed(options.host)}:{options.port}"
        raise Problem(f"cannot listen on {where}: {listen_reason(error)}") from None


async def finish(listener: Listener, warn: Callable[[str], None] | None) -> None:
    """Wait for open connections; if that takes long, say so to a user at a terminal."""
    try:
        async with asyncio.timeout(PATIENCE):
            await listener.wait_closed()
    except TimeoutError:
        if sys.stderr.isatty() and warn is not None:
            count = f"{listener.connections} connection{'s' * (listener.connections != 1)}"
            warn(f"finishing {count}; Ctrl-C again ends them at once")
        await listener.wait_closed()


# -- TLS -----------------------------------------------------------------------------------------


def server_context(options: ServeOptions) -> ssl.SSLContext | None:
    """Return the TLS context that the options ask for, or None. Raises Problem."""
    if options.self_signed:
        return self_signed(options.host, options.allow_hosts)
    if options.cert is None:
        return None
    for path in (options.cert, options.key):
        if path is not None and not os.path.isfile(path):
            raise Problem(f"cannot use the certificate: no such file: {one_line(path)}")
    context = https_context()
    try:
        context.load_cert_chain(options.cert, options.key)
        return context
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Problem(f"cannot use the certificate {options.cert}: {reason(error)}") from None


def self_signed(host: str, others: Sequence[str] = ()) -> ssl.SSLContext:
    """Return a context with a new certificate that no client trusts. Raises Problem."""
    others = [f"*{name}" if name[:1] == "." else name for name in others if name != "*"]
    context = https_context()
    new_certificate(host, others).configure_cert(context)
    return context


def new_certificate(host: str, others: Sequence[str] = ()) -> Any:
    """Return a certificate of `trustme` for this host and for local names. Raises Problem."""
    try:
        import trustme
    except ModuleNotFoundError:
        raise Problem("--self-signed needs trustme: pip install 'cno[cli]'") from None
    names = dict.fromkeys([*LOCAL_NAMES, *([host] if host else []), *others])
    try:
        return trustme.CA().issue_cert(*names)
    except ValueError as error:
        raise Problem(f"cannot make a certificate for {host}: {reason(error)}") from None


# -- messages ------------------------------------------------------------------------------------


def announcement(listener: Listener, root: str, secure: bool) -> str:
    """Return the line that names the addresses and the folder."""
    scheme = "https" if secure else "http"
    places = dict.fromkeys(address_of(each.getsockname()) for each in listener.sockets)
    urls = " ".join(f"{scheme}://{place}/" for place in places)
    return f"{urls} serves {one_line(root)} over HTTP/2 and HTTP/1.1"


def open_browser(listener: Listener, secure: bool) -> None:
    """Open a browser at the first address, in a thread: starting one may block."""
    host, port = listener.sockets[0].getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"{'https' if secure else 'http'}://{bracketed(host)}:{port}/"
    Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def address_of(name: Any) -> str:
    """Return a socket's address as URLs write it."""
    host, port = name[:2]
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """Return a host as URLs write it: an IPv6 address in brackets."""
    try:
        return f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        return host


def listen_reason(error: Exception) -> str:
    """Return why listening failed, in the system's words instead of asyncio's."""
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return "no such host"
    return reason(error).lower()
