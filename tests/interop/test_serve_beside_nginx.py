"""curl against `cno serve` and against nginx, with the same files: status, bytes, exit status.

One curl makes all requests to a server, so that they share connections.
"""

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.conftest import OLD
from tests.peers import free_port, require
from tests.processes import Pair, Running, certificate, run, serving

CONFIG = """
daemon off;
master_process off;
pid {work}/pid;
error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off;
    gzip_static on;
    max_ranges 100;
    client_body_temp_path {work}/a;
    proxy_temp_path {work}/b;
    fastcgi_temp_path {work}/c;
    uwsgi_temp_path {work}/d;
    scgi_temp_path {work}/e;
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {pair.cert};
        ssl_certificate_key {pair.key};
        root {site};
    }}
}}
"""
AGE = "Sun, 06 Nov 1994 08:49:37 GMT"  # of all files
OLDER = "Sun, 06 Nov 1994 08:49:36 GMT"

#: Each line: curl's exit status, the status of the response, the arguments.
INVOCATIONS = f"""
0 200 URL/hello.txt
0 200 -I URL/hello.txt
0 404 URL/none
22 404 -f URL/none
22 404 --fail-with-body URL/none
0 200 URL/large.bin
0 200 -I URL/large.bin
0 206 -r|0-4 URL/hello.txt
0 206 -r|5- URL/hello.txt
0 206 -r|-3 URL/hello.txt
0 206 -r|-300 URL/hello.txt
0 206 -r|0-0 URL/hello.txt
0 206 -r|5-5000 URL/hello.txt
0 416 -r|100- URL/hello.txt
22 416 -f|-r|100- URL/hello.txt
0 206 -r|0-1,4-5 URL/hello.txt
0 200 -H|Range:items=0-1 URL/hello.txt
0 206 -r|4000000-4999999 URL/large.bin
0 206 -C|7 URL/hello.txt
0 206 -C|5000000 URL/large.bin
0 304 -H|If-None-Match:* URL/hello.txt
0 200 -H|If-None-Match:"x" URL/hello.txt
0 412 -H|If-Match:"x" URL/hello.txt
0 200 -H|If-Match:* URL/hello.txt
0 304 -z|{AGE} URL/hello.txt
0 200 -z|{OLDER} URL/hello.txt
0 304 -I|-z|{AGE} URL/hello.txt
0 412 -H|If-Unmodified-Since:{OLDER} URL/hello.txt
0 200 -H|If-Unmodified-Since:{AGE} URL/hello.txt
0 206 -r|0-1|-H|If-Range:{AGE} URL/hello.txt
0 200 -r|0-1|-H|If-Range:{OLDER} URL/hello.txt
0 200 -r|0-1|-H|If-Range:"x" URL/hello.txt
0 200 URL/app/
0 200 -L URL/app
0 200 URL/app/index.html
0 404 URL/hello.txt/
0 404 URL/hello.txt/x
0 200 URL/hello.txt?x=/../y
0 200 -G|-d|x=1 URL/hello.txt
0 200 URL/%68ello.txt
0 200 URL/na%20me%2B%25.txt
0 200 URL/%C3%A9.txt
0 404 URL/%C3.txt
0 404 URL/%c0%ae%c0%ae/hello.txt
0 404 URL/%252e%252e/hello.txt
0 400 URL/../hello.txt
0 400 URL/app/../../hello.txt
0 400 URL/%2e%2e/hello.txt
0 400 URL/..%2fhello.txt
0 400 URL/hello.txt%00
0 400 URL/%zz
0 200 URL/empty
0 200 -I URL/empty
0 405 -d|a=b URL/hello.txt
22 405 -f|-d|a=b URL/hello.txt
0 405 -X|DELETE URL/hello.txt
0 405 -T|FILE URL/hello.txt
63 200 --max-filesize|10 URL/large.bin
0 200 --compressed URL/app/code.js
0 200 -H|Accept-Encoding:gzip URL/app/code.js
0 200 -H|Accept-Encoding:identity URL/app/code.js
0 200 -H|Accept-Encoding:gzip;q=0 URL/app/code.js
0 200 -u|user:pass URL/hello.txt
0 200 -e|http://other/|-A|agent URL/hello.txt
""".strip().splitlines()

#: The same for what we do on purpose otherwise than nginx: the status of nginx follows ours.
#: No listing by default, 301 (which turns POST into GET), dot segments resolved, hidden files,
#: any host, OPTIONS; a range for HEAD, which has none (RFC 9110 14.2), for an empty file, for a
#: compressed one; a range that is none (14.1.1). Many ranges that overlap are ignored by both.
OTHERWISE = f"""
0 200/403 URL/sub/
0 308/301 URL/app
0 400/200 URL/app/../hello.txt
0 400/200 URL/app/%2e%2e/hello.txt
0 400/200 URL/app/..%2fhello.txt
0 404/200 URL//hello.txt
0 404/200 URL/.hidden
0 204/405 -X|OPTIONS URL/hello.txt
0 421/200 -H|Host:evil.test URL/hello.txt
0 200/206 -I|-H|Range:bytes=0-1 URL/hello.txt
0 416/200 -r|0-0 URL/empty
0 206/200 -H|Accept-Encoding:gzip|-r|0-3 URL/app/code.js
0 200/416 -r|3-1 URL/hello.txt
0 200/200 -r|{"0-," * 99}0- URL/hello.txt
""".strip().splitlines()

#: Fields that both send with the same meaning.
FIELDS = ("content-length", "content-range", "content-encoding", "last-modified")


class Answer(NamedTuple):
    """What curl says of a response. `fields`: those of `FIELDS` that it has."""

    exit: int
    code: int
    body: bytes
    fields: dict[str, str]


class Peers(NamedTuple):
    """Where the two servers are, in clear text and over TLS, and the served folder."""

    ours: tuple[str, str]
    nginx: tuple[str, str]
    pair: Pair
    site: Path


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    work, root = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("site")
    pair = certificate(work)
    code = b"const x = 1;\n" * 200
    contents = {
        "hello.txt": b"hello, world\n",
        "large.bin": os.urandom(5_000_017),
        "empty": b"",
        "na me+%.txt": b"odd",
        "é.txt": b"accent",
        ".hidden": b"hidden",
        "app/index.html": b"<!doctype html><title>app</title>",
        "app/code.js": code,
        "app/code.js.gz": gzip.compress(code, mtime=0),
        "sub/page.html": b"<!doctype html>",
    }
    for name, data in contents.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
        os.utime(root / name, (OLD, OLD))
    clear, secure = free_port(), free_port()
    text = CONFIG.format(work=work, clear=clear, secure=secure, pair=pair, site=root)
    (work / "nginx.conf").write_text(text)
    args = [require("nginx"), "-p", str(work), "-c", str(work / "nginx.conf"), "-e", "stderr"]
    with (
        Running(args) as nginx,
        serving(root) as plain,
        serving(root, "--cert", str(pair.cert), "--key", str(pair.key)) as tls,
    ):
        nginx.wait_listening(clear)
        ours = (plain.url.rstrip("/"), tls.url.rstrip("/"))
        urls = (f"http://127.0.0.1:{clear}", f"https://127.0.0.1:{secure}")
        yield Peers(ours, urls, pair, root)


def curl(url: str, lines: list[str], options: list[str], folder: Path) -> list[Answer]:
    """Have one curl make all requests. Return what came of them."""
    folder.mkdir()
    (folder / "file").write_bytes(b"upload")
    args: list[str] = []
    for number, line in enumerate(lines):
        words = line.split(" ", 2)[2]
        given, _, target = words.rpartition(" ")
        each = [*options, *given.replace("FILE", str(folder / "file")).split("|")]
        each = [word for word in each if word] + ["-sS", "--path-as-is", "-m", "20"]
        each += ["-o", str(folder / f"{number}"), "-w", "%{json}\n%{header_json}\n;;\n"]
        args += [*(["--next"] if args else []), *each, target.replace("URL", url)]
    done = run(require("curl"), *args, timeout=60)
    answers = []
    for number, part in enumerate(done.text.split("\n;;\n")[:-1]):
        said, _, heads = part.partition("\n{")
        about = json.loads(said)
        fields = {name: value[-1] for name, value in json.loads("{" + heads).items()}
        path = folder / str(number)
        body = path.read_bytes() if path.exists() else b""
        kept = {name: fields[name] for name in FIELDS if name in fields}
        answers.append(Answer(about["exitcode"], about["response_code"], body, kept))
    assert len(answers) == len(lines), done.stderr
    return answers


def plain(body: bytes) -> bytes:
    """Return a body without what is each server's own in a body of several parts."""
    body = re.sub(rb"\r\n--[0-9a-f]+|^--[0-9a-f]+", b"--", body.lower())
    return re.sub(rb"content-type: [^\r]*\r\n", b"", body).removeprefix(b"\r\n")


@pytest.mark.parametrize("way", ["HTTP/1.1", "HTTP/2"])
def test_the_same_as_nginx(peers: Peers, tmp_path: Path, way: str) -> None:
    secure = way == "HTTP/2"
    options = ["--cacert", str(peers.pair.authority), "--http2" if secure else "--http1.1"]
    lines = INVOCATIONS + OTHERWISE
    ours = curl(peers.ours[secure], lines, options, tmp_path / "ours")
    theirs = curl(peers.nginx[secure], lines, options, tmp_path / "theirs")
    wrong: list[tuple[object, ...]] = []
    for line, our, their in zip(lines, ours, theirs, strict=True):
        status, codes, _ = line.split(" ", 2)
        code, _, other = codes.partition("/")
        expected = (int(status), int(code))
        if (our.exit, our.code) != expected:
            wrong.append((line, "ours", our))
        if (their.exit, their.code) != (int(status), int(other or code)):
            wrong.append((line, "nginx", their))
        if other or our.code >= 400 or our.code == 304:
            continue
        if "-I" not in line and plain(our.body) != plain(their.body):
            wrong.append((line, "bodies", our.body[:200], their.body[:200]))
        if "0-1,4-5" not in line and our.fields != their.fields:
            wrong.append((line, "fields", our.fields, their.fields))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(lines) > 40


#: Uploads and credentials: as `INVOCATIONS`, in this order.
UPLOADS = """
0 401 URL/hello.txt
22 401 -f URL/hello.txt
0 401 -u|me:wrong URL/hello.txt
0 401 -T|FILE URL/new.txt
0 200 -u|me:secret URL/hello.txt
0 201 -u|me:secret|-T|FILE URL/new.txt
0 201 -u|me:secret|-T|FILE URL/
0 200 -u|me:secret URL/new.txt
0 409 -u|me:secret|-T|FILE URL/new.txt
22 409 -f|-u|me:secret|-T|FILE URL/file
0 404 -u|me:secret|-T|FILE URL/.new
0 403 -u|me:secret|-T|FILE URL/new%0a.txt
0 403 -u|me:secret|-T|FILE URL/index.html
0 400 -u|me:secret|-T|FILE URL/..%2fnew.txt
0 400 -u|me:secret|-T|FILE URL/%2e%2e
0 404 -u|me:secret|-T|FILE URL/none/new.txt
0 201 -u|me:secret|-T|FILE URL/sub/
0 413 -u|me:secret|-T|URL.LARGE URL/other.txt
0 403 -u|me:secret|-H|Origin:http://evil.test|-T|FILE URL/other.txt
0 405 -u|me:secret|-d|a=b URL/hello.txt
0 405 -u|me:secret|-X|DELETE URL/hello.txt
0 404 -u|me:secret URL/other.txt
""".strip().splitlines()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_uploads_and_credentials(peers: Peers, tmp_path: Path, version: str) -> None:
    root, pair = tmp_path / "root", peers.pair
    (root / "sub").mkdir(parents=True)
    (root / "hello.txt").write_bytes(b"hello")
    tls = ["--cert", str(pair.cert), "--key", str(pair.key)]
    lines = [line.replace("URL.LARGE", str(peers.site / "large.bin")) for line in UPLOADS]
    with serving(
        root, *tls, "--auth", "me:secret", "--upload", ".", "--max-upload", "1M"
    ) as served:
        options = ["--cacert", str(pair.authority), version]
        answers = curl(served.url.rstrip("/"), lines, options, tmp_path / "got")
    wrong = [
        (line, answer)
        for line, answer in zip(lines, answers, strict=True)
        if line.split(" ")[:2] != [str(answer.exit), str(answer.code)]
    ]
    assert not wrong, "\n".join(map(str, wrong))
    files = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    assert files == {"hello.txt": b"hello", "new.txt": b"upload", "file": b"upload"}
