"""`cno serve`: serve a folder over HTTP/1.1 and HTTP/2 until a signal ends it.

Knows addresses, certificates and signals. Must never know responses, or options as users type them.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cno.aio.hosts import bracketed
from cno.aio.server.listener import Listener
from cno.aio.serving import serve
from cno.cli.accesslog import AccessLog
from cno.cli.announcement import (
    announcement,
    is_everywhere,
    lan_lines,
    open_browser,
    trust_lines,
)
from cno.cli.certificates import Authority, issued, loaded, local_authority, self_signed
from cno.cli.files import FileRequest, Files, Log
from cno.cli.hosts import Hosts, are_loopback
from cno.cli.line_writer import LineWriter
from cno.cli.live_reload import LiveReload, watching
from cno.cli.local_addresses import local_addresses, local_names
from cno.cli.log_file import LogFile
from cno.cli.log_format import CommonLog
from cno.cli.problems import Problem, Reporter, reason, report
from cno.cli.reserve import RESERVED, Reserve, raise_limit
from cno.cli.signals import reopening, stopping
from cno.cli.site import Site
from cno.cli.text import Paint
from cno.cli.top import Meter
from cno.cli.top_view import showing
from cno.cli.uploads import MAX_SIZE, UploadRules
from cno.limits import Limits

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
    site: Site = dataclasses.field(default_factory=Site)
    cache_control: str = "no-cache"
    hidden: bool = False
    follow_links: bool = False
    upload: str | None = None
    max_upload: int = MAX_SIZE
    lan: bool = False
    local_ca: bool = False
    ca_folder: Path = Path()
    live_reload: bool = False
    top: bool = False
    log_file: str | None = None
    log_format: str | None = None
    uds: str | None = None
    uds_mode: str | None = None
    fd: int | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.cert or self.self_signed or self.local_ca else "http"

    @property
    def address(self) -> str:
        """The host to listen on."""
        if not self.lan:
            return self.host
        return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"

    @property
    def names(self) -> list[str]:
        """The names of this server, beside those of every machine."""
        others = []
        if self.lan or is_everywhere(self.host):
            others = [*local_addresses(), *local_names()]
        return [self.host, *self.allow_hosts, *others]


async def run(options: ServeOptions) -> None:
    """Serve until SIGINT or SIGTERM, then finish the open requests. Raises Problem."""
    authority = local_authority(options.ca_folder) if options.local_ca else None
    context = server_context(options, authority)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    raise_limit()
    async with contextlib.AsyncExitStack() as stack:
        errors = await stack.enter_async_context(LineWriter(sys.stderr))
        output = await stack.enter_async_context(LineWriter(sys.stdout, errors.add))
        loop.set_exception_handler(Reporter(errors.add))
        stack.callback(loop.set_exception_handler, report)
        lines = output
        if options.log_file is not None:
            file = stack.enter_context(LogFile(options.log_file))
            stack.enter_context(reopening(file.reopen))
            lines = await stack.enter_async_context(LineWriter(file.file, errors.add))
        live = None
        if options.live_reload:
            live = LiveReload(options.site.prefix)
            await stack.enter_async_context(watching(options.folder, live))
        server = FolderServer(options, context, output, errors, live)
        await server.run(access_log(options, lines), authority)


def server_context(options: ServeOptions, authority: Authority | None) -> ssl.SSLContext | None:
    """Return the TLS context that the options ask for, or None. Raises Problem."""
    if authority is not None:
        return issued(authority, options.names)
    if options.self_signed:
        return self_signed(options.names)
    return None if options.cert is None else loaded(options.cert, options.key)


def access_log(options: ServeOptions, lines: LineWriter) -> Log | None:
    """Return what logs requests, if the options ask for that."""
    to_file = options.log_file is not None
    asked = (sys.stdout.isatty() and not options.top) or to_file or options.log_format is not None
    wanted = asked if options.log is None else options.log
    if not wanted or (options.quiet and not to_file):
        return None
    kind = options.log_format or ("combined" if to_file else "short")
    if kind == "short":
        return AccessLog(lines.add, Paint(lines.file)).add
    return CommonLog(lines.add, combined=kind == "combined").add


class Both:
    """Passes what is logged to two functions."""

    def __init__(self, first: Log, second: Log) -> None:
        self._first = first
        self._second = second

    def __call__(self, request: FileRequest, code: int, size: int, seconds: float) -> None:
        self._first(request, code, size, seconds)
        self._second(request, code, size, seconds)


class FolderServer:
    """One server of a folder, from listening to its end."""

    def __init__(
        self,
        options: ServeOptions,
        context: ssl.SSLContext | None,
        output: LineWriter,
        errors: LineWriter,
        live: LiveReload | None = None,
    ) -> None:
        self._options = options
        self._live = live
        self._meter = Meter()
        self._context = context
        self._output = output
        self._errors = errors
        try:
            self._hosts = Hosts(options.names)
        except ValueError as error:
            raise Problem(f"cannot answer for this host: {error}") from None
        self._restricted = True  # until the addresses are known

    def allow(self, authority: str) -> bool:
        """Return whether to answer for an authority."""
        return not self._restricted or self._hosts.allow(authority)

    async def run(self, log: Log | None, authority: Authority | None) -> None:
        """Serve until a signal. Raises Problem."""
        options, errors = self._options, self._errors
        rules = None
        if options.upload is not None:
            rules = UploadRules(options.upload, options.max_upload, self._hosts.allow)
        if options.top:
            log = self._meter.add if log is None else Both(self._meter.add, log)
        handler = files(options, log, self.allow, Reserve(RESERVED), rules, self._live)
        listener = await listen(options, handler, self._context)
        self._restricted = bool(options.allow_hosts) or are_local(listener.sockets)
        with stopping() as stop:
            if not options.quiet:
                self._announce(listener, handler, authority)
            if options.open_browser:
                open_browser(listener.sockets, options.scheme, options.site.prefix)
            async with self._view(listener, handler):
                number = await stop
            if number == signal.SIGINT and sys.stderr.isatty():
                errors.add("")  # the terminal shows ^C, without a line break
            if self._live is not None:
                self._live.stop()  # else the open streams would go on
            listener.close()
            await finish(listener, None if options.quiet else errors.add)

    def _view(self, listener: Listener, handler: Files) -> AbstractAsyncContextManager[None]:
        """Return what shows the server in the terminal while it runs; nothing unless asked."""
        if not self._options.top:
            return contextlib.nullcontext()
        options = self._options
        title = announcement(listener.sockets, handler.root, options.scheme, options.site.prefix)
        return showing(listener.stats, self._meter, sys.stdout, title)

    def _announce(self, listener: Listener, handler: Files, authority: Authority | None) -> None:
        options, sockets = self._options, listener.sockets
        self._output.add(announcement(sockets, handler.root, options.scheme, options.site.prefix))
        if options.lan:
            for line in lan_lines(sockets, options.scheme, options.site.prefix):
                self._output.add(line)
        if authority is not None:
            for line in trust_lines(str(authority.path), options.lan):
                self._output.add(line)


def are_local(sockets: Iterable[socket.socket]) -> bool:
    """Return whether web pages could reach these sockets on this machine only.

    A Unix socket is behind a proxy, which has a host of its own.
    """
    names = [each.getsockname() for each in sockets]
    return all(isinstance(name, tuple) and are_loopback([str(name[0])]) for name in names)


def files(
    options: ServeOptions,
    log: Log | None,
    allow_host: Callable[[str], bool],
    reserve: Reserve | None = None,
    upload: UploadRules | None = None,
    live: LiveReload | None = None,
) -> Files:
    """Return the handler. Raises Problem."""
    try:
        return Files(
            options.folder,
            index=options.index,
            listing=options.listing,
            log=log,
            allow_host=allow_host,
            reserve=reserve,
            cache_control=options.cache_control or None,
            site=options.site,
            hidden=options.hidden,
            follow_links=options.follow_links,
            upload=upload,
            live=live,
        )
    except ValueError as malformed:
        raise Problem(f"cannot take uploads: {malformed}", 2) from None
    except OSError as error:
        hint = "" if os.path.lexists(options.folder) else " (an application is MODULE:NAME)"
        raise Problem(f"cannot serve {options.folder}: {reason(error)}{hint}") from None


async def listen(options: ServeOptions, handler: Files, context: ssl.SSLContext | None) -> Listener:
    """Start listening. Raises Problem."""
    limits = options.limits
    where = f"{bracketed(options.address)}:{options.port}"
    try:
        if options.uds is not None:
            where = f"unix:{options.uds}"
            mode = int(options.uds_mode or "666", 8)
            return await serve(handler, path=options.uds, mode=mode, ssl=context, limits=limits)
        if options.fd is not None:
            where = f"fd://{options.fd}"
            sock = socket.socket(fileno=options.fd)
            return await serve(handler, sock=sock, ssl=context, limits=limits)
        # asyncio restricts `::` to IPv6; users expect all interfaces, as of other servers.
        host = None if options.address == "::" else options.address
        return await serve(handler, host, options.port, ssl=context, limits=limits)
    except (OSError, UnicodeError, ValueError) as error:
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


def listen_reason(error: Exception) -> str:
    """Return why listening failed, in the system's words instead of asyncio's."""
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return "no such host"
    return reason(error).lower()
