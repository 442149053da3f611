"""TLS as RFC 9113 section 9.2 wants it: versions, ciphers, ALPN."""

import asyncio
import socket
import ssl

import pytest

from cno import aio
from cno.aio import tls
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1_TLS, HTTP2_TLS, Lab, Peer, Wire, hello

CBC = "ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256"  # prohibited by the same
OLD_CIPHER = "AES128-GCM-SHA256"  # no ephemeral keys: prohibited by RFC 9113 Appendix A


def contexts(lab: Lab) -> list[ssl.SSLContext]:
    certs = lab.certs
    return [
        tls.server_context(certs.certfile, certs.keyfile),
        tls.client_context(),
        tls.client_context(certs.cafile),
    ]


def test_contexts(lab: Lab) -> None:
    for context in contexts(lab):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION
        # The suites are the system's: those that HTTP/2 may use come first.
        usual = ssl.create_default_context()
        assert context.get_ciphers() == usual.get_ciphers()
        older = [cipher for cipher in usual.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
        assert older[0]["aead"]
    client = tls.client_context()
    assert (client.verify_mode, client.check_hostname) == (ssl.CERT_REQUIRED, True)
    trusting = tls.client_context(verify=False)
    assert trusting.cert_store_stats()["x509"] == 0  # which is slow to load
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_NONE, False)


def test_one_context_for_all_that_bring_none(lab: Lab) -> None:
    assert tls.default_context() is tls.default_context()


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_cbc_suites_are_for_http1_only(lab: Lab, protocol: str) -> None:
    """A peer without AEAD suites is served over HTTP/1.1, as by the system's other programs."""

    async def main() -> None:
        context = lab.certs.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CBC)
        context.set_alpn_protocols([protocol])
        server = await aio.serve(
            hello, HOST, 0, certfile=lab.certs.certfile, keyfile=lab.certs.keyfile
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            if protocol == "http/1.1":
                response = await aio.request("GET", f"https://{HOST}:{port}/", ssl_ctx=context)
                assert await response.payload.read() == b"hello"
                await response.conn.wait_closed()
                return
            async with Peer(*await asyncio.open_connection(HOST, port, ssl=context)) as peer:
                peer.send(f.PREFACE + peer.pen.settings({}))
                last = (await peer.rest())[-1]
                assert (last.type, last.code) == (f.GOAWAY, f.INADEQUATE_SECURITY)

    lab.run(main())


def test_a_server_with_cbc_suites_only(lab: Lab) -> None:
    async def main() -> None:
        context = lab.certs.server("http/1.1")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CBC)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: aio.Server(hello), HOST, 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        trusting = tls.client_context(lab.certs.cafile)
        response = await aio.request("GET", f"https://{HOST}:{port}/", ssl_ctx=trusting)
        assert await response.payload.read() == b"hello"
        await response.conn.wait_closed()
        server.close()
        await server.wait_closed()

    lab.run(main())


async def agreed(lab: Lab, url: str, *offered: str) -> str | None:
    """What the server chooses of these by ALPN."""
    context = lab.certs.client()
    if offered:
        context.set_alpn_protocols(list(offered))
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection(HOST, port, ssl=context)
    secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
    chosen = secured.selected_alpn_protocol()
    writer.transport.abort()
    return chosen


def test_alpn_of_a_server(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url:
            assert await agreed(lab, url, "h2", "http/1.1") == "h2"
            assert await agreed(lab, url, "http/1.1", "h2") == "h2"
            assert await agreed(lab, url, "http/1.1") == "http/1.1"
            assert await agreed(lab, url, "h2c") is None
            assert await agreed(lab, url) is None

    lab.run(main())


def test_alpn_of_a_client(lab: Lab) -> None:
    """What a client offers, as a server sees it that would take anything."""

    async def main() -> None:
        for offer, chosen in ((["h2c"], None), (["h2"], "h2"), (["http/1.1"], "http/1.1")):
            seen: list[str | None] = []

            async def play(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                seen: list[str | None] = seen,
            ) -> None:
                secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
                seen.append(secured.selected_alpn_protocol())
                await reader.read()
                writer.transport.abort()

            context = lab.certs.server(*offer)
            server = await asyncio.start_server(play, HOST, 0, ssl=context)
            url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
            client = await aio.connect(url, lab.certs.client())
            assert client.is_http2 == (chosen == "h2")
            client.close()
            await client.wait_closed()
            assert seen == [chosen]
            server.close()
            await server.wait_closed()

    lab.run(main())


def test_old_versions_are_refused(lab: Lab) -> None:
    async def main() -> None:
        context = lab.certs.client()
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with lab.serving(HTTP2_TLS, hello) as url:
            port = int(url.rpartition(":")[2])
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(HOST, port, ssl=context)

    lab.run(main())


def test_prohibited_ciphers_are_not_chosen(lab: Lab) -> None:
    async def main() -> None:
        context = lab.certs.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(OLD_CIPHER)
        async with lab.serving(HTTP2_TLS, hello) as url:
            port = int(url.rpartition(":")[2])
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(HOST, port, ssl=context)

    lab.run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_prohibited_cipher_of_somebody_elses_context(lab: Lab, protocol: str) -> None:
    """HTTP/2 is not spoken over it; HTTP/1.1 is."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = lab.certs.server(protocol)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{OLD_CIPHER}:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256")
        servers: list[aio.Server] = []

        def made() -> aio.Server:
            servers.append(aio.Server(hello))
            return servers[-1]

        server = await loop.create_server(made, HOST, 0, ssl=context)
        offer = lab.certs.client()
        offer.set_alpn_protocols([protocol])
        offer.maximum_version = ssl.TLSVersion.TLSv1_2
        offer.set_ciphers("ALL")
        port = server.sockets[0].getsockname()[1]
        async with Peer(*await asyncio.open_connection(HOST, port, ssl=offer)) as peer:
            if protocol == "h2":
                peer.send(f.PREFACE + peer.pen.settings({}))
                last = (await peer.rest())[-1]
                assert (last.type, last.code) == (f.GOAWAY, f.INADEQUATE_SECURITY)
            else:
                peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert (await peer.head()).startswith(b"HTTP/1.1 200 OK\r\n")
        for each in servers:
            await each.wait_closed()
        server.close()
        await server.wait_closed()

    lab.run(main())


def test_tls_1_2_is_enough(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url:
            context = lab.certs.client()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            response = await aio.request("GET", url, ssl_ctx=context)
            assert await response.payload.read() == b"hello"
            assert isinstance(response.conn, aio.Client)
            assert response.conn.is_http2
            await response.conn.wait_closed()

    lab.run(main())


def test_http2_without_alpn_is_not_taken_for_it(lab: Lab) -> None:
    """Over TLS, prior knowledge does not do (RFC 9113 3.2)."""

    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url:
            port = int(url.rpartition(":")[2])
            context = lab.certs.client()
            async with Peer(*await asyncio.open_connection(HOST, port, ssl=context)) as peer:
                peer.send(f.PREFACE + peer.pen.settings({}))
                assert (await peer.reader.read()).startswith(b"HTTP/1.1 505 ")

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1_TLS, HTTP2_TLS], ids=str)
def test_a_server_does_not_wait_long_for_a_close_notify(lab: Lab, wire: Wire) -> None:
    """A client that blocks, and waits between requests, answers it too late."""
    limits = Limits(linger_timeout=0.05, shutdown_timeout=60.0)

    def request(url: str) -> ssl.SSLSocket:
        port = int(url.rpartition(":")[2])
        context = lab.certs.client()
        context.set_alpn_protocols(["h2" if wire.http2 else "http/1.1"])
        sock = context.wrap_socket(socket.create_connection((HOST, port)), server_hostname=HOST)
        pen = f.FrameFactory()
        if wire.http2:
            sock.sendall(f.PREFACE + pen.settings({}) + pen.headers(1, f.REQUEST, end_stream=True))
        else:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert sock.recv(1) != b""
        return sock

    async def main() -> None:
        async with asyncio.timeout(10):
            async with lab.serving(wire, hello, limits=limits) as url:
                sock = await asyncio.to_thread(request, url)
        sock.close()

    lab.run(main())
