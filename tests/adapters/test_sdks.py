"""The SDKs of OpenAI (on httpx) and Anthropic (on httpx2), unchanged: a server streams events."""

import json
from collections.abc import AsyncIterator, Mapping

import httpx
import httpx2
import pytest

import cno.httpx
import cno.httpx2
from cno import aio
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire

WORDS = ["The", " answer", " is", " 42"]


def chunk(word: str) -> str:
    delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    return json.dumps(
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [delta],
        }
    )


async def events(path: str) -> AsyncIterator[bytes]:
    if path.endswith("/messages"):
        start = {
            "type": "message_start",
            "message": {
                "id": "1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
            },
        }
        block = {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        }
        yield event(start) + event(block)
        for word in WORDS:
            delta = {"type": "text_delta", "text": word}
            yield event({"type": "content_block_delta", "index": 0, "delta": delta})
        yield event({"type": "content_block_stop", "index": 0}) + event({"type": "message_stop"})
        return
    for word in WORDS:
        yield f"data: {chunk(word)}\n\n".encode()
    yield b"data: [DONE]\n\n"


def event(data: Mapping[str, object]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


async def handler(request: aio.Request) -> None:
    asked = json.loads(await request.payload.read())
    assert asked["stream"] is True
    await request.respond(200, [("content-type", "text/event-stream")], events(request.path))


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_openai(lab: Lab, wire: Wire) -> None:
    openai = pytest.importorskip("openai")

    async def main() -> None:
        async with lab.serving(wire, handler) as url:
            transport = cno.httpx.AsyncTransport(http1=not wire.http2)
            async with httpx.AsyncClient(transport=transport) as http_client:
                client = openai.AsyncOpenAI(
                    api_key="k", base_url=url + "/v1", http_client=http_client
                )
                stream = await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "?"}], stream=True
                )
                words = [each.choices[0].delta.content async for each in stream]
                assert words == WORDS

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_anthropic(lab: Lab, wire: Wire) -> None:
    anthropic = pytest.importorskip("anthropic")

    async def main() -> None:
        async with lab.serving(wire, handler) as url:
            transport = cno.httpx2.AsyncTransport(http1=not wire.http2)
            async with httpx2.AsyncClient(transport=transport) as http_client:
                client = anthropic.AsyncAnthropic(
                    api_key="k", base_url=url, http_client=http_client
                )
                async with client.messages.stream(
                    model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}]
                ) as stream:
                    words = [text async for text in stream.text_stream]
                assert words == WORDS

    lab.run(main())
