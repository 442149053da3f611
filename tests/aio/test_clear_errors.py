"""The texts of errors that users cause: they name what is wrong, alike in both protocols."""

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

import cno
from cno import sync
from cno.aio import tls
from cno.testing import connected

both = pytest.mark.parametrize("http2", [True, False])
LEFT = "was reset here: CANCEL (it was left, or its connection closed, before its end)"


async def handle(request: cno.Request) -> None:
    if request.path == "/late":
        await asyncio.sleep(60)
    await request.respond(200, [], bytes(3_000_000))


@both
def test_headers_that_are_a_dict(http2: bool) -> None:
    fields: Any = {"a": "b"}

    async def main() -> None:
        async with connected(handle, http2=http2) as client:
            with pytest.raises(TypeError, match=r"not a dict: give its items\(\)"):
                await client.request("GET", "/", fields)

    asyncio.run(main())


@both
@pytest.mark.parametrize("length", [1, 1000])
def test_a_value_is_shown(http2: bool, length: int) -> None:
    async def main() -> None:
        async with connected(handle, http2=http2) as client:
            with pytest.raises(cno.raw.UsageError) as caught:
                await client.request("GET", "/", [("x-a", "a\n" + "b" * length)])
        text = str(caught.value)
        assert text.startswith("x-a: 'a\\nb") and " is no field value [" in text
        assert len(text) < 120 and "\n" not in text

    asyncio.run(main())


@both
@pytest.mark.parametrize("name", ["authorization", "Cookie", "set-cookie"])
def test_a_secret_is_not_shown(http2: bool, name: str) -> None:
    async def main() -> None:
        async with connected(handle, http2=http2) as client:
            with pytest.raises(cno.raw.UsageError) as caught:
                await client.request("GET", "/", [(name, "Bearer s3cret\n")])
        text = str(caught.value)
        assert text.startswith(f"{name}: the value (not shown) is no field value [")

    asyncio.run(main())


@both
def test_pieces_of_a_body(http2: bool) -> None:
    async def echo(request: cno.Request) -> None:
        assert request.is_http2 == http2
        await request.respond(200, [], b"".join([piece async for piece in request]))

    async def main() -> None:
        async with connected(echo, http2=http2) as client:
            response = await client.request("POST", "/", data=bytes(1_000_000))
            assert response.is_http2 == http2
            pieces = [piece async for piece in response]
            assert sum(map(len, pieces)) == 1_000_000 and len(pieces) > 1

    asyncio.run(main())


@both
def test_a_response_that_was_left(http2: bool) -> None:
    async def main() -> None:
        async with connected(handle, http2=http2) as client:
            async with client.request("GET", "/") as response:
                pass
            with pytest.raises(cno.StreamError) as caught:
                await response.read()
            assert str(caught.value).endswith(LEFT)

    asyncio.run(main())


def test_the_blocking_client() -> None:
    def work(port: int) -> None:
        url = f"http://127.0.0.1:{port}/"
        with sync.Pool() as pool:
            for timeout, name in ((0.05, "total"), (sync.Timeout(read=0.05), "read")):
                with pytest.raises(sync.ReadTimeoutError) as late:
                    pool.request("GET", url + "late", timeout=timeout)
                assert str(late.value).endswith(f": 0.05 s (timeout.{name})")
                assert late.value.limit == f"timeout.{name}"
            with pool.request("GET", url) as response:
                pass
            with pytest.raises(cno.StreamError) as left:
                response.read()
            assert str(left.value).endswith(LEFT)
            with pytest.raises(cno.ConnectError, match=r"the URL begins with http:\)"):
                pool.request("GET", f"https://127.0.0.1:{port}/")

    async def main() -> None:
        async with cno.serve(handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await asyncio.to_thread(work, port)
            with pytest.raises(cno.ConnectError, match=r"the URL begins with http:\)"):
                await cno.request("GET", f"https://127.0.0.1:{port}/")

    asyncio.run(main())


def test_files_of_certificates(tmp_path: Path) -> None:
    certificate, key, other = (tmp_path / name for name in ("own.pem", "key.pem", "other.txt"))
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    other.write_text("nothing")
    missing = tmp_path / "missing.pem"
    tls.server_context(certificate, key)
    for files in ((missing, None), (certificate, missing)):
        with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
            tls.server_context(*files)
    with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
        tls.client_context(missing)
    for files in ((tmp_path, None), (certificate, tmp_path)):
        with pytest.raises(IsADirectoryError, match=re.escape(f"directory: '{tmp_path}'")):
            tls.server_context(*files)
    with pytest.raises(IsADirectoryError, match=re.escape(f"directory: '{tmp_path}'")):
        tls.client_context(tmp_path)
    with pytest.raises(ssl.SSLError, match=r"own\.pem has no private key.*\(keyfile\)"):
        cno.serve(handle, "127.0.0.1", 0, certfile=certificate)
    with pytest.raises(ssl.SSLError, match=r"cannot use .*own\.pem and .*other\.txt: "):
        tls.server_context(certificate, other)
    with pytest.raises(ssl.SSLError, match=r"cannot use .*other\.txt: "):
        tls.client_context(other)
    as_bytes: Any = bytes(certificate)
    with pytest.raises(ssl.SSLError, match=f"^{re.escape(str(certificate))} has no"):
        tls.server_context(as_bytes)
