"""From URLs to connections: the address, TLS, and the request target."""

import asyncio
import ssl
from pathlib import Path

import pytest

from cno import aio
from cno.aio.client.urls import Target
from cno.settings import SettingsDict
from tests.aio.lab import HOST, HTTP1, HTTP2, HTTP2_TLS, Lab, Wire
from tests.rows import each_row


@each_row(
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
    assert target.address == f"{authority.removesuffix(f':{port}')}:{port}"


@each_row(
    ("userinfo", "credentials"),
    [
        ("", None),
        ("Aladdin:open%20sesame@", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("Aladdin:open sesame@", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("user@", "Basic dXNlcjo="),
        (":secret@", "Basic OnNlY3JldA=="),
        ("u:p%3Aq@", "Basic dTpwOnE="),
        ("%C3%A4:%C3%B6@", "Basic w6Q6w7Y="),
    ],
)
def test_credentials_of_a_url(userinfo: str, credentials: str | None) -> None:
    target = Target(f"http://{userinfo}h.test/")
    assert (target.credentials, target.authority) == (credentials, "h.test")


def test_origins() -> None:
    """What may share connections, and what may not."""
    same = ["http://h.test/", "http://H.TEST:80/x?y", "http://u:p@h.test#z"]
    assert len({Target(url).origin for url in same}) == 1
    others = ["https://h.test/", "http://h.test:81/", "http://i.test/", "h2c://h.test/"]
    assert len({Target(url).origin for url in [*same, *others]}) == 5


@each_row(
    "url",
    [
        *("", "/path", "h.test", "ftp://h.test/", "http://", "http:///x", "http://h.test:x/"),
        "http://user%3Aname:password@h.test/",
    ],
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
            for context, name in ((None, None), (lab.certs.client(), "other.test")):
                with pytest.raises(aio.ConnectError) as caught:
                    await aio.connect(url, context, name)
                assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            client = await aio.connect(url, lab.certs.client(), "cno.test")
            client.close()
            await client.wait_closed()

    lab.run(main())


def test_a_pool_checks_all_certificates_for_one_name(lab: Lab) -> None:
    async def main() -> None:
        context = lab.certs.client()
        async with lab.serving(HTTP2_TLS, about) as url, lab.serving(HTTP2_TLS, about) as other:
            async with aio.Pool(context, ssl_hostname="cno.test") as pool:
                for each in (url, other):
                    async with await pool.request("GET", each) as response:
                        assert response.code == 200
            async with aio.Pool(context, ssl_hostname="other.test") as pool:
                with pytest.raises(aio.ConnectError, match=r"other\.test"):
                    await pool.request("GET", url)
        with pytest.raises(ValueError, match="host name"):
            aio.Pool(context, ssl_hostname="a b")

    lab.run(main())


def test_nobody_there(lab: Lab, free_port: int) -> None:
    async def main() -> None:
        with pytest.raises(aio.ConnectError):
            await aio.connect(f"http://{HOST}:{free_port}/")
        with pytest.raises(aio.ConnectError):
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


# -- TLS contexts of the user's --------------------------------------------------------------------


def test_contexts_that_offer_nothing_offer_ours(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, about) as url:
            context = lab.certs.client()
            for _ in range(2):
                async with await aio.connect(url, context) as client:
                    assert client.is_http2

    lab.run(main())


@pytest.mark.parametrize(
    ("offered", "http2"), [(["http/1.1"], False), (["h2"], True), (["http/1.1", "h2"], True)]
)
def test_contexts_keep_what_they_offer(lab: Lab, offered: list[str], http2: bool) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, about) as url:
            context = lab.certs.client()
            context.set_alpn_protocols(offered)
            async with await aio.connect(url, context) as client:
                assert client.is_http2 == http2
            async with await aio.request("GET", url, ssl_ctx=context) as response:
                assert ("x-http", "2" if http2 else "1") in response.headers
            async with aio.Pool(context) as pool, await pool.request("GET", url) as response:
                assert ("x-http", "2" if http2 else "1") in response.headers
            # Others that use the context are not surprised.
            reader, writer = await asyncio.open_connection(
                HOST, int(url.rpartition(":")[2]), ssl=context
            )
            secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
            assert secured.selected_alpn_protocol() == ("h2" if http2 else "http/1.1")
            writer.transport.abort()
            del reader

    lab.run(main())


# -- what else says how to connect -----------------------------------------------------------------


def test_credentials_are_sent_with_each_request(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        seen: list[list[str]] = []

        async def handle(request: aio.Request) -> None:
            seen.append([value for name, value in request.headers if name == "authorization"])
            await request.respond(200)

        async with lab.serving(wire, handle) as url:
            named = url.replace("//", "//Aladdin:open%20sesame@")
            async with await lab.connect(wire, named) as client:
                assert client.authority == url.rpartition("/")[2]
                for headers in ([], [("x", "y")], [("AUTHORIZATION", "Own")]):
                    assert (await client.request("GET", "/", headers)).code == 200
        basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        assert seen == [[basic], [basic], ["Own"]]

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
def test_unix_sockets(lab: Lab, wire: Wire, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        certfile, keyfile = lab.certs.certfile, lab.certs.keyfile
        if not wire.tls:
            certfile = keyfile = None  # type: ignore[assignment]  # only here
        context = lab.certs.client() if wire.tls else None
        options = {"unix": path, "force_http2": wire.http2 and not wire.tls}
        url = f"{wire.scheme}://cno.test/x"
        async with aio.serve(about, path=path, certfile=certfile, keyfile=keyfile):
            async with await aio.connect(url, context, **options) as client:  # type: ignore[call-overload]  # of the mapping's values
                assert (client.is_http2, client.authority) == (wire.http2, "cno.test")
                assert (await client.request("GET", "/")).code == 200
            async with aio.Pool(context, **options) as pool:  # type: ignore[arg-type]  # the same
                assert ("x-path", "/x") in (await pool.request("GET", url)).headers

    lab.run(main())


def test_settings_may_be_left_to_us(lab: Lab) -> None:
    """None: what it would be anyway, as with `configure`."""

    async def main() -> None:
        async with lab.serving(HTTP2, about) as url:
            settings: SettingsDict = {"initial_window_size": 1 << 20, "enable_push": None}
            async with await aio.connect(url, force_http2=True, settings=settings) as client:
                assert client.local_settings.initial_window_size == 1 << 20
                assert client.local_settings.enable_push == 1
                assert (await client.request("GET", "/")).code == 200

    lab.run(main())
