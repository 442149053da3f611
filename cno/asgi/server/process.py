"""One process that serves an application: from its sockets to the end of the last request.

Knows the event loop, the listeners and the signals of one process. Must never know other processes,
beside the one that `Control` speaks to.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import ssl
from dataclasses import replace
from types import FrameType
from typing import Any, Final

from cno.aio.server.connection import SERVER_LIMITS
from cno.aio.server.listener import Listener
from cno.aio.serving import serve
from cno.asgi.errors import LifespanError
from cno.asgi.hosted import CountingHandler, HostedHandler
from cno.asgi.proxy_headers import ProxyHeaders, TrustedHosts
from cno.asgi.server import loading, logs, sockets
from cno.asgi.server.access_log import AccessLog
from cno.asgi.server.certificates import server_context
from cno.asgi.server.config import Config
from cno.asgi.server.errors import StartupError
from cno.limits import Limits
from cno.websocket.options import Options
from cno.workers.child import STARTUP_FAILURE, Control

log: Final = logging.getLogger("cno.asgi")

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Process:
    """Serves the application of a configuration on bound sockets."""

    def __init__(
        self, config: Config, bound: list[socket.socket], control: Control | None = None
    ) -> None:
        self._config = config
        self._bound = bound
        self._control = control
        self._listeners: list[Listener] = []
        self._stop: asyncio.Event | None = None
        self._access_log: AccessLog | None = None

    def run(self) -> int:
        """Serve until a signal. Return the exit status."""
        try:
            with asyncio.Runner(loop_factory=loading.loop_factory(self._config.loop)) as runner:
                return runner.run(self._main())
        except StartupError as error:
            log.error("%s", error)
            return error.status
        except LifespanError as refusal:
            log.error("the application did not start: %s", refusal)
            return STARTUP_FAILURE
        finally:
            if self._access_log is not None:
                self._access_log.close()

    async def _main(self) -> int:
        config = self._config
        self._stop = asyncio.Event()
        context = tls_context(config)
        if config.access_log:
            self._access_log = AccessLog(config.access_log_format)
        try:
            handler = self._handler(loading.load(config))
        except (StartupError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("cannot load %s", config.app)
            raise StartupError(f"cannot load {config.app}: {error!r}") from None
        with self._signals():
            await handler.lifespan.startup()
            try:
                await self._listen(handler, context)
                if self._control is not None:
                    self._control.answer_pings()
                    self._control.ready()
                await self._stop.wait()
            except BaseException:
                await self._close()
                raise
            await self._close()
            try:
                await handler.lifespan.shutdown()
            except LifespanError as failure:
                log.error("the application failed to stop: %s", failure)
                return 1
        return 0

    def _handler(self, app: Any) -> HostedHandler:
        config = self._config
        if config.proxy_headers:
            app = ProxyHeaders(app, TrustedHosts(config.forwarded_allow_ips))
        common: dict[str, Any] = {
            "root_path": config.root_path,
            "lifespan": config.lifespan,
            "headers": default_headers(config),
            "websocket": websocket_options(config),
            "on_record": None if self._access_log is None else self._access_log.add,
        }
        if config.limit_concurrency is None and config.limit_max_requests is None:
            return HostedHandler(app, **common)
        most = config.limit_max_requests
        if most is not None:
            most += random.randint(0, config.limit_max_requests_jitter)
        return CountingHandler(
            app,
            limit=config.limit_concurrency,
            count_connections=lambda: sum(each.connections for each in self._listeners),
            max_requests=most,
            on_full=self._full,
            **common,
        )

    async def _listen(self, handler: HostedHandler, context: ssl.SSLContext | None) -> None:
        config = self._config
        trusted = TrustedHosts(config.forwarded_allow_ips).networks()
        for sock in self._bound:
            listener = serve(
                handler,
                sock=sock,
                ssl=context,
                backlog=config.backlog,
                limits=limits_of(config),
                date=config.date_header,
                settings={"enable_connect_protocol": int(config.ws != "none")},
                proxy_protocol=trusted if config.proxy_protocol else None,
            )
            self._listeners.append(await listener)
        if self._control is None:
            announce(self._bound, context is not None)

    async def _close(self) -> None:
        """Finish what there is."""
        timeout = self._config.timeout_graceful_shutdown
        for listener in self._listeners:
            listener.close(timeout)
        for listener in self._listeners:
            await listener.wait_closed()

    def _full(self) -> None:
        """There have been as many requests as this process is to answer."""
        if self._control is not None:
            self._control.replace()
        elif self._stop is not None:
            log.info("the limit of requests is reached: stopping")
            self._stop.set()

    # -- signals ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Any:
        """Stop at the first SIGINT or SIGTERM; the second one ends the process at once."""
        loop = asyncio.get_running_loop()

        def first(number: int) -> None:
            for each in STOPPING:
                loop.remove_signal_handler(each)
                signal.signal(each, self._end_at_once)
            assert self._stop is not None
            self._stop.set()

        before = {number: signal.getsignal(number) for number in STOPPING}
        numbers = [signal.SIGTERM] if self._control is not None else STOPPING
        try:
            for number in numbers:
                loop.add_signal_handler(number, first, number)
        except (NotImplementedError, ValueError, RuntimeError):  # Windows, or another thread
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _end_at_once(self, number: int, frame: FrameType | None) -> None:
        if self._access_log is not None:
            self._access_log.close()
        os._exit(128 + number)


def worker(job: tuple[Config, list[int]], control: Control) -> int:
    """Serve as a worker: called in its process."""
    config, descriptors = job
    try:
        logs.configure(config)
        loading.load_environment(config)
    except StartupError as error:
        log.error("%s", error)
        return error.status
    bound = [socket.socket(fileno=each) for each in descriptors]
    return Process(config, bound, control).run()


def announce(bound: list[socket.socket], secure: bool) -> None:
    """Log where the server listens."""
    for sock in bound:
        log.info("Listening on %s (Ctrl-C stops)", sockets.shown(sock, secure))


# -- what the parts of the server take ---------------------------------------------------------


def default_headers(config: Config) -> list[tuple[str, str]]:
    """Return the fields that each response gets. Raises StartupError."""
    found = []
    for line in config.headers:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or any(c in line for c in "\r\n\0"):
            raise StartupError(f"--header {line!r} should be NAME:VALUE", 2)
        found.append((name.strip().lower(), value.strip()))
    if config.server_header and not any(name == "server" for name, _ in found):
        found.insert(0, ("server", "cno"))
    return found


def limits_of(config: Config) -> Limits:
    """Return the limits of each connection."""
    limits = SERVER_LIMITS if config.limits is None else config.limits
    if config.timeout_keep_alive is not None:
        limits = replace(limits, keepalive_timeout=config.timeout_keep_alive)
    if config.timeout_graceful_shutdown is not None:
        limits = replace(limits, shutdown_timeout=config.timeout_graceful_shutdown)
    return limits


def websocket_options(config: Config) -> Options | None:
    """Return the options of WebSockets; None: there are none."""
    if config.ws == "none":
        return None
    return Options(
        max_message_size=config.ws_max_size,
        max_queue=config.ws_max_queue,
        ping_interval=config.ws_ping_interval or None,
        ping_timeout=config.ws_ping_timeout or None,
        compression=config.ws_per_message_deflate,
    )


def tls_context(config: Config) -> ssl.SSLContext | None:
    """Return the TLS context, or None. Raises StartupError."""
    if config.ssl_certfile is None:
        if config.ssl_keyfile is not None:
            raise StartupError("--ssl-keyfile needs --ssl-certfile", 2)
        return None
    try:
        context = server_context(
            config.ssl_certfile,
            config.ssl_keyfile,
            config.ssl_keyfile_password,
            config.ssl_ca_certs,
            config.ssl_cert_reqs,
            config.ssl_ciphers,
        )
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        text = text.replace("name the key's file (keyfile)", "--ssl-keyfile (or --key) names it")
        raise StartupError(f"cannot use the certificate {config.ssl_certfile}: {text}") from None
    if config.ssl_version == ssl.PROTOCOL_TLSv1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
