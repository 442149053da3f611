"""The modules that a command loads before it does anything, and what makes its start cheap.

Modules are counted, not milliseconds: those are the same on a busy machine.
"""

import gc
import inspect
import json
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from cno.cli.app import collect_again
from cno.cli.connecting import BatchObject
from cno.cli.deferred import PIPES, defer, get_annotations
from cno.cli.values import Values, fresh
from tests.cli.commands import answering
from tests.tree import ROOT

#: What takes long to import, and what a plain fetch can do without.
SLOW = {
    *("ast", "dis", "email", "http", "json", "pathlib", "shutil", "urllib.parse"),
    *("locale", "textwrap", "tokenize"),  # of subprocess and traceback
    *("click", "rich", "pygments", "cno.trace", "cno.aio.public", "cno.aio.server", "cno.asgi"),
}

LOADED = """
import sys
before = set(sys.modules)  # what an environment loads at every start
from cno.__main__ import main
try:
    main()
except SystemExit as end:
    status = end.code
found = sorted(set(sys.modules) - before)
import gc, json
print(json.dumps([status, found, gc.isenabled()]), file=sys.stderr)
"""


@pytest.mark.slow
def test_a_fetch_loads_nothing_that_it_does_not_need() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi") as url:
        out = subprocess.run(
            [sys.executable, "-c", LOADED, "get", "-s", url],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert out.stdout == "hi", out.stderr
    status, modules, collects = json.loads(out.stderr)
    assert status == 0
    assert SLOW & set(modules) == set()
    assert collects


def test_garbage_is_collected_in_other_programs() -> None:
    """`run_app` within a program freezes nothing of it."""
    before = gc.get_freeze_count()
    collect_again()
    assert gc.get_freeze_count() == before
    assert gc.isenabled()


# -- modules on demand ---------------------------------------------------------------------------


def test_a_deferred_module_is_loaded_by_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    defer("colorsys")
    import colorsys

    assert "rgb_to_hsv" not in vars(colorsys)
    with pytest.raises(AttributeError, match="__wrapped__"):
        colorsys.__wrapped__  # type: ignore[attr-defined]  # noqa: B018  # it has none
    assert colorsys.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert "rgb_to_hsv" in vars(colorsys)
    with pytest.raises(AttributeError, match="nothing"):
        colorsys.nothing  # type: ignore[attr-defined]  # noqa: B018  # it has none
    loaded = sys.modules["colorsys"]
    defer("colorsys")
    assert sys.modules["colorsys"] is loaded


def test_parts_of_a_deferred_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants and functions are read without loading it; a call loads it."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    defer("colorsys", ["rgb_to_hsv"], {"ONE_SIXTH": 7})
    from colorsys import ONE_SIXTH, rgb_to_hsv

    module = sys.modules["colorsys"]
    assert ONE_SIXTH == 7 and "hsv_to_rgb" not in vars(module)
    assert rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert vars(module)["rgb_to_hsv"] is not rgb_to_hsv
    assert vars(module)["ONE_SIXTH"] == 1 / 6


@pytest.mark.parametrize("use", ["from colorsys import *", "import colorsys; dir(colorsys)"])
def test_all_names_of_a_deferred_module(monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    defer("colorsys")
    exec(use, {})
    assert "hsv_to_rgb" in vars(sys.modules["colorsys"])


def test_threads_use_a_deferred_module_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """None sees a part of it."""
    (tmp_path / "slowly.py").write_text("import time\ntime.sleep(0.05)\nvalue = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    defer("slowly")
    module = sys.modules["slowly"]
    try:
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(getattr, [module] * 8, ["value"] * 8)) == {1}
    finally:
        del sys.modules["slowly"]


def test_annotations_without_inspect() -> None:
    class Old:
        x: "int"

    class New(Old):
        pass

    for owner in (Old, New, type, test_constants_of_deferred_modules, sys):
        assert get_annotations(owner) == inspect.get_annotations(owner)
    assert get_annotations(Old, eval_str=True) == {"x": int}
    with pytest.raises(TypeError):
        get_annotations(1)


def test_constants_of_deferred_modules() -> None:
    assert all(getattr(subprocess, name) == value for name, value in PIPES.items())


# -- fields without a dataclass ------------------------------------------------------------------


class Point(Values):
    x: int
    y: int = 2
    tags: list[str] = fresh(default_factory=list)


class Named(Point):
    name: str = ""


def test_values_are_as_those_of_a_dataclass() -> None:
    point = Point(1)
    assert (point.x, point.y, point.tags) == (1, 2, [])
    assert Point(1).tags is not point.tags
    named = Named(1, y=3, name="a")
    assert vars(named) == {"x": 1, "y": 3, "tags": [], "name": "a"}
    assert vars(named.changed(x=5)) == {"x": 5, "y": 3, "tags": [], "name": "a"}
    assert named.x == 1
    assert Point(1) != Point(1)


@pytest.mark.parametrize(
    ("args", "named", "what"),
    [((), {}, "needs x"), ((1, 2, [], 4), {}, "takes 3 values, not 4"), ((1,), {"z": 1}, "no z")],
)
def test_wrong_values_are_refused(
    args: tuple[object, ...], named: dict[str, object], what: str
) -> None:
    with pytest.raises(TypeError, match=what):
        Point(*args, **named)  # type: ignore[arg-type]  # that is the test


# -- records of TLS ------------------------------------------------------------------------------


class Wire:
    """A TLS client over memory, with a server that writes."""

    def __init__(self) -> None:
        authority = trustme.CA()
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(theirs)
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(ours)
        ours.sslobject_class = BatchObject
        self.to_us, self.to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = ours.wrap_bio(self.to_us, self.to_them, server_hostname="localhost")
        self.server = theirs.wrap_bio(self.to_them, self.to_us, server_side=True)
        waiting: list[ssl.SSLObject] = [self.client, self.server]
        while waiting:
            side = waiting.pop(0)
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)


def test_one_read_returns_all_records_that_are_here() -> None:
    wire = Wire()
    sent = bytes(range(256)) * 300
    wire.server.write(sent)
    assert wire.client.read(262_144) == sent
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.read(262_144)


def test_a_read_returns_no_more_than_it_was_asked_for() -> None:
    wire = Wire()
    wire.server.write(bytes(70_000))
    assert len(wire.client.read(20_000)) == 20_000
    assert len(wire.client.read(262_144)) == 50_000
    room = bytearray(10)
    wire.server.write(b"abc")
    size: object = wire.client.read(10, room)
    assert size == 3
    assert room[:3] == b"abc"


def test_an_error_after_data_is_raised_by_the_next_read() -> None:
    wire = Wire()
    wire.server.write(b"data")
    wire.to_us.write(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record with a false tag
    assert wire.client.read(262_144) == b"data"
    with pytest.raises(ssl.SSLError) as raised:
        wire.client.read(262_144)
    assert not isinstance(raised.value, ssl.SSLWantReadError)


def test_an_end_after_data_is_the_next_read() -> None:
    wire = Wire()
    wire.server.write(b"data")
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.unwrap()  # sends close_notify
    assert wire.client.read(262_144) == b"data"
    assert wire.client.read(262_144) == b""
