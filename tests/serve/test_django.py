"""Django's `runserver` with "cno.django"."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.peers import free_port
from tests.processes import Running, run
from tests.serve.server import CLEAN, wait_for_log

pytest.importorskip("django")

PROJECT = """
import sys
from django.conf import settings
settings.configure(
    DEBUG=True, ROOT_URLCONF="project", ASGI_APPLICATION="project.application", SECRET_KEY="x",
    INSTALLED_APPS=["cno.django", "django.contrib.staticfiles"], STATIC_URL="static/",
    STATICFILES_DIRS=["."], USE_TZ=True, DATABASES={},
)
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse(request.scope["http_version"]))]
import django
django.setup()
from django.core.asgi import get_asgi_application
application = get_asgi_application()
"""
MANAGE = """
import sys
import project
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def test_runserver_speaks_both_protocols_and_serves_static_files(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(PROJECT)
    (tmp_path / "manage.py").write_text(MANAGE)
    (tmp_path / "hello.txt").write_text("static")
    port = free_port()
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    path = os.pathsep.join([CLEAN["PYTHONPATH"], str(tmp_path)])
    with Running(command, tmp_path, {**CLEAN, "PYTHONPATH": path}) as running:
        running.wait_listening(port)
        url = f"http://127.0.0.1:{port}/"
        assert run("curl", "-s", url).text == "1.1"
        assert run("curl", "-s", "--http2-prior-knowledge", url).text == "2"
        assert run("curl", "-s", url + "static/hello.txt").text == "static"
        wait_for_log(running, '"GET / HTTP/2" 200 1')
        assert running.stop(signal.SIGINT) == 0
