"""Constant header lists that are sent repeatedly: recognizing them by identity changes nothing.

Applications build lists once and reuse them. New, equal lists must mean the same.
"""

import pytest

from cno import raw
from tests.support import Pair

CONSTANTS = [("content-type", "text/plain"), ("content-length", "2"), ("server", "some")]


def _answers(pair: Pair, heads: list[list[tuple[str, str]]]) -> list[list[tuple[str, str]]]:
    """What the client gets for these heads, one request each."""
    got = []
    for number, head in enumerate(heads):
        stream = 2 * number + 1
        pair.client.write_head(stream, 0, "GET", "/", [(":authority", "a")], True)
        pair.pump()
        pair.server.write_head(stream, 200, "", "", head, False)
        pair.server.write_data(stream, b"hi", True)
        pair.pump()
        got += [event[-1] for event in pair.client.of("head") if event[1] == stream]
    return got


def test_the_same_objects_and_equal_ones() -> None:
    fresh = [(name, str(value)) for name, value in CONSTANTS]
    heads = [CONSTANTS, CONSTANTS, fresh, CONSTANTS[::-1], [CONSTANTS[2]] * 2, CONSTANTS]
    assert _answers(Pair().start(), heads) == heads


def test_constants_that_others_push_out_of_the_table() -> None:
    wide = [[(f"x-{number}", "v" * 300)] for number in range(20)]
    heads = [CONSTANTS, CONSTANTS, *wide, CONSTANTS, [*wide[0], *CONSTANTS], CONSTANTS]
    assert _answers(Pair().start(), heads) == heads


def test_one_list_pushes_out_what_it_goes_on_with() -> None:
    first = ("x-first", "1" * 100)
    others = [(f"x-{number}", "v" * 900) for number in range(4)]
    heads = [[first], [*others, first], [first]]
    assert _answers(Pair().start(), heads) == heads


def test_a_list_that_is_changed() -> None:
    head = [*CONSTANTS]
    pair = Pair().start()
    assert _answers(pair, [head]) == [CONSTANTS]
    head[0] = ("content-type", "no\nvalue")
    pair.client.write_head(3, 0, "GET", "/", [(":authority", "a")], True)
    pair.pump()
    with pytest.raises(raw.UsageError, match="is no field value"):
        pair.server.write_head(3, 200, "", "", head, False)


def test_a_known_content_length_is_still_one() -> None:
    pair = Pair().start()
    _answers(pair, [CONSTANTS] * 3)
    pair.client.write_head(7, 0, "GET", "/", [(":authority", "a")], True)
    pair.pump()
    with pytest.raises(raw.UsageError, match="two content-length"):
        pair.server.write_head(7, 200, "", "", [CONSTANTS[1], CONSTANTS[1]], False)
    pair.server.write_head(7, 200, "", "", [CONSTANTS[0]], False)
    with pytest.raises(raw.UsageError, match="content-length"):
        pair.server.write_tail(7, [CONSTANTS[1]])
    pair.server.write_tail(7, [CONSTANTS[2]])
    pair.pump()


def test_a_known_authority_is_no_regular_field() -> None:
    pair = Pair().start()
    authority = (":authority", "example.com")
    for stream in (1, 3):
        pair.client.write_head(stream, 0, "GET", "/", [("accept", "*/*"), authority], False)
    pair.pump()
    assert [event[-1][:2] for event in pair.server.of("head")] == [
        [(":scheme", "http"), authority]
    ] * 2
    with pytest.raises(raw.UsageError, match=":authority is not allowed here"):
        pair.client.write_tail(3, [authority])
