"""nghttp, nghttp2's client, against `cno serve`: what stands in the frames."""

import re

from tests.peers import require
from tests.processes import Served, run


def test_frames(clear: Served, secure: Served) -> None:
    nghttp = require("nghttp")
    for served in (clear, secure):
        result = run(nghttp, "-v", "-n", "-y", served.url + "hello.txt")
        assert result.status == 0, result.stderr
        text = re.sub(r"\x1b\[[0-9;]*m", "", result.text)
        assert re.search(r"recv SETTINGS frame <length=\d+, flags=0x00, stream_id=0>", text)
        assert re.search(r"recv SETTINGS frame <length=0, flags=0x01, stream_id=0>", text)
        assert re.search(r"recv \(stream_id=13\) :status: 200", text)
        assert re.search(r"recv \(stream_id=13\) content-length: 13", text)
        assert re.search(r"recv DATA frame <length=13, flags=0x01, stream_id=13>", text)
        assert "RST_STREAM" not in text
        # Not a single GOAWAY but nghttp's own.
        assert "recv GOAWAY" not in text
        if served is secure:
            assert "The negotiated protocol: h2" in text


def test_many_streams_and_a_small_window(clear: Served) -> None:
    nghttp = require("nghttp")
    urls = [clear.url + name for name in ("large.bin", "hello.txt", "style.css", "none")]
    result = run(nghttp, "-s", "-n", "-m", "5", "-w", "14", "-W", "15", *urls)
    assert result.status == 0, result.stderr
    codes = re.findall(r" (\d{3}) +\S+ /", result.text)
    assert sorted(codes) == sorted(["200", "200", "200", "404"] * 5)


def test_upload(clear: Served) -> None:
    nghttp = require("nghttp")
    result = run(nghttp, "-v", "-n", "-d", __file__, clear.url + "hello.txt")
    text = re.sub(r"\x1b\[[0-9;]*m", "", result.text)
    assert result.status == 0
    assert re.search(r"recv \(stream_id=\d+\) :status: 405", text)
