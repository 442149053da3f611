"""`cno.Limits`: what values bounds can have, and that those who take it pass it on."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

import cno
from cno import raw
from cno.limits import Limits, bound
from tests import frames as f
from tests.limits_table import rows
from tests.rows import each_row
from tests.tree import PACKAGE

NAMES = [field.name for field in dataclasses.fields(Limits)]


def test_all_can_be_given_and_are_as_given() -> None:
    defaults = Limits()
    same = Limits(**{name: getattr(defaults, name) for name in NAMES})
    assert same == defaults
    assert dataclasses.replace(defaults, max_pushes=7).max_pushes == 7


def test_repr_tells_what_is_not_as_usual() -> None:
    assert repr(Limits()) == "Limits()"
    text = "Limits(max_pushes=None, allow_obs_fold=True, header_timeout=2.5)"
    changed: Limits = eval(text)
    assert (changed.max_pushes, changed.header_timeout) == (None, 2.5)
    assert repr(changed) == text


def test_it_is_frozen() -> None:
    changed: Any = Limits()
    with pytest.raises((AttributeError, TypeError)):
        changed.max_pushes = 7


@each_row(
    ("name", "value"),
    [
        ("max_pushes", -1),
        ("max_frame_size", 16_383),
        ("max_frame_size", 16_777_216),
        ("initial_window_size", 1 << 31),
        ("connection_window", 1 << 31),
        ("header_table_size", 1 << 32),
        ("max_concurrent_streams", 1 << 32),
        ("header_timeout", -0.5),
        ("header_timeout", float("nan")),
        ("header_timeout", float("inf")),
        ("glitch_rate", -1.0),
    ],
)
def test_values_that_no_bound_has(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        Limits(**given)


@each_row(
    ("name", "value"),
    [
        ("max_pushes", "7"),
        ("max_pushes", 7.5),
        ("max_frame_size", None),
        ("glitch_rate", None),
        ("linger_timeout", "soon"),
        ("allow_bare_lf", None),
    ],
)
def test_values_of_other_types(name: str, value: Any) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(TypeError):
        Limits(**given)


def test_whole_seconds_are_seconds() -> None:
    assert Limits(header_timeout=5, glitch_rate=3).header_timeout == 5


def test_none_is_no_bound() -> None:
    assert bound(None) > 1 << 60
    assert bound(7) == 7


def test_each_has_a_comment_of_its_own() -> None:
    found = rows(Path(PACKAGE, "limits.py").read_text("utf-8"))
    assert [name for _, name, _, _ in found] == NAMES
    comments = [comment for _, _, _, comment in found]
    assert all(comments) and len(set(comments)) == len(comments)


async def handle(request: cno.Request) -> None:
    await request.respond(200, [], b"")


def test_all_take_it() -> None:
    limits = Limits(max_header_list_size=7_000)

    async def made() -> list[raw.Connection | cno.Server | cno.Client]:
        loop = asyncio.get_running_loop()
        cno.Pool(limits=limits)
        async with await cno.serve(handle, "127.0.0.1", 0, limits=limits):
            pass
        server = cno.Server(loop, handle, limits=limits)
        client = cno.Client("example.com", "http", limits=limits)
        return [raw.Connection(True, limits=limits), server, client]

    for each in asyncio.run(made()):
        assert each.local_settings.max_header_list_size == 7_000


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...

    def abort(self) -> None: ...


async def announced(server: bool, limits: Limits | None) -> list[Any]:
    """What a connection of the asyncio layer says first, but for what it acknowledges."""
    conn: cno.Server | cno.Client
    if server:
        conn = cno.Server(handle, limits=limits)
    else:
        conn = cno.Client("cno.test", "http", force_http2=True, limits=limits)
    transport = Transport()
    conn.connection_made(transport)
    if server:
        conn.data_received(f.PREFACE + f.FrameFactory().settings())
    await asyncio.sleep(0)
    conn.abort()
    conn.connection_lost(None)
    told: list[Any] = []
    for frame in f.parse_frames(transport.written):
        if frame.type == f.SETTINGS:
            told += frame.settings
        elif frame.type == f.WINDOW_UPDATE:
            told.append(("window", frame.increment))
    return told


#: What a field changes of that.
ANNOUNCED: dict[str, Any] = {
    "max_concurrent_streams": f.MAX_CONCURRENT_STREAMS,
    "initial_window_size": f.INITIAL_WINDOW_SIZE,
    "connection_window": "window",
    "max_frame_size": f.MAX_FRAME_SIZE,
    "max_header_list_size": f.MAX_HEADER_LIST_SIZE,
    "header_table_size": f.HEADER_TABLE_SIZE,
    "max_pushes": f.ENABLE_PUSH,
}


@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
def test_a_limit_changes_no_other(server: bool) -> None:
    """Most of all, none leaves a connection without the windows that its layer has by default."""

    async def main() -> None:
        usual = await announced(server, None)
        assert (f.INITIAL_WINDOW_SIZE, 262_144 if server else 1_048_576) in usual
        assert ("window", (1_048_576 if server else 8_388_608) - 65_535) in usual
        for field in dataclasses.fields(Limits):
            before = getattr(Limits(), field.name)
            value: Any = None
            if isinstance(before, bool):
                value = not before
            elif before is not None:
                value = before + before // 2 + 1
            elif field.name in ANNOUNCED:
                value = 300_000
            changed = await announced(server, Limits(**{field.name: value}))
            different = {name for name, _ in set(usual) ^ set(changed)}
            assert different <= {ANNOUNCED.get(field.name)}, field.name

    asyncio.run(main())


@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
def test_windows_that_are_given_are_kept(server: bool) -> None:
    """Also those that another layer has by default."""

    async def main() -> None:
        for size in (65_535, 262_144, 1_048_576):
            limits = Limits(initial_window_size=size, connection_window=size)
            told = dict(await announced(server, limits))
            assert told.get(f.INITIAL_WINDOW_SIZE, 65_535) == size
            assert told.get("window", 0) == size - 65_535

    asyncio.run(main())
    conn = raw.Connection(server, limits=Limits(body_timeout=None))
    assert conn.local_settings.initial_window_size == 65_535


def test_windows_survive_a_replacement() -> None:
    async def main() -> None:
        first = dataclasses.replace(Limits(), body_timeout=None)
        second = dataclasses.replace(first, header_timeout=None)
        assert await announced(True, second) == await announced(True, None)
        assert await announced(False, second) == await announced(False, None)

    asyncio.run(main())
