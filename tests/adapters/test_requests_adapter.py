"""Sessions of requests with `cno.requests.Adapter`."""

import asyncio
import gzip
import io
import pickle
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

import cno
from cno import aio
from cno.limits import Limits
from tests.adapters.kit import closed_port
from tests.adapters.test_errors import SCRIPTS, Script
from tests.adapters.test_extensions import Proxy, socks_server
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP1_TLS,
    HTTP2,
    HTTP2_TLS,
    Certificates,
    Lab,
    Peer,
    Wire,
    by_hand,
    hello,
)
from tests.sync.kit import background, in_threads

requests: Any = pytest.importorskip("requests")

SHORT = 0.05


@pytest.fixture
def lab(certificates: Certificates) -> Lab:
    """Servers on asyncio's own loop: the clients use none."""
    return Lab(None, certificates)


BIG = bytes(range(256)) * 4000


async def handler(request: aio.Request) -> None:
    fields = dict(request.headers)
    path = request.path.partition("?")[0]
    if path == "/echo":
        got = fields.get("content-length", "none")
        await request.respond(200, [("x-length", got)], await request.payload.read())
    elif path == "/gzip":
        packed = gzip.compress(BIG)
        fields_of_it = [("content-encoding", "gzip"), ("content-length", str(len(packed)))]
        await request.respond(200, fields_of_it, packed)
    elif path == "/redirect":
        moved = [("location", "/cookies"), ("set-cookie", "a=b; Path=/")]
        await request.respond(302, [*moved, ("set-cookie", "c=d; Path=/")], b"moved")
    elif path == "/cookies":
        await request.respond(200, [], str(fields.get("cookie")).encode())
    elif path == "/auth":
        await request.respond(200, [], fields.get("authorization", "").encode())
    elif path == "/events":
        await request.respond(200, [("content-type", "text/event-stream")], events())
    elif path == "/never":
        await asyncio.sleep(20)
    elif path == "/stuck":
        await request.respond(200, [], stuck())
    elif path == "/no":
        await request.respond(404, [("x-two", "1"), ("x-two", "2")], b"no")
    else:
        await request.respond(200, [("content-type", "text/plain; charset=utf-8")], "é".encode())


async def events() -> AsyncIterator[bytes]:
    yield b"data: 1\n\n"
    await gate().wait()
    yield b"data: 2\n\n"


async def stuck() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.sleep(20)


gates: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []


def gate() -> asyncio.Event:
    gates.append((asyncio.get_running_loop(), asyncio.Event()))
    return gates[-1][1]


@contextmanager
def session_of(lab: Lab, wire: Wire, tmp_path: Path, **arguments: Any) -> Iterator[Any]:
    """A session whose adapter talks this way."""
    from cno.requests import Adapter

    if wire.http2 and not wire.tls:
        arguments.setdefault("http1", False)
    with requests.Session() as session:
        session.trust_env = False
        adapter = Adapter(**arguments)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        if wire.tls:
            session.verify = lab.certs.cafile
        yield session


@pytest.fixture
def url(lab: Lab, wire: Wire) -> Iterator[str]:
    with background(lambda: lab.serving(wire, handler)) as found:
        yield found


@pytest.fixture
def session(lab: Lab, wire: Wire, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    if "url" in request.fixturenames:
        request.getfixturevalue("url")  # the session closes before the server
    with session_of(lab, wire, tmp_path) as made:
        yield made


def test_get(session: Any, url: str, wire: Wire) -> None:
    for _ in range(2):
        response = session.get(url + "/a", params={"b": "c d"}, headers={"X-Mine": "1"})
        assert (response.status_code, response.text, response.ok) == (200, "é", True)
        assert response.reason == "OK"
        assert response.encoding == "utf-8"
        assert response.url == url + "/a?b=c+d"
        assert response.raw.version == (20 if wire.http2 else 11)
        assert response.elapsed.total_seconds() < 20
    missing = session.get(url + "/no")
    assert missing.headers["X-Two"] == "1, 2"
    with pytest.raises(requests.HTTPError, match="404"):
        missing.raise_for_status()
    assert session.head(url).content == b""


def test_bodies(session: Any, url: str) -> None:
    bodies: list[tuple[Any, bytes]] = [
        (b"abc", b"abc"),
        ("text", b"text"),
        (BIG, BIG),
        ({"a": "b"}, b"a=b"),
        (io.BytesIO(BIG), BIG),
        (iter([b"a", b"b"]), b"ab"),
        (None, b""),
    ]
    for data, expected in bodies:
        assert session.post(url + "/echo", data=data).content == expected
    assert session.post(url + "/echo", json={"a": 1}).json() == {"a": 1}
    files = {"file": ("a.bin", io.BytesIO(b"y" * 5000))}
    assert b"y" * 5000 in session.post(url + "/echo", files=files).content
    assert session.post(url + "/echo", data=b"abc").headers["x-length"] == "3"


def test_streaming(session: Any, url: str) -> None:
    """Each part is there as soon as it arrives, whatever the size that is asked for."""
    with session.get(url + "/events", stream=True) as response:
        lines = response.iter_lines(chunk_size=512)
        assert next(lines) == b"data: 1"
        loop, event = gates.pop()
        loop.call_soon_threadsafe(event.set)
        assert [line for line in lines if line] == [b"data: 2"]
    with session.get(url + "/gzip", stream=True) as response:
        assert len(response.raw.read(100)) == 100
        assert session.get(url).text == "é"
    with session.get(url + "/gzip", stream=True) as response:
        assert b"".join(response.iter_content(1000)) == BIG
    assert session.get(url + "/gzip").content == BIG


def test_redirects_cookies_and_credentials(session: Any, url: str) -> None:
    response = session.get(url + "/redirect")
    assert [each.status_code for each in response.history] == [302]
    assert sorted(response.text.split("; ")) == ["a=b", "c=d"]
    assert session.cookies.get_dict() == {"a": "b", "c": "d"}
    assert session.get(url + "/auth", auth=("u", "p")).text == "Basic dTpw"
    assert session.get(url + "/redirect", allow_redirects=False).headers["location"] == "/cookies"


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_timeouts(session: Any, url: str) -> None:
    for timeout in (SHORT, (5, SHORT)):
        with pytest.raises(requests.exceptions.ReadTimeout) as raised:
            session.get(url + "/never", timeout=timeout)
        assert isinstance(raised.value.__cause__, cno.StreamTimeoutError)
        assert raised.value.request.method == "GET"
    with pytest.raises(requests.exceptions.ConnectionError) as later:
        session.get(url + "/stuck", timeout=SHORT)
    assert isinstance(later.value.__cause__, cno.StreamTimeoutError)
    assert session.get(url, timeout=(5, 5)).text == "é"
    with pytest.raises(ValueError, match="tuple"):
        session.get(url, timeout=(1, 2, 3))


def test_connect_timeout(lab: Lab, tmp_path: Path) -> None:
    async def silent(peer: Peer) -> None:
        await peer.reader.read()

    with background(lambda: by_hand(silent)) as url, session_of(lab, HTTP1, tmp_path) as session:
        with pytest.raises(requests.exceptions.ConnectTimeout) as raised:
            session.get(url.replace("http", "https"), timeout=(SHORT, 5))
        assert isinstance(raised.value.__cause__, cno.ConnectTimeoutError)


@pytest.mark.parametrize(("wire", "script"), [case[:2] for case in SCRIPTS])
def test_faults_of_servers(lab: Lab, tmp_path: Path, wire: Wire, script: Script) -> None:
    with background(lambda: by_hand(script)) as url, session_of(lab, wire, tmp_path) as session:
        with pytest.raises(requests.exceptions.RequestException) as raised:
            session.get(url)
        assert isinstance(raised.value.__cause__, cno.ConnectionError)
        kinds = (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)
        assert isinstance(raised.value, kinds)


def test_errors(lab: Lab, tmp_path: Path) -> None:
    exceptions = requests.exceptions
    with session_of(lab, HTTP1, tmp_path) as session:
        with pytest.raises(exceptions.ConnectionError) as raised:
            session.get(closed_port())
        assert isinstance(raised.value.__cause__, cno.ConnectError)
        with background(lambda: lab.serving(HTTP1, handler)) as url:
            with pytest.raises(exceptions.InvalidHeader) as invalid:
                session.get(url, headers={"x y": "a"})
            assert isinstance(invalid.value.__cause__, cno.raw.UsageError)
            with pytest.raises(LookupError, match="mine"):
                session.post(url, data=broken())
            assert session.get(url).text == "é"


def broken() -> Iterator[bytes]:
    yield b"x"
    raise LookupError("mine")


def test_verify_and_certificates(lab: Lab, tmp_path: Path) -> None:
    authority = trustme.CA()
    mine = authority.issue_cert("client@cno.test")
    wanting = lab.certs.server()
    authority.configure_trust(wanting)
    wanting.verify_mode = ssl.CERT_REQUIRED
    files = [tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "both.pem"]
    mine.cert_chain_pems[0].write_to_path(files[0])
    mine.private_key_pem.write_to_path(files[1])
    mine.private_key_and_cert_chain_pem.write_to_path(files[2])
    with (
        background(lambda: lab.serving(HTTP2_TLS, hello)) as url,
        background(lambda: aio.serve(hello, HOST, 0, ssl=wanting)) as listener,
        session_of(lab, HTTP2_TLS, tmp_path) as session,
    ):
        assert session.get(url).text == "hello"
        assert session.get(url, verify=False).text == "hello"
        with pytest.raises(requests.exceptions.SSLError) as raised:
            session.get(url, verify=True)
        assert isinstance(raised.value.__cause__, cno.ConnectError)
        with pytest.raises(OSError, match="invalid path"):
            session.get(url, verify=str(tmp_path / "none"))
        strict = f"https://{HOST}:{listener.sockets[0].getsockname()[1]}"
        names = [str(each) for each in files]
        for cert in ((names[0], names[1]), names[2]):
            assert session.get(strict, cert=cert).text == "hello"
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(strict)


def test_proxies(lab: Lab, tmp_path: Path) -> None:
    proxy = Proxy()
    with (
        background(lambda: lab.serving(HTTP2_TLS, hello)) as url,
        background(lambda: by_hand(proxy)) as place,
        session_of(lab, HTTP2_TLS, tmp_path) as session,
    ):
        by = place.replace("http://", "http://u:p@")
        response = session.get(url, proxies={"https": by})
        assert response.text == "hello" and response.raw.version == 20
        assert session.get("http://example.org/a", proxies={"http": by}).text == "proxied"
        with pytest.raises(requests.exceptions.InvalidProxyURL):
            session.get(url, proxies={"https": "http://"})
    tunnel, forwarded = proxy.heads
    assert tunnel.startswith(b"CONNECT 127.0.0.1:")
    assert forwarded.startswith(b"GET http://example.org/a HTTP/1.1\r\n")
    for head in proxy.heads:
        assert head.lower().count(b"proxy-authorization: basic dtpw") == 1
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    with (
        background(lambda: by_hand(Proxy(refusal))) as place,
        session_of(lab, HTTP2_TLS, tmp_path) as session,
    ):
        with pytest.raises(requests.exceptions.ProxyError, match="407"):
            session.get("https://example.org/", proxies={"https": place})


def test_socks(lab: Lab, tmp_path: Path) -> None:
    pytest.importorskip("socksio")
    with (
        background(lambda: lab.serving(HTTP1_TLS, hello)) as url,
        background(lambda: socks_server(b"p")) as place,
        session_of(lab, HTTP1_TLS, tmp_path) as session,
    ):
        assert session.get(url, proxies={"https": f"socks5h://u:p@{place}"}).text == "hello"
        with pytest.raises(requests.exceptions.ProxyError):
            session.get(url, proxies={"https": f"socks5://u:x@{place}"})


@pytest.mark.parametrize("wire", [HTTP2, HTTP2_TLS], ids=str)
def test_threads_and_goaway(lab: Lab, wire: Wire, tmp_path: Path) -> None:
    limits = Limits(max_requests_per_connection=20)
    with (
        background(lambda: lab.serving(wire, handler, limits=limits)) as url,
        session_of(lab, wire, tmp_path) as session,
    ):

        def work(number: int) -> None:
            for at in range(10):
                body = f"{number} {at}".encode()
                assert session.post(url + "/echo", data=body, timeout=10).content == body

        in_threads(10, work)


def test_arguments(lab: Lab, tmp_path: Path) -> None:
    from cno.requests import Adapter

    with pytest.raises(ValueError, match="http1 or http2"):
        Adapter(http1=False, http2=False)
    with background(lambda: lab.serving(HTTP2_TLS, hello)) as url:
        with session_of(lab, HTTP2_TLS, tmp_path, http2=False) as session:
            assert session.get(url).raw.version == 11
            same = pickle.loads(pickle.dumps(session))
            assert same.get(url).text == "hello"
            same.close()


def test_a_session_is_used_again(lab: Lab, tmp_path: Path) -> None:
    with background(lambda: lab.serving(HTTP1, handler)) as url:
        with session_of(lab, HTTP1, tmp_path) as session:
            for _ in range(2):
                assert session.get(url).text == "é"
                session.close()


def test_unread_responses_and_connections(lab: Lab, tmp_path: Path) -> None:
    """`max_connections` bounds connections; a response that is closed gives its place back."""
    with background(lambda: lab.serving(HTTP1, handler)) as url:
        with session_of(lab, HTTP1, tmp_path, max_connections=1) as session:
            for _ in range(3):
                session.get(url + "/gzip", stream=True, timeout=5).close()
            threads = [threading.Thread(target=session.get, args=(url,)) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert not any(thread.is_alive() for thread in threads)


def test_sockets_of_others_are_not_ours() -> None:
    """`import cno.requests` changes nothing of requests."""
    import cno.requests

    assert cno.requests.Adapter.__mro__[1] is requests.adapters.BaseAdapter
    with requests.Session() as session:
        assert type(session.get_adapter("https://a")) is requests.adapters.HTTPAdapter
    assert socket.socket.__module__ == "socket"
