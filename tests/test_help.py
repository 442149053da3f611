"""`help()` and `inspect` tell the same of both builds: names, defaults, annotations, docstrings.

Where a compiled build is under test, its sources are described by a process of their own.
"""

import inspect
import json
import os
import pydoc
import subprocess
import sys
import typing
from collections.abc import Iterator
from types import GetSetDescriptorType, ModuleType
from typing import Any

import pytest

import cno
from cno import hpack, raw
from tests.rows import each_row
from tests.tree import ROOT

#: What belongs to Python, or is other than itself in the other build by nature.
OWN = {"__init_subclass__", "__subclasshook__", "__class_getitem__", "__new__", "__init__"}


def public() -> Iterator[tuple[str, Any]]:
    """All public classes and functions, and their public methods and properties."""
    modules: list[ModuleType] = [cno, raw, hpack]
    for module in modules:
        for name in module.__all__:
            found = getattr(module, name)
            if isinstance(found, type) or inspect.isroutine(found):
                yield f"{module.__name__}.{name}", found
            if isinstance(found, type) and found.__module__.startswith("cno."):
                for attribute in dir(found):
                    if attribute not in OWN and is_ours(found, attribute):
                        yield f"{module.__name__}.{name}.{attribute}", getattr(found, attribute)


def is_ours(cls: type, name: str) -> bool:
    """Whether a public attribute, or an asynchronous special one, is defined by the package."""
    if name.startswith("_") and name not in ("__aenter__", "__aexit__", "__anext__"):
        return False
    for base in cls.__mro__:
        if name in vars(base):
            found = getattr(base, name)
            is_property = isinstance(vars(base)[name], property | GetSetDescriptorType)
            known = inspect.isroutine(found) or (is_property and found.__doc__ is not None)
            return base.__module__.startswith("cno.") and known
    return False


def described(found: Any) -> dict[str, Any]:
    """What is promised to be the same."""
    about: dict[str, Any] = {"doc": inspect.getdoc(found)}
    if not inspect.isdatadescriptor(found):
        about["name"] = found.__name__
        about["qualname"] = found.__qualname__
        about["coroutine"] = inspect.iscoroutinefunction(found)
        try:
            signature = inspect.signature(found)
        except ValueError:
            about["signature"] = None  # enumerations
        else:
            about["signature"] = str(signature)
    return about


def everything() -> dict[str, dict[str, Any]]:
    return {name: described(found) for name, found in public()}


@pytest.fixture(scope="module")
def sources() -> dict[str, dict[str, Any]]:
    """The same of the sources."""
    code = "import json; from tests.test_help import everything; print(json.dumps(everything()))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"CNO_PURE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def here() -> dict[str, dict[str, Any]]:
    return everything()


@pytest.mark.slow
def test_the_same_is_told_of_both_builds(
    here: dict[str, dict[str, Any]], sources: dict[str, dict[str, Any]]
) -> None:
    assert list(here) == list(sources)
    assert len(here) > 150
    assert [name for name in here if here[name] != sources[name]] == []


@each_row(
    ("name", "lines"),
    [
        ("cno.Pool", ["method: str", "data: bytes |", "Sends requests to any number of servers"]),
        ("cno.Request", ["code: int", "-> None", "Send the response", "conn"]),
        ("cno.serve", ["port: int | None = None", "mode: int | None = None", "Serve HTTP/2"]),
        (
            "cno.request",
            [
                "Send one request",
                "-> cno.aio.client.pending.Pending[cno.aio.client.connection.Response]",
            ],
        ),
        ("cno.raw.Connection", ["write_data(", "server: bool", "Take bytes from the transport"]),
        ("cno.raw.ErrorCode", ["RFC 9113 section 7"]),
        ("cno.Limits", ["max_concurrent_streams: int | None = 100"]),
    ],
)
def test_help(name: str, lines: list[str]) -> None:
    text = pydoc.plain(pydoc.render_doc(name))
    for line in lines:
        assert line in text


def test_a_coroutine_function_leads_to_its_source() -> None:
    request = cno.Pool.request
    assert inspect.getsource(request).lstrip().startswith("def request(")
    assert request.__module__ == "cno.aio.pool"
    assert request.__annotations__["method"] is str
    returned = typing.get_type_hints(request)["return"]
    assert typing.get_origin(returned) is cno.Pending
    assert typing.get_args(returned) == (cno.Response,)
    bound = inspect.signature(cno.Pool().request)
    assert list(bound.parameters)[:2] == ["method", "url"]


def test_a_method_leads_to_its_source() -> None:
    method = raw.Connection.write_head
    assert typing.get_type_hints(method)["headers"] == list[tuple[str, str]]
    assert method.__module__.startswith("cno.")
    bound = inspect.signature(raw.Connection(server=True).write_head)
    assert "self" not in bound.parameters


@pytest.mark.parametrize("method", [cno.Pool.close, raw.Connection.close, cno.Response.cancel])
def test_a_method_without_its_object_is_refused(method: Any) -> None:
    with pytest.raises(TypeError, match="self"):
        method()


@pytest.mark.skipif(not cno.COMPILED, reason="the sources do not look at what `self` is")
@pytest.mark.parametrize("method", [raw.Connection.close, cno.Response.cancel])
def test_a_method_with_another_object_is_refused(method: Any) -> None:
    with pytest.raises(TypeError):
        method(object())


def test_a_subclass_has_the_signature_of_its_own_constructor() -> None:
    class Own(cno.Pool):
        def __init__(self, size: int) -> None:
            super().__init__(max_connections=size)

    class Same(cno.Pool):
        """Has none."""

    assert str(inspect.signature(Own)) == "(size: int) -> None"
    assert inspect.signature(Same) == inspect.signature(cno.Pool)
    assert Same.__doc__ == "Has none."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("from cno.hpack import Decoder as found", "decode"),
        ("from cno.raw import Connection as found", "write_head"),
        ("from cno.aio import Client as found", "request"),
        ("import cno; found = cno.Client", "request"),
    ],
)
def test_each_way_to_import_a_class_leads_to_its_source(use: str, name: str) -> None:
    """The modules of a name are loaded when it is used, in a process that has used no other."""
    code = f"{use}; from inspect import signature as of; print(of(found)); print(of(found.{name}))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert "self" not in out.stdout.splitlines()[0]
    assert "->" in out.stdout.splitlines()[1]
