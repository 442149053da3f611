"""The corpus of responses: some must end a client's connection, others are only unusual.

Each input is given whole, byte by byte and cut in two everywhere. Nothing is written because of it,
and no data that is forged after a response is delivered.
"""

import pytest

from cno import raw
from tests.h1.wire import SMUGGLED, asked, closed
from tests.security.splitting import GROUPS, REFUSED, REFUSED_CHUNKS, VALID, Bad
from tests.support import CUT_BELOW, Event, play


def check_refused(bad: Bad) -> None:
    conn = play(lambda: asked(bad.method), bad.data)
    assert isinstance(conn.error, raw.ProtocolError), f"accepted: {conn.events}"
    assert tuple(e[2] for e in conn.of("head")) == bad.heads
    data = b"".join(e[2] for e in conn.of("data"))
    assert conn.of("tail") == ([("tail", 1, None)] if bad.whole else [])
    if bad.whole:
        assert data == bad.body
    assert b"forged" not in data
    assert conn.take() == b""
    closed(conn)
    assert conn.of("head")[len(bad.heads) :] == []


@pytest.mark.parametrize("name", REFUSED)
def test_e01_e02_e03_e04_e09_e10_e18_e21_split(name: str) -> None:
    check_refused(REFUSED[name])


@pytest.mark.parametrize("name", REFUSED_CHUNKS)
def test_e05_e06_e07_e12_chunks(name: str) -> None:
    check_refused(REFUSED_CHUNKS[name])


@pytest.mark.parametrize("name", VALID)
def test_e01_e02_e04_e18_e21_honest(name: str) -> None:
    want = VALID[name]
    conn = play(lambda: asked(want.method), want.data)
    assert conn.error is None, conn.error
    if want.until_close:
        assert conn.of("tail") == []
        conn.connection_lost()
    data: list[Event] = [("data", 1, want.body)] if want.body else []
    heads = conn.of("head")
    assert tuple(h[2] for h in heads[:-1]) == want.interim
    assert heads[-1] == ("head", 1, want.code, "", "", want.fields)
    assert conn.of("data") == data
    assert conn.of("tail") == [("tail", 1, want.trailers)]
    assert conn.take() == b""


def test_e21_the_corpus_is_long_enough() -> None:
    assert len(REFUSED) == sum(len(group.responses) for group in GROUPS), "two of one name"
    assert len(REFUSED) >= 100
    assert len(VALID) >= 40
    sizes = [len(e.data) for e in REFUSED.values()] + [len(e.data) for e in VALID.values()]
    assert max(sizes) + len(SMUGGLED) < CUT_BELOW, "not cut everywhere"
