"""The lifespan of ASGI applications."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from cno.asgi import Handler, LifespanError
from tests.aio.lab import HTTP1, Lab
from tests.asgi.apps import App, Message, Receive, Scope, Send, body, start


class Recorder:
    """An application that records what it receives, and answers as it was given."""

    def __init__(self, *answers: Message) -> None:
        self.answers = list(answers)
        self.events: list[str] = []
        self.states: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.states.append(scope["state"])
            await send(start())
            await send(body())
            return
        scope["state"]["shared"] = "by all"
        for answer in self.answers:
            self.events.append((await receive())["type"])
            await send(answer)


STARTED: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}


def test_start_and_end(lab: Lab) -> None:
    app = Recorder(STARTED, STOPPED)

    async def main() -> None:
        async with Handler(app) as handler:
            assert app.events == ["lifespan.startup"]
            async with lab.serving(HTTP1, handler) as url:
                async with await lab.connect(HTTP1, url) as client:
                    for _ in range(2):
                        response = await client.request("GET", "/")
                        assert response.code == 200
            assert app.events == ["lifespan.startup"]
        assert app.events == ["lifespan.startup", "lifespan.shutdown"]
        assert app.states == [{"shared": "by all"}] * 2
        assert app.states[0] is not app.states[1]

    lab.run(main())


async def without(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"


async def returning(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


@pytest.mark.parametrize("app", [without, returning])
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_applications_without_a_lifespan(lab: Lab, app: App, mode: str) -> None:
    async def main() -> None:
        async with Handler(app, lifespan=mode):
            pass

    lab.run(main())


def refusing(kind: str) -> Recorder:
    failed = {"type": f"lifespan.{kind}.failed", "message": "no database"}
    return Recorder(failed) if kind == "startup" else Recorder(STARTED, failed)


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("kind", ["startup", "shutdown"])
def test_applications_that_refuse(lab: Lab, mode: str, kind: str) -> None:
    async def main() -> None:
        with pytest.raises(LifespanError, match="no database"):
            async with Handler(refusing(kind), lifespan=mode):
                assert kind == "shutdown"

    lab.run(main())


def test_a_lifespan_that_must_be_there(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with pytest.raises(LifespanError, match="AssertionError"):
            async with Handler(without, lifespan="on"):
                raise AssertionError("it must not start")

    with caplog.at_level(logging.ERROR, "cno.asgi"):
        lab.run(main())
    assert "lifespan of the application failed" in caplog.text


@pytest.mark.parametrize(
    "messages",
    [[STOPPED], [STARTED, STARTED], [{"type": "lifespan.nonsense"}], [{"type": "http.request"}]],
)
def test_messages_in_the_wrong_order(lab: Lab, messages: list[Message]) -> None:
    errors: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            for message in messages:
                await send(message)
        except RuntimeError as error:
            errors.append(error)
            raise

    async def main() -> None:
        try:
            async with Handler(app):
                await asyncio.sleep(0)
        except LifespanError:
            pass
        assert len(errors) == 1 and str(messages[-1]["type"]) in str(errors[0])

    lab.run(main())


def test_arguments() -> None:
    with pytest.raises(ValueError, match="lifespan"):
        Handler(without, lifespan="maybe")
    wrong: Callable[..., Any] = "module:app"  # type: ignore[assignment]  # that is the point
    with pytest.raises(TypeError, match="callable"):
        Handler(wrong)
