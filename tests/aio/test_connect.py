"""From URLs to connections: what is connected to, how, and what is asked for."""

import asyncio
import ssl

import pytest

from cno import aio
from cno.aio.urls import Target
from tests.aio.lab import HOST, HTTP1, HTTP2, HTTP2_TLS, Lab


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "authority", "path", "forced"),
    [
        ("http://h.test", "http", "h.test", 80, "h.test", "/", False),
        ("http://h.test:80/", "http", "h.test", 80, "h.test", "/", False),
        ("http://h.test:8080/a/b", "http", "h.test", 8080, "h.test:8080", "/a/b", False),
        ("https://h.test/?a=b&c", "https", "h.test", 443, "h.test", "/?a=b&c", False),
        ("https://h.test?a", "https", "h.test", 443, "h.test", "/?a", False),
        ("https://H.TEST:443/#part", "https", "h.test", 443, "h.test", "/", False),
        ("https://u:p@h.test:1/x", "https", "h.test", 1, "h.test:1", "/x", False),
        ("h2://h.test/", "https", "h.test", 443, "h.test", "/", True),
        ("h2c://h.test/", "http", "h.test", 80, "h.test", "/", True),
        ("h2c://[::1]:81/x", "http", "::1", 81, "[::1]:81", "/x", True),
        ("http://[::1]/", "http", "::1", 80, "[::1]", "/", False),
        ("http://h.test/a b/\u00e4?\u00f6=%20+", "http", "h.test", 80, "h.test",
         "/a%20b/%C3%A4?%C3%B6=%20+", False),
        ("http://b\u00fccher.test/", "http", "xn--bcher-kva.test", 80,
         "xn--bcher-kva.test", "/", False),
    ],
)  # fmt: skip  # a table
def test_what_a_url_says(
    url: str, scheme: str, host: str, port: int, authority: str, path: str, forced: bool
) -> None:
    target = Target(url)
    assert (target.scheme, target.host, target.port) == (scheme, host, port)
    assert (target.authority, target.path, target.force_http2) == (authority, path, forced)


@pytest.mark.parametrize(
    "url", ["", "/path", "h.test", "ftp://h.test/", "http://", "http:///x", "http://h.test:x/"]
)
def test_urls_that_say_too_little(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # some texts are urllib's
        Target(url)


async def about(request: aio.Request) -> None:
    http2 = "2" if request.conn.is_http2 else "1"
    await request.respond(200, [("x-http", http2), ("x-path", request.path)])


def test_schemes_choose_the_protocol(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, about) as url:
            for scheme, http2 in (("http", False), ("h2c", True)):
                client = await aio.connect(url.replace("http", scheme))
                assert (client.is_http2, client.scheme) == (http2, "http")
                client.close()
                await client.wait_closed()
            client = await aio.connect(url, force_http2=True)
            assert client.is_http2
            client.close()
            await client.wait_closed()
        async with lab.serving(HTTP2_TLS, about) as url:
            for scheme in ("https", "h2"):
                address = url.replace("https", scheme)
                client = await aio.connect(address, lab.certs.client())
                assert (client.is_http2, client.scheme) == (True, "https")
                client.close()
                await client.wait_closed()

    lab.run(main())


def test_certificates_are_checked(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, about) as url:
            with pytest.raises(ssl.SSLCertVerificationError):
                await aio.connect(url)
            with pytest.raises(ssl.SSLCertVerificationError):
                await aio.connect(url, lab.certs.client(), "other.test")
            client = await aio.connect(url, lab.certs.client(), "cno.test")
            client.close()
            await client.wait_closed()

    lab.run(main())


def test_nobody_there(lab: Lab, free_port: int) -> None:
    async def main() -> None:
        with pytest.raises(OSError):  # noqa: PT011  # the text is the system's
            await aio.connect(f"http://{HOST}:{free_port}/")
        with pytest.raises(OSError):  # noqa: PT011  # the same
            await aio.request("GET", f"http://{HOST}:{free_port}/")

    lab.run(main())


def test_request_that_fails_leaves_no_connection(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(60)

        async with lab.serving(HTTP2, handle) as url:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(aio.request("GET", url), 0.05)

    lab.run(main())
