"""`connect`, `request` and `Pool` raise the same error for the same cause.

Each cause is a server, and all three try it. (A client that `connect` has made asks for
a response, as the others do.)
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import EAI_NONAME, gaierror
from typing import Any

import pytest

import cno
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP1_TLS, HTTP2_TLS, Lab, Peer, by_hand, greet, hello
from tests.aio.test_bounds import SHORT, no_streams
from tests.aio.test_happy_eyeballs import resolve_to
from tests.peers import free_port

Place = Callable[[Lab, pytest.MonkeyPatch], Any]


@asynccontextmanager
async def nobody(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    yield f"http://127.0.0.1:{free_port()}/"


@asynccontextmanager
async def nobody_over_tls(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    yield f"https://127.0.0.1:{free_port()}/"


@asynccontextmanager
async def no_such_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async def fail(host: str, port: int, **options: Any) -> Any:
        raise gaierror(EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    yield "http://cno.invalid/"


@asynccontextmanager
async def untrusted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with lab.serving(HTTP2_TLS, hello) as url:
        yield url


@asynccontextmanager
async def another_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with lab.serving(HTTP2_TLS, hello) as url:
        resolve_to(monkeypatch, "127.0.0.1")
        yield url.replace("127.0.0.1", "other.test")


@asynccontextmanager
async def http_behind_https(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with lab.serving(HTTP1, hello) as url:
        yield url.replace("http:", "https:")


@asynccontextmanager
async def https_behind_http(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with lab.serving(HTTP2_TLS, hello) as url:
        yield url.replace("https:", "http:")


def answering(data: bytes, scheme: str = "http") -> Place:
    """A server that reads a head, sends these bytes, and closes the connection."""

    async def script(peer: Peer) -> None:
        if scheme == "http":
            await peer.head()
        else:
            await peer.reader.read(100)
        peer.send(data)
        peer.writer.write_eof()
        await peer.reader.read()

    @asynccontextmanager
    async def place(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
        async with by_hand(script) as url:
            yield url.replace("http:", f"{scheme}:")

    return place


def framing(write: Callable[[f.FrameFactory], bytes]) -> Place:
    """A server that answers a request by these frames."""

    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.expect(f.HEADERS)
        peer.send(write(peer.pen))
        await peer.rest()

    @asynccontextmanager
    async def place(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
        async with by_hand(script) as url:
            yield url.replace("http:", "h2c:")

    return place


@asynccontextmanager
async def hanging_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.expect(f.HEADERS)

    async with by_hand(script) as url:
        yield url.replace("http:", "h2c:")


def silent(scheme: str) -> Place:
    async def script(peer: Peer) -> None:
        while await peer.reader.read(1000):
            pass

    @asynccontextmanager
    async def place(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
        async with by_hand(script) as url:
            yield url.replace("http:", f"{scheme}:")

    return place


@asynccontextmanager
async def anywhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    yield "h2c://cno.test/"


def proxied(answer: bytes) -> Callable[[], Any]:
    """A proxy that answers CONNECT by this, and closes the connection."""

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(answer)
        peer.writer.write_eof()
        await peer.reader.read()

    return lambda: by_hand(script)


@asynccontextmanager
async def no_proxy() -> AsyncIterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


Kind = type[BaseException]


@dataclass
class Cause:
    place: Place
    kind: Kind
    text: str
    cause: Kind | None = None
    retryable: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    proxy: Callable[[], Any] | None = None
    trusting: bool = True  # who signed the certificate is trusted


QUICK = {"limits": Limits(handshake_timeout=SHORT)}
LATE = {"limits": Limits(response_timeout=SHORT, write_stall_timeout=SHORT)}
LOST, STREAM, CONNECT = cno.ConnectionLostError, cno.StreamError, cno.ConnectError
LATE_CONNECT, LATE_STREAM = cno.ConnectTimeoutError, cno.StreamTimeoutError

CAUSES: dict[str, Cause] = {
    "refused": Cause(nobody, CONNECT, "cannot connect to 127.0.0.1:", ConnectionRefusedError),
    "refused, TLS": Cause(nobody_over_tls, CONNECT, "cannot connect to", ConnectionRefusedError),
    "name": Cause(no_such_name, CONNECT, "cannot connect to cno.invalid: ", gaierror),
    "unix": Cause(anywhere, CONNECT, "No such file", FileNotFoundError, options={"unix": "/no/s"}),
    "untrusted": Cause(
        untrusted,
        CONNECT,
        "CERTIFICATE_VERIFY_FAILED",
        ssl.SSLCertVerificationError,
        False,
        trusting=False,
    ),
    "another name": Cause(
        another_name, CONNECT, "not valid for 'other.test'", ssl.SSLCertVerificationError, False
    ),
    "http behind https": Cause(http_behind_https, CONNECT, "cannot connect", ssl.SSLError),
    "https behind http": Cause(https_behind_http, LOST, "peer closed the connection", None, False),
    "closed": Cause(answering(b""), LOST, "the peer closed the connection", None, False),
    "closed, TLS": Cause(answering(b"", "https"), CONNECT, "closed", ConnectionResetError),
    "closed, HTTP/2": Cause(hanging_up, LOST, "the peer closed the connection", None, False),
    "malformed": Cause(answering(b"what?\r\n\r\n"), STREAM, "start line", None, False),
    "malformed frame": Cause(
        framing(lambda p: f.frame(f.PING, 0, 1, bytes(8))), STREAM, "PING on a stream", None, False
    ),
    "malformed head": Cause(
        framing(lambda p: p.headers(1, [("x", "y")])), STREAM, ":status", None, False
    ),
    "reset": Cause(
        framing(lambda p: p.rst(1, f.CANCEL)), STREAM, "reset by the peer: CANCEL", None, False
    ),
    "handshake": Cause(silent("https"), LATE_CONNECT, "within 0.1 s", TimeoutError, options=QUICK),
    "SETTINGS": Cause(
        silent("h2c"), cno.ConnectionTimeoutError, "no preface", None, False, options=QUICK
    ),
    "response": Cause(silent("http"), LATE_STREAM, "no response", None, False, options=LATE),
    "proxy refuses": Cause(
        anywhere,
        cno.ProxyError,
        "the proxy answers 403",
        cno.ProxyError,
        proxy=proxied(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"),
    ),
    "proxy closes": Cause(
        anywhere, cno.ProxyError, "the proxy is gone", cno.ProxyError, proxy=proxied(b"")
    ),
    "no proxy": Cause(anywhere, cno.ProxyError, "to the proxy", cno.ProxyError, proxy=no_proxy),
    "closed at once": Cause(
        anywhere,
        CONNECT,
        "the connection was closed before its first request",
        ConnectionAbortedError,
        proxy=proxied(b"HTTP/1.1 200 OK\r\n\r\n"),
    ),
}


async def by_connect(url: str, options: dict[str, Any]) -> object:
    async with await cno.connect(url, **options) as client:
        return await (await client.request("GET", "/")).payload.read()


async def by_request(url: str, options: dict[str, Any]) -> object:
    return await (await cno.request("GET", url, **options)).payload.read()


async def by_pool(url: str, options: dict[str, Any]) -> object:
    async with cno.Pool(**options) as pool:
        return await (await pool.request("GET", url)).payload.read()


WAYS: list[Callable[[str, dict[str, Any]], Awaitable[object]]] = [by_connect, by_request, by_pool]


@pytest.mark.parametrize("name", CAUSES)
def test_same_error_for_the_same_cause(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cause = CAUSES[name]

    async def main() -> None:
        texts = set()
        options = dict(cause.options)
        if cause.trusting:
            options["ssl_ctx"] = lab.certs.client()
        async with cause.place(lab, monkeypatch) as url:
            for way in WAYS:
                if cause.proxy is None:
                    with pytest.raises(cause.kind) as caught:
                        await way(url, options)
                else:
                    async with cause.proxy() as proxy:
                        with pytest.raises(cause.kind) as caught:
                            await way(url, {**options, "proxy": proxy})
                error: Any = caught.value
                assert cause.text in str(error)
                assert error.retryable == cause.retryable
                why = error.__cause__
                assert why is None if cause.cause is None else isinstance(why, cause.cause)
                assert not str(error).startswith("[")
                assert type(error) is cause.kind
                texts.add(str(error) if cause.proxy is None else cause.text)
        assert len(texts) == 1, texts

    lab.run(main())


@pytest.mark.parametrize("scheme", ["h2", "h2c"])
def test_a_server_that_does_not_speak_http2(lab: Lab, scheme: str) -> None:
    """Whether the request has been sent by the time that it answers is a matter of time."""

    async def main() -> None:
        wire = HTTP1_TLS if scheme == "h2" else HTTP2_TLS  # where HTTP/2 needs TLS
        async with lab.serving(wire, hello) as url:
            url = url.replace("https:", f"{scheme}:")
            for way in WAYS:
                with pytest.raises((LOST, STREAM, CONNECT)) as caught:
                    await way(url, {"ssl_ctx": lab.certs.client()})
                assert not str(caught.value).startswith("[")

    lab.run(main())


def test_a_server_that_allows_no_requests(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(write_stall_timeout=SHORT)
        errors: list[Any] = []
        async with by_hand(no_streams) as url:
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                await client.ping()  # by then it has said so
                with pytest.raises(cno.StreamTimeoutError) as caught:
                    await client.request("GET", "/")
                errors.append(caught.value)
            async with cno.Pool(force_http2=True, limits=limits) as pool:
                with pytest.raises(cno.StreamTimeoutError) as caught:
                    await pool.request("GET", url)
                errors.append(caught.value)
        one, other = errors
        assert str(one) == str(other) != ""
        assert one.retryable and other.retryable

    lab.run(main())


def test_a_mistake_is_no_missing_connection(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async def fail(host: str, port: int, **options: Any) -> Any:
            raise LookupError("a resolver with a bug")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
        for way in WAYS:
            with pytest.raises(LookupError, match="a bug"):
                await way("http://cno.invalid/", {})

    lab.run(main())
