"""A worker class for gunicorn: `gunicorn -k cno.gunicorn.Worker module:app`.

Knows what gunicorn gives a worker, and what it expects of one. HTTP/1.1 and HTTP/2 (over TLS by
ALPN, in clear text by prior knowledge) come from `cno.serve`, applications are ASGI 3.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from dataclasses import replace
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker as GunicornWorker

from cno.aio.server.connection import SERVER_LIMITS
from cno.aio.server.listener import Listener
from cno.aio.serving import serve
from cno.asgi.errors import LifespanError
from cno.asgi.hosted import CountingHandler
from cno.asgi.proxy_headers import ProxyHeaders, TrustedHosts
from cno.asgi.server import loading
from cno.asgi.server.access_log import AccessLog
from cno.asgi.server.certificates import server_context

log: Final = logging.getLogger("cno.asgi")


class Worker(GunicornWorker):
    """Serves an ASGI application on gunicorn's sockets.

    A subclass may set `LOOP` ("auto", "asyncio", "uvloop" or "module:factory"), `LIFESPAN` and
    `LIMITS`.
    """

    LOOP = "auto"
    LIFESPAN = "auto"
    LIMITS = SERVER_LIMITS

    def init_signals(self) -> None:
        # The event loop handles those that stop a worker.
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.signal(signal.SIGABRT, self.handle_abort)
        signal.siginterrupt(signal.SIGUSR1, False)

    def run(self) -> None:
        """Serve until gunicorn stops this worker."""
        for name, theirs in (("cno", self.log.error_log), ("cno.access", self.log.access_log)):
            ours = logging.getLogger(name)
            ours.handlers = list(theirs.handlers)
            ours.setLevel(theirs.level)
            ours.propagate = False
        access_log = None
        if self.cfg.accesslog or self.cfg.logconfig or self.cfg.logconfig_dict:
            access_log = AccessLog(self.cfg.access_log_format)
        status = 0
        try:
            with asyncio.Runner(loop_factory=loading.loop_factory(self.LOOP)) as runner:
                status = runner.run(self._serve(access_log))
        finally:
            if access_log is not None:
                access_log.close()
        if status:
            sys.exit(status)

    async def _serve(self, access_log: AccessLog | None) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, stop.set)
        listeners: list[Listener] = []
        allowed: Any = self.cfg.forwarded_allow_ips
        trusted = TrustedHosts(allowed if isinstance(allowed, str) else ",".join(allowed))
        handler = CountingHandler(
            ProxyHeaders(loading.version_3(self.wsgi), trusted),
            root_path=getattr(self.cfg, "root_path", "") or "",
            lifespan=self.LIFESPAN,
            on_record=None if access_log is None else access_log.add,
            count_connections=lambda: sum(each.connections for each in listeners),
            max_requests=self.max_requests if self.max_requests < sys.maxsize else None,
            on_full=stop.set,
        )
        try:
            await handler.lifespan.startup()
        except LifespanError as error:
            log.error("the application did not start: %s", error)
            return int(Arbiter.WORKER_BOOT_ERROR)
        await self._listen(handler, listeners)
        await self._watch(stop)
        for listener in listeners:
            listener.close(self.cfg.graceful_timeout)
        ending = asyncio.gather(*(listener.wait_closed() for listener in listeners))
        while not ending.done():
            self.notify()
            await asyncio.wait([ending], timeout=1)
        with contextlib.suppress(LifespanError):
            await handler.lifespan.shutdown()
        return 0

    async def _listen(self, handler: CountingHandler, listeners: list[Listener]) -> None:
        cfg = self.cfg
        limits = replace(
            self.LIMITS,
            keepalive_timeout=float(cfg.keepalive) or self.LIMITS.keepalive_timeout,
            shutdown_timeout=float(cfg.graceful_timeout),
        )
        for each in self.sockets:
            listeners.append(
                await serve(
                    handler,
                    sock=each.sock.dup(),  # gunicorn closes its own
                    ssl=context_of(cfg) if cfg.is_ssl else None,
                    backlog=cfg.backlog,
                    limits=limits,
                    settings={"enable_connect_protocol": 1},
                )
            )

    async def _watch(self, stop: asyncio.Event) -> None:
        """Tell gunicorn that this worker works, until it is to stop or gunicorn has gone."""
        while not stop.is_set():
            self.notify()
            if self.ppid != os.getppid():
                log.info("gunicorn has gone: stopping")
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.1, min(1.0, self.timeout / 2 or 1.0))):
                    await stop.wait()


def context_of(cfg: Any) -> Any:
    """Return the TLS context that gunicorn's options describe."""
    options = cfg.ssl_options

    def default() -> Any:
        return server_context(
            options["certfile"],
            options.get("keyfile"),
            options.get("password"),
            options.get("ca_certs"),
            options.get("cert_reqs") or 0,
            options.get("ciphers"),
        )

    return cfg.ssl_context(cfg, default)
