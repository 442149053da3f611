"""Each option of `cno get`: the request, the output or the file that it changes."""

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from cno.cli import load_command, ping_command
from cno.cli.get_options import OPTIONS
from tests import frames as f
from tests.cli.commands import POSIX, Here, answering, scripted
from tests.cli.echo import HOST, MODIFIED, TEXT, Echo, Seen, echoing
from tests.processes import cno
from tests.tree import ROOT

FORM = b"first&line\r\nsecond\n"
URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with echoing() as running:
        yield running


def sent(here: Here, echo: Echo, *args: str, path: str = "/echo") -> Seen:
    """Return the request that a command sends."""
    (here.folder / "form.txt").write_bytes(FORM)
    echo.seen.clear()
    result = here("get", "-s", *args, f"{echo.url}{path}")
    assert result.status == 0, result
    return echo.seen[-1]


# -- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "method", "path", "body"),
    [
        (["-X", "DELETE"], "DELETE", "/echo", b""),
        (["--request", "PUT", "-d", "a"], "PUT", "/echo", b"a"),
        (["-I"], "HEAD", "/echo", b""),
        (["--head"], "HEAD", "/echo", b""),
        (["-d", "a=b", "--data", "c=d"], "POST", "/echo", b"a=b&c=d"),
        (["--data-ascii", "@form.txt"], "POST", "/echo", b"first&linesecond"),
        (["--data-binary", "@form.txt"], "POST", "/echo", FORM),
        (["--data-raw", "@form.txt"], "POST", "/echo", b"@form.txt"),
        (["--data-urlencode", "a=b c&"], "POST", "/echo", b"a=b%20c%26"),
        (["--data-urlencode", "a@form.txt"], "POST", "/echo", b"a=first%26line%0D%0Asecond%0A"),
        (["--json", '{"a":1}'], "POST", "/echo", b'{"a":1}'),
        (["-G", "-d", "a=b", "--data-urlencode", "c= "], "GET", "/echo?a=b&c=%20", b""),
        (["--get", "-I", "-d", "a=b"], "HEAD", "/echo?a=b", b""),
        (["-T", "form.txt"], "PUT", "/echo", FORM),
        (["--upload-file", "form.txt", "-X", "POST"], "POST", "/echo", FORM),
    ],
)
def test_the_request(
    here: Here, echo: Echo, args: list[str], method: str, path: str, body: bytes
) -> None:
    seen = sent(here, echo, *args)
    assert (seen.method, seen.path, seen.body) == (method, path, body)


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["-H", "X-A: 1"], "x-a", "1"),
        (["--header", "X-A;"], "x-a", ""),
        (["-H", "user-agent:"], "user-agent", None),
        (["-A", "me"], "user-agent", "me"),
        (["--user-agent", ""], "user-agent", None),
        (["-e", "http://from/"], "referer", "http://from/"),
        (["--referer", "http://from/"], "referer", "http://from/"),
        (["-b", "a=1", "--cookie", "b=2"], "cookie", "a=1; b=2"),
        (["-r", "0-9"], "range", "bytes=0-9"),
        (["--range", "-9"], "range", "bytes=-9"),
        (["-u", "user:pass"], "authorization", "Basic dXNlcjpwYXNz"),
        (["--user", "user:pass"], "authorization", "Basic dXNlcjpwYXNz"),
        (["-d", "a"], "content-type", URLENCODED),
        (["--json", "1"], "content-type", "application/json"),
        (["--json", "1"], "accept", "application/json"),
        (["--json", "1", "-H", "accept: a/b"], "accept", "a/b"),
    ],
)
def test_a_field(here: Here, echo: Echo, args: list[str], name: str, value: str | None) -> None:
    assert sent(here, echo, *args).header(name) == value


def test_a_coded_response_is_asked_for(here: Here, echo: Echo) -> None:
    assert "gzip" in (sent(here, echo, "--compressed").header("accept-encoding") or "")
    assert sent(here, echo).header("accept-encoding") is None


def test_a_form(here: Here, echo: Echo) -> None:
    args = ("-F", "a=b", "--form", "f=@form.txt;type=x/y;filename=z", "--form-string", "c=@d;x")
    seen = sent(here, echo, *args)
    kind = seen.header("content-type") or ""
    assert kind.startswith("multipart/form-data; boundary=")
    parts = seen.body.split(b"--" + kind.partition("=")[2].encode())
    assert len(parts) == 5
    assert parts[1].endswith(b'name="a"\r\n\r\nb\r\n')
    assert b'filename="z"' in parts[2] and b"Content-Type: x/y" in parts[2] and FORM in parts[2]
    assert parts[3].endswith(b'name="c"\r\n\r\n@d;x\r\n')


@pytest.mark.parametrize("option", ["-n", "--netrc"])
def test_credentials_of_the_home_folder(
    here: Here, echo: Echo, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("HOME", str(here.folder))
    monkeypatch.setenv("USERPROFILE", str(here.folder))
    assert sent(here, echo, option).header("authorization") is None  # there is no file
    file = here.folder / ".netrc"
    file.write_text(f"machine {HOST} login user password pass\n")
    file.chmod(0o600)
    assert sent(here, echo, option).header("authorization") == "Basic dXNlcjpwYXNz"


def test_redirects(here: Here, echo: Echo) -> None:
    assert sent(here, echo, path="/redirect/2").path == "/redirect/2"
    assert sent(here, echo, "-L", path="/redirect/2").path == "/echo/end"
    assert sent(here, echo, "--location", "--max-redirs", "2", path="/redirect/2").path
    assert here("get", "-L", "--max-redirs", "1", f"{echo.url}/redirect/2").status == 47


# -- output ----------------------------------------------------------------------------------------


def test_heads_in_the_output(here: Here, echo: Echo) -> None:
    result = here("get", "--include", "--dump-header", "heads", f"{echo.url}/status/404")
    head, _, body = result.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404") and body == b"status 404\n"
    assert (here.folder / "heads").read_bytes() == head + b"\r\n\r\n"


def test_statuses_that_fail(here: Here, echo: Echo) -> None:
    url = f"{echo.url}/status/404"
    assert (here("get", url).status, here("get", url).stdout) == (0, b"status 404\n")
    for option, body in (("--fail", b""), ("--fail-with-body", b"status 404\n")):
        result = here("get", option, url)
        assert (result.status, result.stdout) == (22, body)
        assert result.stderr == f"cno: {url}: status 404\n"
    assert here("get", "--silent", "-f", url).stderr == ""
    assert here("get", "-s", "--show-error", "-f", url).stderr != ""
    assert here("get", "-sSf", url).stderr != ""


def test_what_is_written_at_the_end(here: Here, echo: Echo) -> None:
    (here.folder / "format").write_text("%{stderr}%{http_code}%{stdout} %{method}\n")
    result = here("get", "--write-out", "@format", f"{echo.url}/status/201")
    assert result.stdout == b"status 201\n GET\n" and result.stderr == "201"


def test_cookies_in_the_output(here: Here, echo: Echo) -> None:
    out = here("get", "--cookie-jar", "-", f"{echo.url}/cookies/set").text
    assert out.startswith("cookies\n") and f"{HOST}\tFALSE\t/\tFALSE\t0\tone\t1" in out


# -- files -----------------------------------------------------------------------------------------


def test_names_of_files(here: Here, echo: Echo) -> None:
    folder = ("--output-dir", "to", "--create-dirs")
    assert here("get", *folder, "--remote-name", f"{echo.url}/text").status == 0
    assert here("get", *folder, "--output", "deep/name", f"{echo.url}/text").status == 0
    query = "name=attachment;%20filename=chosen"
    args = ("-O", "--remote-header-name", "--remote-time")
    assert here("get", *folder, *args, f"{echo.url}/name?{query}").status == 0
    found = {path.name: path.stat() for path in (here.folder / "to").rglob("*") if path.is_file()}
    assert set(found) == {"text", "name", "chosen"}
    assert found["text"].st_size == found["name"].st_size == len(TEXT)
    assert int(found["chosen"].st_mtime) == 1_751_364_000, MODIFIED
    assert here("get", "--output-dir", "none", "-O", f"{echo.url}/text").status == 23


def test_an_offset_to_continue_at(here: Here, echo: Echo) -> None:
    (here.folder / "f").write_bytes(b"01234")
    seen = sent(here, echo, "--continue-at", "5", "-o", "f", path="/text")
    assert seen.header("range") == "bytes=5-"
    # What follows the offset is added to the end of the file, which has that many bytes.
    assert (here.folder / "f").read_bytes() == b"01234" + TEXT[5:]


@POSIX
def test_the_null_device_needs_no_thread(
    here: Here, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing to it never blocks. (A pipe may, so a thread writes to it.)"""
    begun: list[str] = []
    start = threading.Thread.start

    def noting(thread: threading.Thread) -> None:
        begun.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noting)
    size = "-w", "%{size_download}"
    result = here("get", "-o", "/dev/null", *size, f"{echo.url}/text")
    assert (result.status, result.stdout) == (0, str(len(TEXT)).encode())
    assert not any(name.startswith("cno-save") for name in begun)
    pipe, end = os.pipe()
    assert here("get", "-o", f"/dev/fd/{end}", f"{echo.url}/text").status == 0
    assert os.read(pipe, 1 << 16) == TEXT
    assert any(name.startswith("cno-save") for name in begun)
    for descriptor in (pipe, end):
        os.close(descriptor)


# -- views -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_views_in_the_output(tmp_path: Path, echo: Echo) -> None:
    views = ("--trace=-", "--har=-", "--waterfall=-")
    args = ("get", "--http2", "-o", "f", *views, f"{echo.url}/text")
    result = cno(*args, cwd=tmp_path)
    lines = result.stdout.decode().splitlines()
    frames = [json.loads(line) for line in lines if line.startswith('{"time":')]
    assert len(frames) > 5 and {frame["protocol"] for frame in frames} == {"HTTP/2"}
    rest = lines[len(frames) :]
    assert rest[0].startswith("<svg ")
    archive = json.loads("\n".join(rest[rest.index("</svg>") + 1 :]))
    assert archive["log"]["version"] == "1.2" and result.stderr == ""


@pytest.mark.slow
@POSIX
def test_views_have_no_colours_where_none_are_wanted(tmp_path: Path, echo: Echo) -> None:
    from tests.cli.test_terminal import on_terminal

    args = ("get", "-v", "--http2", "--waterfall", "--explain", "-o", "f", f"{echo.url}/text")
    colour = re.compile(r"\x1b\[[\d;]+m")
    assert colour.search(on_terminal(*args, cwd=tmp_path))
    assert not colour.search(on_terminal(*args, cwd=tmp_path, variables={"NO_COLOR": "1"}))


# -- exit statuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["gopher://h/"], 1),
        (["http://[::1"], 3),
        (["http://nobody.invalid/"], 6),
        (["-x", "http://nobody.invalid/", "http://h/"], 5),
        (["-T", "none", "http://h/"], 26),
        (["-d", "@none", "http://h/"], 26),
        (["-o", "none/f", "URL/echo"], 23),
        (["--limit", "max_body_size=10", "URL/text"], 63),
        (["--http2", "--limit", "max_body_size=10", "URL/text"], 63),
    ],
)
def test_statuses_of_faults_of_ours(here: Here, echo: Echo, args: list[str], status: int) -> None:
    result = here("get", *(arg.replace("URL", echo.url) for arg in args))
    assert result.status == status and result.stderr.startswith("cno: "), result


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"SSH-2.0-x\r\n", 1),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", 8),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", 18),
        (b"", 52),
    ],
)
def test_statuses_of_faults_of_a_server(here: Here, answer: bytes, status: int) -> None:
    with answering(answer) as url:
        assert here("get", url).status == status


def test_statuses_of_http2(here: Here) -> None:
    pen = f.FrameFactory()
    for frames, status in (([pen.rst(1, 2)], 92), ([f.frame(f.PING, 0, 0, b"x")], 16)):
        with scripted(*frames) as url:
            assert here("get", "--http2", url).status == status


# -- all options -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [load_command, ping_command])
def test_each_option_of_measurements_is_tested(command: ModuleType) -> None:
    text = (ROOT / "tests/cli/test_ping_load.py").read_text("utf-8")
    words = set(re.findall(r"(?<![\w-])--?[\w.-]+", text)) | {"-h"}
    own = [option for option in command.OPTIONS if option.group in ("Load", "Pings", "General")]
    assert len(own) > 4
    assert [option.flags for option in own if not words & set(option.all_flags)] == []


def test_each_option_is_tested() -> None:
    files = [*(ROOT / "tests/cli").glob("*.py"), ROOT / "tests/interop/test_get_beside_curl.py"]
    text = "\n".join(file.read_text("utf-8") for file in files)
    words = set(re.findall(r"(?<![\w-])--?[\w.-]+", text))
    missing = [option.flags for option in OPTIONS if not words & set(option.all_flags)]
    assert missing == []
