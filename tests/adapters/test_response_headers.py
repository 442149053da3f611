"""The headers of responses, which stay text until httpx's own list is needed, look as httpx's."""

import copy
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cno import aio
from cno.adapters.response_headers import LazyHeaders, headers_class
from tests.adapters.kit import Kit
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire

FIELDS = [
    ("date", "Mon, 30 Nov 2026 12:00:00 GMT"),
    ("X-Twice", "1"),
    ("content-type", "text/plain; charset=latin-1"),
    ("x-twice", "2, 3"),
    ("x-empty", ""),
    ("set-cookie", "a=b; Path=/"),
]
GREEK = [*FIELDS, ("x-name", "λόγος")]

Question = Callable[[Any], Any]


def edited(change: Callable[[Any], Any]) -> Question:
    """Return what a change returns, and all that can be seen after it."""

    def answer(headers: Any) -> Any:
        found = change(headers)
        return found, headers.raw, headers.multi_items(), headers["date"], "x-new" in headers

    return answer


def with_latin1(headers: Any) -> Any:
    headers.encoding = "latin-1"
    return headers.get("x-name"), headers.multi_items()


QUESTIONS: dict[str, Question] = {
    "multi_items": lambda headers: headers.multi_items(),
    "raw": lambda headers: headers.raw,
    "items": lambda headers: list(headers.items()),
    "keys": list,
    "values": lambda headers: list(headers.values()),
    "len": len,
    "repr": repr,
    "encoding": lambda headers: headers.encoding,
    "subscript": lambda headers: headers["X-TWICE"],
    "missing": lambda headers: headers["X-Missing"],
    "get": lambda headers: (headers.get("X-Empty"), headers.get("x-none"), headers.get("x", "y")),
    "get_list": lambda headers: headers.get_list("x-twice", split_commas=True),
    "in": lambda headers: ["X-Twice" in headers, "x-none" in headers, "x-name" in headers],
    "name of another type": lambda headers: b"x-twice" in headers,
    "name that is not ASCII": lambda headers: headers["é"],
    "number": lambda headers: headers[1],
    "missing attribute": lambda headers: headers.absent,
    "another encoding": with_latin1,
    "copy()": lambda headers: headers.copy().raw,
    "set": edited(lambda headers: headers.__setitem__("X-Twice", "4")),
    "add": edited(lambda headers: headers.__setitem__("X-New", "4")),
    "delete": edited(lambda headers: headers.__delitem__("X-Twice")),
    "update": edited(lambda headers: headers.update({"x-twice": "5", "x-new": "6"})),
    "pop": edited(lambda headers: headers.pop("x-twice")),
    "setdefault": edited(lambda headers: headers.setdefault("x-empty", "7")),
}


def asked(question: Question, headers: Any) -> Any:
    """Return the answer to a question, or the error that it raises."""
    try:
        return question(headers)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
@pytest.mark.parametrize("fields", [FIELDS, GREEK], ids=["ASCII", "UTF-8"])
def test_same_answers_as_httpx(
    kit: Kit, lab: Lab, wire: Wire, fields: list[tuple[str, str]]
) -> None:
    async def serve(request: aio.Request) -> None:
        await request.respond(200, fields, b"")

    async def main() -> None:
        async with lab.serving(wire, serve) as url:
            transport = kit.transport(lab, wire)

            async def received() -> Any:
                """Headers about which nobody has asked yet."""
                request = kit.httpx.Request("GET", url)
                response = await transport.handle_async_request(request)
                await response.aread()
                return response.headers

            raw = (await received()).raw
            assert (b"x-twice", b"1") in raw
            for name, question in QUESTIONS.items():
                ours, own = await received(), kit.httpx.Headers(raw)
                assert asked(question, ours) == asked(question, own), name
                assert asked(question, ours) == asked(question, own), f"{name}, again"
            assert await received() == kit.httpx.Headers(raw)
            assert kit.httpx.Headers(await received()).raw == raw
            await transport.aclose()

    lab.run(main())


def test_copies_are_of_httpx(kit: Kit, lab: Lab) -> None:
    async def serve(request: aio.Request) -> None:
        await request.respond(200, FIELDS, b"")

    async def main() -> None:
        async with lab.serving(HTTP2, serve) as url, kit.client(lab, HTTP2) as client:
            headers = (await client.get(url)).headers
            assert isinstance(headers, kit.httpx.Headers)
            for again in (
                pickle.loads(pickle.dumps(headers)),
                copy.copy(headers),
                copy.deepcopy(headers),
            ):
                assert type(again) is kit.httpx.Headers
                assert again == headers
                again["date"] = "tomorrow"
                assert headers["date"] == FIELDS[0][1]
            assert client.cookies["a"] == "b"

    lab.run(main())


def test_the_class_makes_headers_as_httpx_does(kit: Kit, lab: Lab) -> None:
    async def serve(request: aio.Request) -> None:
        await request.respond(200, FIELDS, b"")

    async def main() -> None:
        async with lab.serving(HTTP2, serve) as url, kit.client(lab, HTTP2) as client:
            headers = (await client.get(url)).headers
            made, own = type(headers), kit.httpx.Headers
            given: list[Any] = [
                {"X-A": "b"},
                [("X-A", "b")],
                [(b"X-A", b"b")],
                [],
                None,
                own(FIELDS),
            ]
            for each in given:
                for name, question in QUESTIONS.items():
                    assert asked(question, made(each)) == asked(question, own(each)), (each, name)
            assert made().raw == []
            assert made({"a": "λ"}, encoding="utf-8")["a"] == "λ"
            again = made(headers)
            assert again == headers
            assert again["date"] == FIELDS[0][1]

    lab.run(main())


def test_unknown_attributes() -> None:
    """A version of httpx with other private attributes keeps its own class of headers."""

    class Headers:
        def __init__(self, headers: Any) -> None:
            self.pairs = headers

    assert headers_class(SimpleNamespace(Headers=Headers), LazyHeaders) is None
