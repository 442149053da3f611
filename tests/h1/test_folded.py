"""Folded fields, where they are let pass: how long what they unfold to may be."""

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import answering
from tests.support import Recorder, play

LIMITS = Limits(allow_obs_fold=True, max_line_size=50)
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


def make() -> Recorder:
    return answering(LIMITS)


def test_a_line_that_goes_on() -> None:
    conn = play(make, HEAD + b"X: a\r\n b\r\n\tc\r\n\r\n")
    assert conn.error is None
    assert conn.of("head")[0][5][-1] == ("x", "a b c")


@pytest.mark.parametrize(
    "lines",
    [
        b"X: " + b"a" * 60 + b"\r\n b\r\n",
        b"X: a\r\n " + b"b" * 60 + b"\r\n",
        b"X: a\r\n " + b"b" * 60,
        b"X: a\r\n" + b" bcdefghi\r\n" * 6,
    ],
)
def test_lines_that_go_on_for_too_long(lines: bytes) -> None:
    conn = play(make, HEAD + lines + b"\r\n")
    assert isinstance(conn.error, raw.ProtocolError)
    assert conn.error.code == 431
