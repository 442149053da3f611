"""The blocking client raises the same errors as the asyncio client, for the same causes."""

import inspect
import socket
from contextlib import nullcontext
from typing import Any

import pytest

import cno
from cno import sync
from tests.aio.lab import Lab
from tests.aio.test_same_errors import CAUSES
from tests.sync.kit import background


def by_connect(url: str, options: dict[str, Any]) -> object:
    with sync.connect(url, **options) as client:
        return client.request("GET", "/").read()


def by_request(url: str, options: dict[str, Any]) -> object:
    return sync.request("GET", url, **options).read()


def by_pool(url: str, options: dict[str, Any]) -> object:
    with sync.Pool(**options) as pool:
        return pool.request("GET", url).read()


#: Whether the end, or a reset, has come by the time that the request is sent is a matter of time.
RACES = {"closed at once", "closed, HTTP/2"}


@pytest.mark.parametrize("name", sorted(CAUSES.keys() - RACES))
def test_same_error_for_the_same_cause(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cause = CAUSES[name]
    options = dict(cause.options)
    if cause.trusting:
        options["ssl_ctx"] = lab.certs.client()
    resolve(monkeypatch)
    with background(lambda: cause.place(lab, monkeypatch)) as url:
        texts = set()
        for way in (by_connect, by_request, by_pool):
            if cause.proxy is None:
                with pytest.raises(cause.kind) as caught:
                    way(url, options)
            else:
                with background(cause.proxy) as proxy, pytest.raises(cause.kind) as caught:
                    way(url, {**options, "proxy": proxy})
            error: Any = caught.value
            assert cause.text in str(error), str(error)
            assert error.retryable == cause.retryable
            why = error.__cause__
            assert why is None if cause.cause is None else isinstance(why, cause.cause)
            assert not str(error).startswith("[")
            assert type(error) is cause.kind
            texts.add(str(error) if cause.proxy is None else cause.text)
        assert len(texts) == 1, texts


def resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names of tests lead to this machine, or nowhere."""
    real = socket.getaddrinfo

    def find(host: Any, *args: Any, **named: Any) -> Any:
        if host == "cno.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1" if str(host).endswith(".test") else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", find)


@pytest.mark.parametrize("name", sorted(RACES))
def test_races(lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    cause = CAUSES[name]
    proxy = nullcontext() if cause.proxy is None else background(cause.proxy)
    with background(lambda: cause.place(lab, monkeypatch)) as url, proxy as by:
        for way in (by_connect, by_request, by_pool):
            with pytest.raises((cause.kind, cno.ConnectionLostError)):
                way(url, {} if by is None else {"proxy": by})


def test_a_mistake_is_no_missing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **named: Any) -> Any:
        raise LookupError("a resolver with a bug")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for way in (by_connect, by_request, by_pool):
        with pytest.raises(LookupError, match="a bug"):
            way("http://cno.invalid/", {})


def test_a_closed_pool() -> None:
    with sync.Pool() as pool:
        pass
    with pytest.raises(cno.ConnectionError, match="the pool is closed"):
        pool.request("GET", "http://127.0.0.1:1/")


def test_same_arguments() -> None:
    """Every argument of the asyncio client has the same name and default here."""
    for theirs, ours in (
        (cno.Pool, sync.Pool),
        (cno.Pool.request, sync.Pool.request),
        (cno.Client.request, sync.Client.request),
    ):
        found = inspect.signature(ours).parameters
        for name, each in inspect.signature(theirs).parameters.items():
            assert found[name].default == each.default
            assert name == "self" or found[name].kind == each.kind
