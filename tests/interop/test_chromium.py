"""Chromium, without a window, against `cno serve` over TLS: it must come by HTTP/2."""

from pathlib import Path

from tests.peers import require
from tests.processes import Served, run

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--ignore-certificate-errors --disable-dev-shm-usage"
).split()


def test_a_page(secure: Served, tmp_path: Path) -> None:
    chromium = require("chromium")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    url = secure.url + "protocol.html"
    result = run(chromium, *OPTIONS, profile, "--dump-dom", url, timeout=50)
    assert result.status == 0, result.stderr
    assert '<p id="p">over h2</p>' in result.text, result.stderr
