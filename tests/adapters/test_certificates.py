"""Certificates of clients, and TLS to proxies, by both kinds of transports."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from cno import aio
from tests.adapters.kit import Kit
from tests.adapters.test_extensions import Proxy
from tests.aio.lab import HOST, HTTP1_TLS, HTTP2_TLS, Lab, Peer, hello


@pytest.mark.parametrize("kind", ["pair", "one file"])
def test_certificates_of_clients(kit: Kit, lab: Lab, tmp_path: Path, kind: str) -> None:
    authority = trustme.CA()
    mine = authority.issue_cert("client@cno.test")
    wanting = lab.certs.server()
    authority.configure_trust(wanting)
    wanting.verify_mode = ssl.CERT_REQUIRED
    cert: Any = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    mine.cert_chain_pems[0].write_to_path(cert[0])
    mine.private_key_pem.write_to_path(cert[1])
    if kind == "one file":
        cert = str(tmp_path / "both.pem")
        mine.private_key_and_cert_chain_pem.write_to_path(cert)

    async def main() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # httpx wants a context
            ours = kit.ours.AsyncTransport(verify=False, cert=cert)
            blocking = kit.ours.Transport(verify=False, cert=cert)
        async with aio.serve(hello, HOST, 0, ssl=wanting) as listener:
            url = f"https://{HOST}:{listener.sockets[0].getsockname()[1]}"
            async with kit.httpx.AsyncClient(transport=ours) as client:
                assert (await client.get(url)).text == "hello"
            async with kit.client(lab, HTTP2_TLS) as without:
                with pytest.raises(kit.httpx.TransportError):
                    await without.get(url)

            def block() -> None:
                with kit.httpx.Client(transport=blocking) as client:
                    assert client.get(url).text == "hello"

            await asyncio.to_thread(block)

    lab.run(main())


@asynccontextmanager
async def proxied(lab: Lab, proxy: Proxy) -> AsyncIterator[str]:
    """A proxy that is spoken to over TLS; gives its URL."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with Peer(reader, writer) as peer:
            try:
                await proxy(peer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # the client has gone

    server = await asyncio.start_server(play, HOST, 0, ssl=lab.certs.server())
    try:
        yield f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def test_tls_to_a_proxy(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        async with lab.serving(HTTP2_TLS, hello) as url, proxied(lab, proxy) as place:
            given = kit.httpx.Proxy(place, ssl_context=lab.certs.client())
            async with kit.client(lab, HTTP1_TLS, proxy=given) as client:
                response = await client.get(url)
                assert (response.text, response.http_version) == ("hello", "HTTP/2")
                assert (await client.get("http://example.org/a")).text == "proxied"
            transport = kit.sync_transport(lab, HTTP1_TLS, proxy=given)

            def block() -> None:
                with kit.httpx.Client(transport=transport) as client:
                    assert client.get(url).text == "hello"
                    assert client.get("http://example.org/a").text == "proxied"

            await asyncio.to_thread(block)
        assert [head.split(b" ")[0] for head in proxy.heads] == [b"CONNECT", b"GET"] * 2

    lab.run(main())
