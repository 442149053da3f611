"""`cno get` beside curl: the same bytes, files and exit status, and the same requests."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Here
from tests.cli.echo import Echo, Seen, echoing
from tests.peers import free_port
from tests.processes import Pair, certificate, run

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="there is no curl")

#: Each line is the arguments of both. URL: the server's; FORM: a file with two lines.
INVOCATIONS = """
URL/echo
-i URL/status/200
-s URL/status/404
-f URL/status/404
-sf URL/status/500
--fail-with-body URL/status/404
-I URL/text
-L URL/redirect/3
-sSL URL/redirect/1
URL/redirect/1
-L --max-redirs 2 URL/redirect/3
-L -d a=b URL/redirect/1
-L -d a=b URL/redirect/1?code=307
-d a=b -d c=d URL/echo
-d @FORM URL/echo
--data-binary @FORM URL/echo
--data-raw @FORM URL/echo
--data-urlencode name=a&b=ü URL/echo
--data-urlencode =a/b URL/echo
--data-urlencode name@FORM URL/echo
-G -d a=b -d c=d URL/echo?x=y
-I -G -d a=b URL/echo
--json {"a":1} URL/echo
--json {"a": --json 1} URL/echo
-F a=b -F file=@FORM;type=text/x URL/echo
-F a=<FORM -F file=@FORM;filename=x.bin URL/echo
--form-string a=@b URL/echo
-T FORM URL/echo
-T FORM URL/echo/
-X DELETE URL/echo
-u user:pass URL/basic
-u user:wrong -f URL/basic
-A agent -e http://from/ URL/echo
-H x-a:1 -H x-b; URL/echo
-b one=1 URL/echo
-r 0-99 URL/text
-r -100 -i URL/text
-r 1000000- URL/text
--compressed URL/coded/gzip
--compressed URL/coded/deflate
URL/coded/gzip
--compressed URL/coded/bad
URL/cookies/set URL/cookies
-b none -L URL/cookies/set URL/cookies
-w %{http_code}|%{size_download}|%{content_type}|%{num_redirects}\\n -L URL/redirect/2
-w %{url_effective}|%{redirect_url}|%{method}\\n URL/redirect/1
-w %header{etag}%% -o saved URL/text
-o saved URL/text
-o one -o two URL/echo/1 URL/echo/2
-O URL/text
--output-dir folder --create-dirs -O URL/text
-O -J URL/name?name=attachment;%20filename=chosen.txt
-R -o saved URL/text
-D heads -o saved URL/status/204
-m 0.3 URL/slow
-o saved URL/cut
URL/drop
-s NOBODY
--resolve some.test:PORT:127.0.0.1 http://some.test:PORT/echo
--connect-to some.test:80:127.0.0.1:PORT http://some.test/echo
-4 URL/echo
http://no-such-host.invalid/
gopher:/x
http://[::1
""".strip().splitlines()

#: Fields that say who asks, or how the connection is kept.
OWN = {"user-agent", "accept-encoding", "host", "connection", "expect", "te", "date"}


@pytest.fixture
def here(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Here:
    return Here(capsysbinary, tmp_path)


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with echoing() as running:
        yield running


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Echo, Pair]]:
    pair = certificate(tmp_path_factory.mktemp("pair"))
    with echoing(pair) as running:
        yield running, pair


def arguments(line: str, echo: Echo, dead: int) -> list[str]:
    words = line.split(" ")
    known = {"URL": echo.url, "PORT": str(echo.port), "NOBODY": f"http://127.0.0.1:{dead}/"}
    for name, value in known.items():
        words = [word.replace(name, value) for word in words]
    return [word.replace("FORM", "form.txt") for word in words]


def told(seen: Seen) -> object:
    """Return what a request says, without what is each client's own."""
    body = seen.body
    fields = {name: value for name, value in seen.headers if name not in OWN}
    if "cookie" in fields:
        fields["cookie"] = "; ".join(sorted(fields["cookie"].split("; ")))
    boundary = re.search(r"boundary=(\S+)", fields.get("content-type", ""))
    if boundary is not None:
        body = body.replace(boundary[1].encode(), b"BOUNDARY")
        fields["content-type"] = "multipart/form-data"
        fields.pop("content-length", None)
    return seen.method, seen.path, body, fields


def heads(text: bytes) -> bytes:
    """Return output without what differs by time and client: reason phrases and dates."""
    text = re.sub(rb"(?m)^date: .*\r\n", b"", text)
    text = re.sub(rb'"body": "[0-9a-f]*"', b"", text) if b"2d2d2d2d" in text else text
    return re.sub(rb"(?m)^(HTTP/\S+ \d+).*\r\n", rb"\1\r\n", text)


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (heads(path.read_bytes()), modified(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "form.txt"
    }


def modified(path: Path) -> int:
    """Return the time of a file that a server gave it; 0: it is of today."""
    seconds = int(path.stat().st_mtime)
    return seconds if seconds < 1_760_000_000 else 0


def compare(line: str, echo: Echo, here: Here, more: list[str]) -> None:
    dead = free_port()
    args = [*more, *arguments(line, echo, dead)]
    results = []
    for program in ("curl", "cno"):
        folder = here.folder / program
        folder.mkdir()
        (folder / "form.txt").write_bytes(b"first&line\r\nsecond\n")
        echo.seen.clear()
        echo.cuts = 1
        if program == "curl":
            quiet = [] if args[0].startswith("-s") else ["-sS"]
            done = run(str(CURL), *quiet, *args, cwd=folder)
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                done = here("get", *args)
        requests = [told(seen) for seen in echo.seen]
        results.append((done.status, heads(done.stdout), files(folder), requests))
    curl, ours = results
    assert ours[0] == curl[0]
    assert ours[1] == curl[1]
    if "/cut" not in line:  # curl keeps what came under the name; `cno get` keeps no part of a file
        assert ours[2] == curl[2]
    assert ours[3] == curl[3]


@pytest.mark.parametrize("line", INVOCATIONS)
def test_the_same_over_http1(line: str, echo: Echo, here: Here) -> None:
    compare(line, echo, here, [])


#: Those that are compared over TLS, too.
OVER_TLS = """
URL/echo
-f URL/status/404
-sSL URL/redirect/3
-F a=b URL/echo
-I URL/text
-T FORM URL/echo
--compressed URL/coded/gzip
-o saved URL/text
-m 0.3 URL/slow
--http1.1 URL/echo
--http2 URL/echo
-w %{http_version} --http2 URL/status/200
""".strip().splitlines()


@pytest.mark.parametrize("line", OVER_TLS)
def test_the_same_over_tls(line: str, secure: tuple[Echo, Pair], here: Here) -> None:
    echo, pair = secure
    compare(line, echo, here, ["--cacert", str(pair.authority)])


def test_a_certificate_that_nobody_knows(secure: tuple[Echo, Pair], here: Here) -> None:
    echo, _ = secure
    compare("URL/echo", echo, here, [])
    for name in ("curl", "cno"):
        shutil.rmtree(here.folder / name)
    compare(f"https://127.0.0.1:{free_port()}/", echo, here, [])


def test_tls_where_there_is_none(echo: Echo, here: Here) -> None:
    compare(f"https://127.0.0.1:{echo.port}/", echo, here, [])


def test_a_unix_socket(here: Here) -> None:
    path = str(here.folder / "socket")
    with echoing(unix=path) as echo:
        compare(f"--unix-socket {path} http://some.test/echo", echo, here, [])


def test_prior_knowledge(echo: Echo, here: Here) -> None:
    compare("--http2-prior-knowledge URL/echo", echo, here, [])
