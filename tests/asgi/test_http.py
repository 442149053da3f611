"""HTTP messages of ASGI: what an application is told, and what becomes of what it sends."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import cno
from tests.aio.lab import HOST, HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS, Lab, Wire, until
from tests.asgi.apps import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    body,
    client_of,
    read_body,
    serving,
    start,
)

CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)


def responding(*messages: Message) -> App:
    """An application that sends these."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def ask(client: cno.Client, method: str = "GET", path: str = "/", **more: Any) -> Any:
    """Send a request; the response, whose body has been read into `content`."""
    response: Any = await client.request(method, path, **more)
    content = await response.payload.read()
    return response, content


def value(response: cno.Response, name: str) -> str | None:
    found = [value for key, value in response.headers if key == name]
    return ", ".join(found) if found else None


# -- the scope -------------------------------------------------------------------------------------


def test_scope(lab: Lab, wire: Wire) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send(start())
        await send(body())

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            path = "/a%2Fb%20%C3%A9?x=%20&y"
            await ask(client, "DELETE", path, headers=[("X-One", "1"), ("x-two", "é")])
            sock = client.transport.get_extra_info("sockname")
            peer = client.transport.get_extra_info("peername")
        (scope,) = seen
        assert scope["type"] == "http"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
        assert scope["http_version"] == ("2" if wire.http2 else "1.1")
        assert scope["method"] == "DELETE"
        assert scope["scheme"] == wire.scheme
        assert scope["path"] == "/a/b é"
        assert scope["raw_path"] == b"/a%2Fb%20%C3%A9"
        assert scope["query_string"] == b"x=%20&y"
        assert scope["root_path"] == ""
        assert scope["client"] == sock[:2]
        assert scope["server"] == peer[:2]
        assert scope["state"] == {}
        headers = [each for each in scope["headers"] if each[0] != b"content-length"]
        host = f"127.0.0.1:{peer[1]}".encode()
        assert headers == [(b"host", host), (b"x-one", b"1"), (b"x-two", "é".encode())]
        assert ("tls" in scope["extensions"]) == wire.tls
        if wire.tls:
            tls = scope["extensions"]["tls"]
            assert tls["tls_version"] == 0x0304
            assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)
            assert tls["client_cert_name"] is None and tls["client_cert_chain"] == []

    lab.run(main())


def test_root_path_is_before_the_path(lab: Lab) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send(start())
        await send(body())

    async def main() -> None:
        async with client_of(lab, HTTP1, app, root_path="/mount") as client:
            await ask(client, path="/a%2Fb")
        assert seen[0]["root_path"] == "/mount"
        assert seen[0]["path"] == "/mount/a/b"
        assert seen[0]["raw_path"] == b"/mount/a%2Fb"

    lab.run(main())


@CLEAR
def test_requests_share_nothing_that_they_can_change(lab: Lab, wire: Wire) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for part in (scope, scope["state"], scope["extensions"], scope["asgi"]):
            assert "mine" not in part
            part["mine"] = True
        scope["headers"].append((b"mine", b""))
        await send(start())
        await send(body())

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            for _ in range(3):
                response, _ = await ask(client)
                assert response.code == 200

    lab.run(main())


def test_http10(lab: Lab) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(scope["http_version"].encode()))

    async def main() -> None:
        async with serving(lab, HTTP1, app) as url:
            reader, writer = await asyncio.open_connection(HOST, int(url.rpartition(":")[2]))
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n1.0")

    lab.run(main())


# -- receive ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
def test_body_arrives_whole(lab: Lab, wire: Wire, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received = await read_body(receive)
        await send(start())
        await send(body(received))

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            response, content = await ask(client, "POST", data=data)
            assert response.code == 200 and content == data
            assert value(response, "content-length") == str(size)

    lab.run(main())


@CLEAR
def test_disconnect_comes_when_the_response_is_complete(lab: Lab, wire: Wire) -> None:
    after: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        waiting = asyncio.ensure_future(receive_end(receive))
        await asyncio.sleep(0)
        await send(start())
        await send(body(b"done"))
        after.append(await waiting)
        after.append(await receive())

    async def receive_end(receive: Receive) -> Message:
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            _, content = await ask(client)
            assert content == b"done"
            await until(lambda: len(after) == 2)
        assert after == [{"type": "http.disconnect"}] * 2

    lab.run(main())


def test_disconnect_comes_when_the_client_goes(lab: Lab, wire: Wire) -> None:
    told: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"first", True))
        await receive()
        told.append(await receive())
        try:
            while True:
                await send(body(b"more", True))
                await asyncio.sleep(0)
        except OSError as error:
            told.append(error)
            raise

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read(5) == b"first"
            response.cancel()
            await until(lambda: len(told) == 2)
        assert told[0] == {"type": "http.disconnect"}

    lab.run(main())


def test_the_task_of_an_application_is_not_cancelled(lab: Lab, wire: Wire) -> None:
    ends: list[str] = []
    going = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            going.set()
            await asyncio.sleep(0.1)
            ends.append("returned")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            request = asyncio.ensure_future(client.request("GET", "/"))
            await going.wait()
            request.cancel()
            await until(lambda: ends)
        assert ends == ["returned"]

    lab.run(main())


@CLEAR
def test_nothing_is_asked_for_before_it_is_wanted(lab: Lab, wire: Wire) -> None:
    """A client that waits for a 100 gets one only if the application reads the body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/read":
            assert await read_body(receive) == b"content"
        await send(start(200 if scope["path"] == "/read" else 413))
        await send(body())

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            expect = [("expect", "100-continue"), ("content-length", "7")]
            read, _ = await ask(client, "PUT", "/read", headers=expect, data=b"content")
            assert read.code == 200
            assert [code for code, _ in read.informational] == [100]
        async with client_of(lab, wire, app) as client:
            refused, _ = await ask(client, "PUT", "/", headers=expect, data=b"content")
            assert refused.code == 413 and refused.informational == []

    lab.run(main())


# -- send ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "length", "content"),
    [
        ([start(), body(b"hello")], "5", b"hello"),
        ([start(), body()], "0", b""),
        ([start(), body(b"a", True), body(b"b", True), body(b"c")], None, b"abc"),
        ([start(), body(b"", True), body(b"ab", True), body()], None, b"ab"),
        ([start(200, (b"content-length", b"2")), body(b"a", True), body(b"b")], "2", b"ab"),
        ([start(200, (b"Content-Length", b"2")), body(b"ab")], "2", b"ab"),
        ([start(), {"type": "http.response.body"}], "0", b""),
        ([start(), body(b"x" * 300_000)], "300000", b"x" * 300_000),
        ([start(204), body(b"dropped")], None, b""),
        ([start(304, (b"content-length", b"9")), body(b"dropped")], "9", b""),
        ([start(200, (b"x-a", b"1"), (b"x-a", b"2")), body()], "0", b""),
    ],
)
def test_responses(
    lab: Lab, wire: Wire, messages: list[Message], length: str | None, content: bytes
) -> None:
    async def main() -> None:
        async with client_of(lab, wire, responding(*messages)) as client:
            for _ in range(2):
                response, found = await ask(client)
                assert response.code == messages[0]["status"]
                assert found == content
                if length != "0":
                    assert value(response, "content-length") == length

    lab.run(main())


@pytest.mark.parametrize(
    ("messages", "length"),
    [
        ([start(200, (b"content-length", b"5")), body(b"hello")], "5"),
        ([start(200, (b"content-length", b"5")), body(b"")], "5"),
        ([start(), body(b"he", True), body(b"llo")], None),
    ],
)
def test_head_has_no_body(
    lab: Lab, wire: Wire, messages: list[Message], length: str | None
) -> None:
    async def main() -> None:
        async with client_of(lab, wire, responding(*messages)) as client:
            for _ in range(2):
                response, content = await ask(client, "HEAD")
                assert content == b"" and value(response, "content-length") == length

    lab.run(main())


@CLEAR
def test_the_head_does_not_wait_for_the_body(lab: Lab, wire: Wire) -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"x-early", b"1")))
        await proceed.wait()
        await send(body(b"late"))

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            response = await asyncio.wait_for(client.request("GET", "/"), 5)
            assert value(response, "x-early") == "1"
            proceed.set()
            assert await response.payload.read() == b"late"

    lab.run(main())


@CLEAR
def test_an_application_may_change_the_fields_that_it_has_sent(lab: Lab, wire: Wire) -> None:
    """Fields are compared with those of the response before, by identity."""
    pair: Any = [b"x-list", b"0"]
    fields: list[Any] = [(b"x-a", b"1"), (b"content-length", b"3"), pair]
    message = {"type": "http.response.start", "status": 200, "headers": fields}

    async def main() -> None:
        async with client_of(lab, wire, responding(message, body(b"abc"))) as client:

            async def told(*names: str) -> list[str | None]:
                response, content = await ask(client)
                assert content == b"abc"
                return [value(response, name) for name in names]

            for _ in range(3):
                assert await told("x-a", "x-list", "content-length") == ["1", "0", "3"]
            pair[1] = b"1"
            assert await told("x-a", "x-list") == ["1", "1"]
            fields[2] = (b"x-b", b"2")
            for _ in range(3):
                assert await told("x-a", "x-list", "x-b") == ["1", None, "2"]
            fields[0] = (b"x-a", b"3")
            assert await told("x-a", "x-b") == ["3", "2"]
            fields.append((b"x-c", b"4"))
            for _ in range(3):
                assert await told("x-a", "x-b", "x-c") == ["3", "2", "4"]
            fields.clear()
            for _ in range(3):
                assert await told("x-a", "content-length") == [None, "3"]

    lab.run(main())


def test_fields_that_recur_mean_the_same_in_both_protocols(lab: Lab) -> None:
    """Those that depend on the protocol are among constants of the application."""
    constants = [(b"x-a", b"1"), (b"connection", b"close"), (b"set-cookie", b"a=b")]
    chunks = [(b"x-a", b"1"), (b"transfer-encoding", b"chunked")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = chunks if scope["path"] == "/chunks" else constants
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(body(b"abc"))

    async def main() -> None:
        for _ in range(3):
            for wire in (HTTP1, HTTP2):
                async with client_of(lab, wire, app) as client:
                    for _ in range(2):
                        response, content = await ask(client, path="/chunks")
                        assert (value(response, "x-a"), content) == ("1", b"abc")
                        length = value(response, "content-length")
                        assert length == ("3" if wire.http2 else None)
                    response, content = await ask(client)
                    assert value(response, "set-cookie") == "a=b"
                    assert content == b"abc"  # HTTP/2 would refuse a `connection` field
                    if not wire.http2:
                        await asyncio.wait_for(client.wait_closed(), 5)

    lab.run(main())


@CLEAR
def test_a_content_length_that_recurs_is_kept_to(lab: Lab, wire: Wire) -> None:
    constants = [(b"content-length", b"3")]
    bodies = [b"abc", b"abc", b"abc", b"abcd", b"ab", b"abc"]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": constants})
        await send(body(bodies[int(scope["path"][1:])]))

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            for number, content in enumerate(bodies):
                response, got = await ask(client, path=f"/{number}")
                assert response.code == (200 if len(content) == 3 else 500)
                assert got == (content if len(content) == 3 else b"Internal Server Error")

    lab.run(main())


def test_fields_that_frame_are_the_servers(lab: Lab, wire: Wire) -> None:
    """HTTP/2 has none of these; in HTTP/1.1, transfer-encoding asks for chunks."""
    fields = [(b"transfer-encoding", b"chunked"), (b"keep-alive", b"timeout=5")]

    async def main() -> None:
        async with client_of(lab, wire, responding(start(200, *fields), body(b"abc"))) as client:
            response, content = await ask(client)
            assert content == b"abc"
            if not wire.http2:
                assert value(response, "content-length") is None

    lab.run(main())


def test_trailers(lab: Lab, wire: Wire) -> None:
    messages: list[Message] = [
        start(200, (b"trailer", b"x-a, x-b"), trailers=True),
        body(b"data"),
        {"type": "http.response.trailers", "headers": [(b"x-a", b"1")], "more_trailers": True},
        {"type": "http.response.trailers", "headers": [(b"x-b", b"2")]},
    ]

    async def main() -> None:
        async with client_of(lab, wire, responding(*messages)) as client:
            response, content = await ask(client)
            assert content == b"data"
            assert response.trailers == [("x-a", "1"), ("x-b", "2")]

    lab.run(main())


def test_early_hints(lab: Lab, wire: Wire) -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]}

    async def main() -> None:
        async with client_of(lab, wire, responding(hint, start(), body(b"x"))) as client:
            response, _ = await ask(client)
            assert response.informational == [
                (103, [("link", "</a.css>; rel=preload"), ("link", "</b.js>")])
            ]

    lab.run(main())


def test_push(lab: Lab) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            assert "http.response.push" in scope["extensions"]
            await send(
                {"type": "http.response.push", "path": "/pushed", "headers": [(b"x-a", b"1")]}
            )
        await send(start())
        await send(body(scope["path"].encode()))

    async def main() -> None:
        async with client_of(lab, HTTP2, app) as client:
            response = await client.request("GET", "/")
            async for push in response.pushed:
                assert push.path == "/pushed" and ("x-a", "1") in push.headers
                pushed = await push.response
                assert await pushed.payload.read() == b"/pushed"
            assert await response.payload.read() == b"/"

    lab.run(main())


@pytest.mark.parametrize("head", [False, True])
def test_files(lab: Lab, wire: Wire, tmp_path: Path, head: bool) -> None:
    content = bytes(range(256)) * 2_000
    path = tmp_path / "file"
    path.write_bytes(content)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        if scope["path"] == "/path":
            await send({"type": "http.response.pathsend", "path": str(path)})
            return
        with path.open("rb") as file:
            part = {"type": "http.response.zerocopysend", "file": file}
            if scope["path"] == "/file":
                await send(part)
            else:
                await send({**part, "offset": 10, "count": 20, "more_body": True})
                file.seek(len(content) - 5)
                await send({**part, "more_body": True})
                await send(body(b"end"))

    async def main() -> None:
        parts = content[10:30] + content[-5:] + b"end"
        async with client_of(lab, wire, app) as client:
            for name, expected in (("/path", content), ("/file", content), ("/parts", parts)):
                response, found = await ask(client, "HEAD" if head else "GET", name)
                assert response.code == 200
                assert found == (b"" if head else expected)

    lab.run(main())


def test_an_application_waits_for_a_slow_client(lab: Lab, wire: Wire) -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(400):
            await send(body(b"x" * 65_536, True))
            sent += 65_536
        await send(body())

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            response = await client.request("GET", "/")
            held = -1
            while held != sent:
                held = sent
                await asyncio.sleep(0.3)
            assert 0 < sent < 400 * 65_536
            total = 0
            while data := await response.payload.read(262_144):
                total += len(data)
            assert total == 400 * 65_536

    lab.run(main())


# -- what goes wrong -------------------------------------------------------------------------------


class Refused:
    """Runs an application that does something wrong at the end; keeps what that raised."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.messages[:-1]:
            await send(message)
        try:
            await send(self.messages[-1])
        except Exception as error:
            self.error = error
            raise


LENGTH_2 = start(200, (b"content-length", b"2"))

#: What is sent last is wrong; the error, and what the client sees: a status, a reset, or all of it.
WRONG: list[tuple[list[Message], type[Exception], str, int | None]] = [
    ([body()], RuntimeError, "http.response.start", 500),
    ([start(), start()], RuntimeError, "http.response.body", 500),
    ([start(), body(), body()], RuntimeError, "http.response.body", 200),
    ([start(), body(), start()], RuntimeError, "http.response.start", 200),
    ([{"type": "http.nonsense"}], RuntimeError, "http.nonsense", 500),
    ([{"type": "websocket.accept"}], RuntimeError, "websocket.accept", 500),
    ([start(100)], ValueError, "http.response.start", 500),
    ([start(), {"type": "http.response.trailers"}], RuntimeError, "trailers", 500),
    ([LENGTH_2, body(b"abc")], RuntimeError, "http.response.body", 500),
    ([LENGTH_2, body(b"a")], RuntimeError, "http.response.body", 500),
    ([LENGTH_2, body(b"a", True), body()], RuntimeError, "http.response.body", None),
    ([start(200, (b"content-length", b"x"))], ValueError, "content-length", 500),
    ([start(200, (b"bad name", b"x")), body()], RuntimeError, "bad name", 500),
    ([start(200, (b"x", b"a\r\nb: c")), body()], RuntimeError, "x", 500),
    ([start(200, ("x", "y"))], TypeError, "bytes", 500),  # type: ignore[arg-type]  # wrong
    ([start(), {"type": "http.response.body", "body": "x"}], TypeError, "bytes-like", 500),
    ([start(), {"type": "http.response.pathsend", "path": "x"}], ValueError, "absolute", 500),
    ([{}], KeyError, "type", 500),
]


@CLEAR
@pytest.mark.parametrize(("messages", "kind", "text", "status"), WRONG)
def test_mistakes_of_applications(
    lab: Lab,
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    messages: list[Message],
    kind: type[Exception],
    text: str,
    status: int | None,
) -> None:
    """They get an error that names the message; the client never takes less for the whole."""
    app = Refused(*messages)

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            try:
                response, _ = await ask(client)
            except cno.ConnectionError:
                assert status is None
            else:
                assert response.code == status
        assert isinstance(app.error, kind) and text in str(app.error)

    with caplog.at_level(logging.ERROR, "cno.asgi"):
        lab.run(main())
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None


@CLEAR
def test_too_much_after_all_of_it(lab: Lab, wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """In HTTP/1.1 the client has all that was announced by then."""
    app = Refused(LENGTH_2, body(b"ab", True), body(b"c"))

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            try:
                _, content = await ask(client)
            except cno.ConnectionError:
                assert wire.http2
            else:
                assert content == b"ab" and not wire.http2
        assert isinstance(app.error, RuntimeError)

    lab.run(main())
    assert "longer than the content-length" in caplog.text


@CLEAR
@pytest.mark.parametrize(
    ("messages", "status"),
    [([], 500), ([start()], 500), ([start(), body(b"x", True)], None)],
)
def test_applications_that_return_too_early(
    lab: Lab,
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    messages: list[Message],
    status: int | None,
) -> None:
    async def main() -> None:
        async with client_of(lab, wire, responding(*messages)) as client:
            try:
                response, _ = await ask(client)
            except cno.ConnectionError:
                assert status is None
            else:
                assert response.code == status

    with caplog.at_level(logging.ERROR, "cno.asgi"):
        lab.run(main())
    assert "ASGI callable returned without" in caplog.text
    assert "(Was an `await` of `send` forgotten?)" in caplog.text


@pytest.mark.parametrize("wire", [HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS], ids=str)
def test_a_connection_survives_a_failure(
    lab: Lab, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fail":
            raise LookupError("of the application")
        await send(start())
        await send(body(b"fine"))

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            for path, status, content in (
                ("/", 200, b"fine"),
                ("/fail", 500, b"Internal Server Error"),
                ("/", 200, b"fine"),
            ):
                response, found = await ask(client, path=path)
                assert (response.code, found) == (status, content)

    with caplog.at_level(logging.ERROR, "cno.asgi"):
        lab.run(main())
    assert "LookupError: of the application" in caplog.text
