"""Chromium, without a window, against `cno serve` and handlers of ours: a page reports on both."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import App
from tests.peers import require
from tests.processes import Running, Served, run, serving

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--ignore-certificate-errors --disable-dev-shm-usage"
).split()


def test_a_page(secure: Served, tmp_path: Path) -> None:
    chromium = require("chromium")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    url = secure.url + "protocol.html"
    result = run(chromium, *OPTIONS, profile, "--dump-dom", url, timeout=60)
    assert result.status == 0, result.stderr
    assert '<p id="p">over h2</p>' in result.text, result.stderr


def visit(app: App, url: str, profile: Path) -> dict[str, Any]:
    """Open a page; what it reports."""
    before = app.said("^report ")
    with Running([require("chromium"), *OPTIONS, f"--user-data-dir={profile}", url]):
        found: dict[str, Any] = json.loads(app.wait_for("^report (.*)", before + 1)[1])
    return found


# What a page reports from either protocol.
COMMON = {
    "largeUpload": 20_000_000,
    "streamingDownload": [20_000_000, True],
    "endless": "tick\ntick\n",
    "many": 300,
    "websocket": ["hello", 1_000_000, 1000, "bye", True],
}


def test_http2(app: App, tmp_path: Path) -> None:
    """Streams both ways, a response given up, WebSocket by extended CONNECT; 103 first of all."""
    before = app.said("^websocket CONNECT$")
    visits = 0
    # Once in a dozen runs on a busy machine, a browser that has just started lets a hint be.
    while not app.said("^preloaded hinted$") and visits < 3:
        visits += 1
        found = visit(app, app.secure + "page/hinted", tmp_path / str(visits))
        assert found == {**COMMON, "protocol": "h2", "streamingUpload": 3_000_000, "refused": 413}
    assert app.said("^preloaded hinted$") == 1  # before there was a page to ask for it
    assert app.said("^not preloaded hinted$") == visits - 1
    assert app.said("^websocket CONNECT$") == before + visits
    app.wait_for("^ticked 6$", visits)


def test_http1(app: App, tmp_path: Path) -> None:
    """In clear text it does not try HTTP/2."""
    before = app.said("^websocket GET$")
    found = visit(app, app.clear + "page", tmp_path)
    assert found == {**COMMON, "protocol": "http/1.1"}
    assert app.said("^websocket GET$") == before + 1
    app.wait_for("^ticked 5$", 1)


PROBE = """<!doctype html><p id=p></p><script>
const request = new XMLHttpRequest();
request.open('GET', 'list/', false);
request.send();
const frames = [360, 1100].map(width => {
  const frame = document.createElement('iframe');
  frame.style = `width: ${width}px; height: 700px; border: 0`;
  frame.srcdoc = request.responseText;
  document.body.append(frame);
  return frame;
});
onload = () => {
  const found = frames.map(frame => {
    const page = frame.contentDocument;
    const rows = [...page.querySelectorAll('tbody tr')];
    const field = page.querySelector('input');
    const heights = rows.map(row => row.offsetHeight);
    field.value = 'photo';
    field.dispatchEvent(new Event('input'));
    return {
      width: page.documentElement.scrollWidth,
      height: Math.min(...heights),
      colour: frame.contentWindow.getComputedStyle(page.body).color,
      shown: rows.filter(row => row.offsetHeight).map(row => row.querySelector('a').textContent),
    };
  });
  document.getElementById('p').textContent = JSON.stringify(found);
};
</script>"""


@pytest.mark.parametrize("dark", [False, True])
def test_a_listing_on_a_phone_and_on_a_desktop(tmp_path: Path, dark: bool) -> None:
    """It is no wider than the screen, its rows are as high as a thumb, and its filter works."""
    root = tmp_path / "root"
    (root / "list").mkdir(parents=True)
    (root / "probe.html").write_text(PROBE)
    for name in ("photo1.jpg", "photo10.jpg", "photo2.jpg", "x" * 200 + ".txt", "a b " * 40):
        (root / "list" / name).write_bytes(bytes(5_000))
    (root / "list" / "folder").mkdir()
    options = [*OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"]
    options += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    with serving(root) as served:
        url = served.url + "probe.html"
        result = run(require("chromium"), *options, "--dump-dom", url, timeout=60)
    text = re.search(r'<p id="p">(.*?)</p>', result.text)
    assert text is not None and text[1], result.stderr
    phone, desktop = json.loads(html.unescape(text[1]))
    assert (phone["width"], desktop["width"]) == (360, 1100)
    assert phone["height"] >= 40  # CSS pixels
    for page in (phone, desktop):
        assert page["shown"] == ["..", "photo1.jpg", "photo2.jpg", "photo10.jpg"]
        lightness = sum(map(int, re.findall(r"\d+", page["colour"])[:3]))
        assert (lightness > 382) == dark
