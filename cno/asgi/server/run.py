"""Serves an application by one process, or by workers that a parent looks after.

Knows which of them the options ask for. Must never know requests.
"""

import logging
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Unpack

from cno.asgi.server import loading, logs, sockets
from cno.asgi.server.access_log import compiled
from cno.asgi.server.config import Config
from cno.asgi.server.errors import StartupError
from cno.asgi.server.process import Process, announce, default_headers, tls_context
from cno.asgi.server.run_options import RunOptions
from cno.workers import Settings, Supervisor
from cno.workers.reload import FileFilter, watch

log: Final = logging.getLogger("cno.asgi")

#: Seconds for the requests of old code, when a file has changed.
RELOAD_PATIENCE: Final = 3.0


def run(app: Any, **options: Unpack[RunOptions]) -> None:
    """Serve an ASGI application until a signal ends it: `run(app, port=8000)`.

    `app` is the application, or its name ("module:attribute"), which `reload` and `workers` need.
    The options are those of `Config` and of docs/serve.md. Raises SystemExit if the server fails;
    its status is 3 if it could not begin.
    """
    status = launch(Config(app=app, **options))
    if status:
        sys.exit(status)


def launch(config: Config) -> int:
    """Serve until a signal. Return the exit status."""
    try:
        logs.configure(config)
        config = checked(config)
        loading.load_environment(config)
        bound = sockets.bind(config)
    except StartupError as error:
        log.error("%s", error)
        return error.status
    try:
        if is_managed(config):
            return supervise(config, bound)
        return Process(config, bound.bound).run()
    except StartupError as error:
        log.error("%s", error)
        return error.status
    except KeyboardInterrupt:
        return 130
    finally:
        bound.close()
        bound.remove_files()


def is_managed(config: Config) -> bool:
    """Return whether the options need a parent that looks after workers."""
    several = config.reload or (config.workers or 1) > 1
    return several or config.worker_max_rss is not None or config.worker_lifetime is not None


def checked(config: Config) -> Config:
    """Return a configuration that can work. Raises StartupError."""
    if is_managed(config):
        if os.name != "posix":
            raise StartupError("workers need a POSIX system", 2)
        if not isinstance(config.app, str):
            raise StartupError('workers need the name of the application, "module:attribute"', 2)
    if config.reload and (config.workers or 1) > 1:
        log.warning("--reload runs one worker")
        config = replace(config, workers=1)
    try:
        compiled(config.access_log_format)
    except ValueError as error:
        raise StartupError(f"--access-log-format: {error}", 2) from None
    default_headers(config)
    tls_context(config)
    size(config.worker_max_rss)
    if ":" not in config.loop:
        loading.loop_factory(config.loop)
    return config


def supervise(config: Config, bound: sockets.Sockets) -> int:
    """Run workers. Return the exit status."""
    descriptors = [sock.fileno() for sock in bound.bound]
    stop_timeout = config.timeout_graceful_shutdown
    if config.reload:
        stop_timeout = RELOAD_PATIENCE if stop_timeout is None else stop_timeout
        config = replace(config, timeout_graceful_shutdown=stop_timeout)
    settings = Settings(
        count=config.workers or 1,
        ping_timeout=config.timeout_worker_healthcheck or None,
        stop_timeout=stop_timeout,
        max_rss=size(config.worker_max_rss),
        lifetime=config.worker_lifetime,
    )
    secure = config.ssl_certfile is not None
    supervisor = Supervisor(
        "cno.asgi.server.process:worker",
        (config, descriptors),
        settings,
        descriptors,
        persistent=config.reload,
        on_ready=lambda: announce(bound.bound, secure),
        on_stop=bound.close,
    )
    stop = threading.Event()
    watcher = watch_files(config, supervisor, stop) if config.reload else None
    try:
        return supervisor.run()
    finally:
        stop.set()
        if watcher is not None:
            watcher.join(5)


def watch_files(
    config: Config, supervisor: Supervisor, stop: threading.Event
) -> threading.Thread | None:
    """Have changes of the sources reload the application."""
    folders = [Path(each).resolve() for each in config.reload_dirs]
    patterns = []
    for each in config.reload_includes:
        if Path(each).is_dir():
            folders.append(Path(each).resolve())
        else:
            patterns.append(each)
    folders = folders or [Path.cwd()]

    def changed(paths: list[Path]) -> None:
        log.info("%s changed: reloading", ", ".join(path.name for path in paths[:5]))
        supervisor.reload()

    wanted = FileFilter(patterns, config.reload_excludes)
    try:
        found = watch(folders, wanted, config.reload_delay, changed, stop)
    except ImportError:
        raise StartupError("--reload needs watchfiles: pip install 'cno[serve]'") from None
    log.info("watching %s", ", ".join(str(each) for each in folders))
    return found


def size(text: str | None) -> int | None:
    """Return a number of bytes; 512k, 64M and 2G are such numbers. Raises StartupError."""
    if text is None:
        return None
    unit = {"k": 10, "m": 20, "g": 30}.get(text[-1:].lower(), 0)
    try:
        return int(float(text[:-1] if unit else text) * 2**unit)
    except ValueError:
        raise StartupError(f"--worker-max-rss: {text!r} is no size", 2) from None
