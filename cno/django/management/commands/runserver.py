"""`manage.py runserver`, which serves the project's ASGI application by cno.

Knows Django's command and its reloader, which runs it in a thread. Must never know requests.
"""

import asyncio
import errno
import os
import sys
import threading
from datetime import datetime
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.core.management.commands.runserver import Command as RunserverCommand
from django.utils import autoreload
from django.utils.module_loading import import_string

from cno._build import VERSION
from cno.aio import tls
from cno.aio.hosts import bracketed
from cno.aio.serving import serve
from cno.asgi.hosted import HostedHandler, Record

MESSAGE = """Starting ASGI/cno version {version} development server at {scheme}://{address}:{port}/
Quit the server with CONTROL-C.
"""


class Command(RunserverCommand):
    """The command. `--noasgi` runs Django's own server; `--cert` and `--key` serve over TLS."""

    help = "Starts a development server of HTTP/1.1, HTTP/2 and WebSockets."

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--noasgi",
            action="store_false",
            dest="use_asgi",
            help="Run Django's WSGI server instead.",
        )
        parser.add_argument("--cert", help="Serve over TLS with this certificate (PEM).")
        parser.add_argument("--key", help="Its private key (PEM), if it is in another file.")
        if apps.is_installed("django.contrib.staticfiles"):
            parser.add_argument(
                "--nostatic",
                action="store_false",
                dest="use_static_handler",
                help="Tells Django to NOT automatically serve static files at STATIC_URL.",
            )
            parser.add_argument(
                "--insecure",
                action="store_true",
                dest="insecure_serving",
                help="Allows serving static files even if DEBUG is False.",
            )

    def handle(self, *args: Any, **options: Any) -> Any:
        if options["use_asgi"] and not getattr(settings, "ASGI_APPLICATION", None):
            raise CommandError("ASGI_APPLICATION is not set: it names what this server runs.")
        return super().handle(*args, **options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        if not options["use_asgi"]:
            super().inner_run(*args, **options)
            return
        autoreload.raise_last_exception()
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
        self.check_migrations()
        now = datetime.now().strftime("%B %d, %Y - %X")
        self.stdout.write(
            f"{now}\nDjango version {django.get_version()}, using settings "
            f"{settings.SETTINGS_MODULE!r}"
        )
        try:
            asyncio.run(self._serve(self._application(options), options))
        except OSError as error:
            words = {errno.EACCES: "You don't have permission to access that port.",
                     errno.EADDRINUSE: "That port is already in use."}  # fmt: skip
            text = words.get(error.errno or 0, str(error))
            self.stderr.write(self.style.ERROR(f"Error: {text}"))
            os._exit(1)  # sys.exit ends this thread alone
        except KeyboardInterrupt:
            sys.exit(0)

    async def _serve(self, app: Any, options: dict[str, Any]) -> None:
        context = None
        if options["cert"]:
            context = tls.server_context(options["cert"], options["key"])
        root_path = getattr(settings, "FORCE_SCRIPT_NAME", "") or ""
        handler = HostedHandler(app, root_path=root_path, on_record=self._log)
        async with handler:
            listener = await serve(
                handler,
                self.addr,
                int(self.port),
                ssl=context,
                settings={"enable_connect_protocol": 1},
            )
            port = listener.sockets[0].getsockname()[1]
            address = bracketed(self.addr)
            scheme = "http" if context is None else "https"
            self.stdout.write(
                MESSAGE.format(version=VERSION, scheme=scheme, address=address, port=port)
            )
            if threading.current_thread() is threading.main_thread():
                await listener.serve_forever()
            else:
                await asyncio.Event().wait()  # the reloader ends the process

    def _application(self, options: dict[str, Any]) -> Any:
        """Return the project's application, with static files in front while debugging."""
        try:
            app = import_string(settings.ASGI_APPLICATION)
        except ImportError as error:
            raise ImproperlyConfigured(f"ASGI_APPLICATION cannot be imported: {error}") from error
        installed = apps.is_installed("django.contrib.staticfiles")
        static = options.get("use_static_handler", installed)
        if static and installed and (settings.DEBUG or options.get("insecure_serving")):
            return ASGIStaticFilesHandler(app)
        return app

    def _log(self, record: Record) -> None:
        """Write the line of a response, in the colours of Django's own server."""
        style = self.style
        by_class = {
            1: style.HTTP_INFO, 2: style.HTTP_SUCCESS, 3: style.HTTP_REDIRECT,
            4: style.HTTP_BAD_REQUEST, 5: style.HTTP_SERVER_ERROR,
        }  # fmt: skip
        paint = by_class.get(record.status // 100, style.HTTP_SERVER_ERROR)
        if record.status == 304:
            paint = style.HTTP_NOT_MODIFIED
        elif record.status == 404:
            paint = style.HTTP_NOT_FOUND
        now = datetime.now().strftime("%d/%b/%Y %H:%M:%S")
        target = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in record.target)
        line = f'"{record.method} {target} HTTP/{record.version}" {record.status} {record.size}'
        self.stderr.write(f"[{now}] {paint(line)}")
