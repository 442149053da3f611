"""`proxy="env"`: which proxy the environment's variables name for which URL."""

import os

import pytest

from cno import aio
from tests.aio.lab import Lab, Peer, by_hand
from tests.rows import each_row

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def answer(peer: Peer) -> None:
    """A proxy that forwards nothing, and opens no tunnel."""
    while True:
        head = await peer.head()
        if head.startswith(b"CONNECT"):
            peer.send(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n")
            return
        via = b"proxy" if b" http://" in head.split(b"\r\n")[0] else b"direct"
        peer.send(b"HTTP/1.1 200 OK\r\nx-via: %s\r\ncontent-length: 0\r\n\r\n" % via)


async def via(url: str) -> str:
    """How a request gets to its server: "direct", by a "proxy", or that by a "tunnel"."""
    try:
        async with await aio.request("GET", url, proxy="env") as response:
            return dict(response.headers)["x-via"]
    except aio.ProxyError as error:
        if error.code != 403:
            raise
        return "tunnel"


def test_variables(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with by_hand(answer) as server, by_hand(answer) as proxy:
            assert await via(server) == "direct"
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            assert await via(server) == "direct"
            assert await via("https://a.test/") == "tunnel"
            monkeypatch.delenv("HTTPS_PROXY")
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                with monkeypatch.context() as patch:
                    patch.setenv(name, proxy)
                    assert await via(server) == "proxy"
                    if "all" in name.lower():
                        assert await via("https://a.test/") == "tunnel"
                    patch.setenv("http_proxy", "http://127.0.0.1:9")
                    with pytest.raises(aio.ProxyError):
                        await via(server)

    lab.run(main())


def test_lower_case_takes_precedence_and_empty_is_not_set(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with by_hand(answer) as server, by_hand(answer) as proxy:
            monkeypatch.setenv("http_proxy", "")
            monkeypatch.setenv("HTTP_PROXY", "")
            monkeypatch.setenv("all_proxy", "")
            monkeypatch.setenv("ALL_PROXY", proxy)
            assert await via(server) == "proxy"
            monkeypatch.setenv("no_proxy", "a.test")
            monkeypatch.setenv("NO_PROXY", "*")
            assert await via(server) == "proxy"
            monkeypatch.setenv("no_proxy", "")
            assert await via(server) == "direct"

    lab.run(main())


def test_cgi_programs_ignore_http_proxy(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of the server sets it, by a field `Proxy`."""

    async def main() -> None:
        async with by_hand(answer) as server, by_hand(answer) as proxy:
            monkeypatch.setenv("REQUEST_METHOD", "GET")
            monkeypatch.setenv("HTTP_PROXY", proxy)
            assert await via(server) == "direct"
            if os.name != "nt":
                monkeypatch.setenv("http_proxy", proxy)
                assert await via(server) == "proxy"

    lab.run(main())


def test_value_without_a_scheme(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with by_hand(answer) as server, by_hand(answer) as proxy:
            monkeypatch.setenv("http_proxy", proxy.removeprefix("http://"))
            assert await via(server) == "proxy"

    lab.run(main())


def test_variables_are_read_once_and_only_if_asked_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with by_hand(answer) as server, by_hand(answer) as proxy:
            monkeypatch.setenv("http_proxy", proxy)
            async with aio.Pool(proxy="env") as asked, aio.Pool() as plain:
                monkeypatch.delenv("http_proxy")
                async with await asked.request("GET", server) as response:
                    assert ("x-via", "proxy") in response.headers
                async with await plain.request("GET", server) as response:
                    assert ("x-via", "direct") in response.headers

    lab.run(main())


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:9", "http://", "http://a b/", "h2c://a"])
def test_value_that_is_no_proxy(lab: Lab, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Never connect directly where a proxy was meant; only if it is to be used, it matters."""

    async def main() -> None:
        async with by_hand(answer) as server:
            monkeypatch.setenv("HTTPS_PROXY", value)
            monkeypatch.setenv("NO_PROXY", "b.test")
            assert await via(server) == "direct"
            with pytest.raises(ValueError, match=r"scheme|host|proxy's URL"):
                await aio.connect("https://a.test/", proxy="env")
            async with aio.Pool(proxy="env") as pool:
                async with await pool.request("GET", server) as response:
                    assert response.code == 200
                for _ in range(2):
                    with pytest.raises(ValueError, match=r"scheme|host|proxy's URL"):
                        await pool.request("GET", "https://a.test/")

    lab.run(main())


DIRECT = [
    ("*", "a.test"),
    ("a.test", "a.test"),
    ("A.TEST.", "a.test"),
    ("a.test", "A.test."),
    ("b.test, a.test", "a.test"),
    ("b.test a.test", "a.test"),
    (",,a.test,", "a.test"),
    ("test", "a.test"),
    ("a.test", "b.a.test"),
    (".a.test", "b.a.test"),
    (".a.test", "a.test"),
    ("*.a.test", "b.a.test"),
    ("a.test:80", "a.test"),
    ("a.test:81", "b.a.test:81"),
    ("*:81", "a.test:81"),
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1:81", "127.0.0.1:81"),
    ("127.0.0.0/8", "127.1.2.3"),
    ("127.0.0.1/8", "127.1.2.3"),
    ("0.0.0.0/0", "1.2.3.4"),
    ("::1", "[::1]"),
    ("[::1]", "[::1]"),
    ("[::1]:81", "[::1]:81"),
    ("fe80::/10", "[fe80::1]"),
    ("fe80::/10", "[fe80::1%25eth0]"),
    ("10.0.0.0/8", "[::ffff:10.1.2.3]"),
    ("xn--bcher-kva.test", "b\u00fccher.test"),
    ("b\u00fccher.test", "xn--bcher-kva.test"),
    ("localhost", "localhost"),
    ("a b/c :80 1.2.3 a.test:x a.test", "a.test"),
]
PROXIED = [
    ("", "a.test"),
    ("a.test", "ba.test"),
    ("a.test", "test"),
    ("a.test", "a.test.b"),
    ("*.a.test", "a.test"),
    ("*a.test", "ba.test"),
    ("a.test:81", "a.test"),
    ("*:81", "a.test"),
    ("127.0.0.1:81", "127.0.0.1"),
    ("127.0.0.0/8", "128.0.0.1"),
    ("127.0.0.0/33", "127.0.0.1"),
    ("0.0.1", "127.0.0.1"),
    ("::1", "[::2]"),
    ("[::1]:81", "[::1]"),
    ("0.0.0.0/0", "a.test"),
    ("0.0.0.0/0", "[fe80::1]"),
    ("a.test", "localhost"),
    ("a.test", "127.0.0.1"),
    ("a.test:x", "a.test"),
]


@each_row(("value", "host"), DIRECT + PROXIED)
def test_no_proxy(value: str, host: str) -> None:
    """The proxy refuses each tunnel, and what is direct is not connected to at all."""
    from cno.aio.client.proxy_environment import ProxyEnvironment
    from cno.aio.client.urls import Target

    found = ProxyEnvironment({"http_proxy": "p.test", "no_proxy": value}).proxy_for(
        Target(f"http://{host}/")
    )
    assert (found is None) == ((value, host) in DIRECT)
    if found is not None:
        assert (found.host, found.port) == ("p.test", 80)
