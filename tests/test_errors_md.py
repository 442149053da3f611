"""docs/errors.md is true: its trees are those of the code, and its attributes exist."""

import asyncio
import builtins
import importlib
import inspect
import pkgutil
import re
from typing import Any

import pytest

import cno
from cno.errors import ConnectionError, DisconnectError
from tests.rows import each_row
from tests.tree import ROOT

TEXT = ROOT.joinpath("docs", "errors.md").read_text("utf-8")
TREE, CONTENT = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
#: Where public error classes are defined.
MODULES = (
    "cno.errors",
    "cno.aio.errors",
    "cno.aio.client.upgrade_refused",
    "cno.websocket.errors",
    "cno.sync.errors",
    "cno.adapters.errors",
)


def drawn(text: str) -> dict[str, str]:
    """Return the classes of a tree, each with the one above it."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        found[name] = above[depth - 1] if depth else ""
        above[depth:] = [name]
    return found


def defined() -> dict[str, type[BaseException]]:
    """Return the error classes of these modules, but for those that are internal."""
    found: dict[str, type[BaseException]] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for each in vars(module).values():
            if inspect.isclass(each) and issubclass(each, BaseException):
                if each.__module__ == name and not each.__name__.endswith("Fault"):
                    found[each.__name__] = each
    return found


def test_the_tree_of_connection_errors() -> None:
    wanted = {
        name: next((base.__name__ for base in each.__bases__ if base is not TimeoutError), "")
        for name, each in defined().items()
        if issubclass(each, ConnectionError)
    }
    wanted["ConnectionError"] = ""
    assert drawn(TREE) == wanted


def test_errors_of_content() -> None:
    for name in drawn(CONTENT):
        assert not issubclass(getattr(cno, name), builtins.OSError)


def test_nothing_public_is_missing() -> None:
    public = {
        name
        for name in cno.__all__
        if inspect.isclass(found := getattr(cno, name)) and issubclass(found, BaseException)
    }
    assert public <= set(drawn(TREE)) | set(drawn(CONTENT))


@each_row("name", [name for name in drawn(TREE) if name.endswith("TimeoutError")])
def test_errors_of_time_are_timeout_errors(name: str) -> None:
    assert issubclass(defined()[name], TimeoutError)


def test_only_those_are_timeout_errors() -> None:
    late = {name for name, each in defined().items() if issubclass(each, TimeoutError)}
    assert late == {name for name in drawn(TREE) if name.endswith("TimeoutError")}


def test_attributes() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert named == {"retryable", "stream", "code", "rule", "limit", "errno", "__cause__"}
    error = cno.StreamError("text", stream=1, code=8)
    for name in named:
        assert hasattr(error, name)
    assert not hasattr(DisconnectError("text"), "retryable")


def test_what_asyncio_adds_has_retryable() -> None:
    for name in ("cno.aio.errors", "cno.aio.client.upgrade_refused"):
        for each in vars(importlib.import_module(name)).values():
            if (
                inspect.isclass(each)
                and issubclass(each, ConnectionError)
                and each.__module__ == name
            ):
                assert "retryable" in inspect.getattr_static(each, "__annotations__", {}) or any(
                    "retryable" in vars(base).get("__annotations__", {}) for base in each.__mro__
                )


def test_no_module_has_other_connection_errors() -> None:
    for module in pkgutil.iter_modules(cno.aio.__path__, "cno.aio."):
        if module.ispkg or module.name in MODULES:
            continue
        for each in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(each) and issubclass(each, ConnectionError):
                assert each.__module__ in MODULES


def test_the_example() -> None:
    (example,) = re.findall(r"^```python\n(.+?)^```", TEXT, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(example, names)
    fetch = names["fetch"]

    async def answer(request: cno.Request) -> None:
        await request.respond(200 if request.path == "/" else 404, [], b"hi")

    async def main() -> None:
        async with await cno.serve(answer, "127.0.0.1", 0) as server, cno.Pool() as pool:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            assert await fetch(pool, url) == b"hi"
            with pytest.raises(cno.StatusError):
                await fetch(pool, url + "none")
        with pytest.raises(RuntimeError, match="cannot be reached"):
            async with cno.Pool() as pool:
                await fetch(pool, url)

    asyncio.run(main())
