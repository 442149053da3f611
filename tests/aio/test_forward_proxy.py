"""The bytes of requests that a proxy forwards. (RFC 9112 3.2.2)"""

import asyncio

import pytest

import cno
from cno import aio
from tests.aio.lab import HTTP1, Lab, Peer, by_hand

#: Aladdin:open sesame
CREDENTIALS = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


async def seen(
    method: str, url: str, headers: list[tuple[str, str]] | None = None, named: bool = False
) -> list[bytes]:
    """The lines of the head that a proxy gets by `request`; the same by a pool, and by a client."""
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append(await peer.head())
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with by_hand(script) as way:
        proxy = way.replace("//", "//Aladdin:open%20sesame@") if named else way
        async with await aio.request(method, url, headers or [], proxy=proxy) as response:
            assert response.code == 200
        async with aio.Pool(proxy=proxy) as pool:
            for _ in range(2):
                async with await pool.request(method, url, headers or []) as response:
                    assert response.code == 200
    assert heads == [heads[0]] * 3
    return heads[0].split(b"\r\n")[:-2]


@pytest.mark.parametrize(
    ("method", "url", "line", "host"),
    [
        ("GET", "http://a.test", b"GET http://a.test/ HTTP/1.1", b"host: a.test"),
        ("GET", "http://a.test/b?c=/d", b"GET http://a.test/b?c=/d HTTP/1.1", b"host: a.test"),
        (
            "PUT",
            "http://A.test:8080/b#c",
            b"PUT http://a.test:8080/b HTTP/1.1",
            b"host: a.test:8080",
        ),
        ("GET", "http://[::1]:81/", b"GET http://[::1]:81/ HTTP/1.1", b"host: [::1]:81"),
        ("GET", "http://[fe80::1%25eth0]/", b"GET http://[fe80::1]/ HTTP/1.1", b"host: [fe80::1]"),
        ("OPTIONS", "http://a.test/b", b"OPTIONS http://a.test/b HTTP/1.1", b"host: a.test"),
    ],
)
def test_request_line(lab: Lab, method: str, url: str, line: bytes, host: bytes) -> None:
    lines = lab.run(seen(method, url))
    assert lines[:2] == [line, host]
    assert not any(each.lower().startswith(b"proxy-") for each in lines)


def test_credentials_of_the_url_are_for_the_server_and_those_of_the_proxy_for_the_proxy(
    lab: Lab,
) -> None:
    lines = lab.run(seen("GET", "http://u:p@a.test/", named=True))
    assert lines[0] == b"GET http://a.test/ HTTP/1.1"
    assert b"proxy-authorization: " + CREDENTIALS in lines
    assert b"authorization: Basic dTpw" in lines


def test_credentials_that_the_application_sends_take_precedence(lab: Lab) -> None:
    own = [("Proxy-Authorization", "Bearer x")]
    lines = lab.run(seen("GET", "http://a.test/", own, named=True))
    assert [each for each in lines if each.startswith(b"proxy-")] == [
        b"proxy-authorization: Bearer x"
    ]


@pytest.mark.parametrize(
    ("method", "path", "headers", "line"),
    [
        ("OPTIONS", "*", [], b"OPTIONS http://a.test HTTP/1.1"),
        ("GET", "/b", [(":authority", "b.test")], b"GET http://b.test/b HTTP/1.1"),
        ("GET", "/b", [("Host", "c.test:8")], b"GET http://c.test:8/b HTTP/1.1"),
        ("GET", "http://a.test/d", [], b"GET http://a.test/d HTTP/1.1"),
        ("GET", "/b", [("x", "y"), ("Host", "c.test")], b"GET http://c.test/b HTTP/1.1"),
        ("GET", "", [], b"GET http://a.test/ HTTP/1.1"),
        ("OPTIONS", "", [], b"OPTIONS http://a.test HTTP/1.1"),
    ],
)
def test_requests_of_a_client(
    lab: Lab, method: str, path: str, headers: list[tuple[str, str]], line: bytes
) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            assert (await peer.head()).startswith(line + b"\r\n")
            peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            await peer.reader.read()

        async with by_hand(script) as way:
            async with await aio.connect("http://a.test/", proxy=way) as client:
                assert client.scheme == "http"
                assert (await client.request(method, path, headers)).code == 204

    lab.run(main())


def test_tunnel_over_a_connection_to_a_proxy(lab: Lab) -> None:
    """An application that asks for one gets it, with the proxy's credentials."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            head = await peer.head()
            assert head.startswith(b"CONNECT b.test:22 HTTP/1.1\r\nhost: b.test:22\r\n")
            assert b"proxy-authorization: " + CREDENTIALS in head
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nSSH")
            await peer.reader.read()

        async with by_hand(script) as way:
            proxy = way.replace("//", "//Aladdin:open%20sesame@")
            async with await aio.connect("http://a.test/", proxy=proxy) as client:
                async with await client.tunnel("b.test:22") as tunnel:
                    assert await tunnel.read(3) == b"SSH"

    lab.run(main())


def test_refusal_of_a_proxy_that_forwards_is_a_response(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            peer.send(b"HTTP/1.1 407 No\r\ncontent-length: 2\r\n\r\nno")
            await peer.reader.read()

        async with by_hand(script) as way:
            async with await aio.request("GET", "http://a.test/", proxy=way) as response:
                assert (response.code, await response.payload.read()) == (407, b"no")

    lab.run(main())


def test_body_goes_through(lab: Lab) -> None:
    async def about(request: cno.Request) -> None:
        body = await request.payload.read()
        await request.respond(200, [], body)

    async def main() -> None:
        async with lab.serving(HTTP1, about) as way, aio.Pool(proxy=way) as pool:
            asked = [
                pool.request("POST", f"http://{name}.test/", [], b"x" * 300_000)
                for name in ("a", "b", "c") * 3
            ]
            for response in await asyncio.gather(*asked):
                assert len(await response.payload.read()) == 300_000

    lab.run(main())
