"""nghttp, nghttp2's client, against `cno serve` and handlers of ours: what stands in the frames."""

import json
import re
from pathlib import Path

import pytest

from tests.interop.conftest import BIG, App
from tests.peers import require
from tests.processes import Served, run


def test_frames(clear: Served, secure: Served) -> None:
    program = require("nghttp")
    for served in (clear, secure):
        result = run(program, "-v", "-n", "-y", served.url + "hello.txt")
        assert result.status == 0, result.stderr
        text = plain(result.text)
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
    urls = [clear.url + name for name in ("large.bin", "hello.txt", "style.css", "none")]
    result = run(require("nghttp"), "-s", "-n", "-m", "5", "-w", "14", "-W", "15", *urls)
    assert result.status == 0, result.stderr
    codes = re.findall(r" (\d{3}) +\S+ /", result.text)
    assert sorted(codes) == sorted(["200", "200", "200", "404"] * 5)


def test_upload(clear: Served) -> None:
    result = run(require("nghttp"), "-v", "-n", "-d", __file__, clear.url + "hello.txt")
    text = plain(result.text)
    assert result.status == 0
    assert re.search(r"recv \(stream_id=\d+\) :status: 405", text)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture(params=["clear", "secure"])
def url(request: pytest.FixtureRequest, app: App) -> str:
    found: str = getattr(app, request.param)
    return found


def nghttp(*options: str) -> str:
    """What it prints. None of its runs may see an error, or a frame it did not like."""
    result = run(require("nghttp"), "-v", "-y", *options)
    assert result.status == 0, result.stderr
    text = plain(result.text)
    assert not re.search(r"(?<!NO_)ERROR|RST_STREAM|recv GOAWAY|not processed", text), text
    return text


def test_pushes(url: str) -> None:
    text = nghttp("-n", url + "push")
    promised = re.findall(r"recv \(stream_id=(\d+)\) :path: (\S+)", text)
    assert promised == [("13", "/style.css"), ("13", "/script.js")]
    assert len(re.findall(r"recv PUSH_PROMISE frame <.*, stream_id=13>", text)) == 2
    assert re.findall(r"promised_stream_id=(\d+)", text) == ["2", "4"]
    assert text.count("x-pushed: 1") == 2
    for stream, size in ((2, 21), (4, 13), (13, 13)):
        assert f"recv (stream_id={stream}) :status: 200" in text
        assert f"recv DATA frame <length={size}, flags=0x01, stream_id={stream}>" in text


def test_pushes_refused(url: str) -> None:
    """SETTINGS_ENABLE_PUSH=0: nothing is promised."""
    text = nghttp("-n", "--no-push", url + "push")
    assert "PUSH_PROMISE" not in text
    assert "recv DATA frame <length=13, flags=0x01, stream_id=13>" in text


def test_trailers(url: str) -> None:
    text = nghttp("-n", url + "trailers")
    assert re.search(r"recv \(stream_id=13\) x-sum: 1\n.*recv \(stream_id=13\) x-end: 2\n", text)
    assert re.search(r"recv HEADERS frame <.*flags=0x05, stream_id=13>", text)


def test_an_upload_with_trailers(url: str, big: Path, big_sha256: str) -> None:
    text = nghttp("-d", str(big), "--trailer", "x-sum: 1", "--trailer", "x-end: 2", url + "sink")
    seen = json.loads(text[text.index('{"method"') :].partition("}")[0] + "}")
    assert (seen["method"], seen["size"], seen["sha256"]) == ("POST", BIG, big_sha256)
    assert seen["trailers"] == [["x-sum", "1"], ["x-end", "2"]]


def test_what_goes_in_comes_out(url: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "data").write_bytes(data)
    result = run(require("nghttp"), "-d", str(tmp_path / "data"), url + "echo")
    assert result.status == 0, result.stderr
    assert result.stdout == data


def test_padding_and_continuations(url: str) -> None:
    """Padded frames, and a field block too large for two of them (which nghttp shows as one)."""
    fields = [part for n in range(8) for part in ("-H", f"x-{n}: {'v' * 5000}")]
    options = ["-b", "100", *fields, "-d", __file__]
    text = nghttp("-n", *options, url + "sink")
    assert re.search(r"send DATA frame .*flags=0x09.*\n.*\n? *\(padlen=", text)
    result = run(require("nghttp"), *options, url + "sink")  # shows nothing else
    seen = json.loads(result.stdout)
    assert seen["size"] == Path(__file__).stat().st_size
    assert [len(v) for k, v in seen["headers"] if k.startswith("x-")] == [5000] * 8


def test_hints_come_first(url: str) -> None:
    text = nghttp("-n", url + "hints")
    statuses = re.findall(r"recv \(stream_id=13\) :status: (\d+)", text)
    assert statuses == ["103", "200"]


def test_an_upload_that_is_refused(app: App, big: Path) -> None:
    """The answer is complete; a while later the stream is ended without error (RFC 9113 8.1)."""
    result = run(require("nghttp"), "-v", "-y", "-d", str(big), app.clear + "refuse/100000")
    text = plain(result.text)
    assert "recv (stream_id=13) :status: 413" in text
    assert "recv DATA frame <length=9, flags=0x01, stream_id=13>" in text
    assert len(re.findall(r"recv RST_STREAM frame .*stream_id=13>", text)) == 1
    assert "(error_code=NO_ERROR(0x00))" in text
    sent = sum(int(n) for n in re.findall(r"send DATA frame <length=(\d+)", text))
    assert sent < 2_000_000
