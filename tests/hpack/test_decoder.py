"""The decoder: text, fields, limits. Arbitrary bytes only raise the documented errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mypy_extensions import i64

from cno.hpack import Decoder, Examiner, HeaderListTooLarge, HPACKError, NeverIndexed
from tests.hpack.test_huffman import encoded
from tests.hpack.wire import (
    NEVER_INDEXED,
    WITHOUT_INDEXING,
    Pairs,
    huffman,
    indexed,
    literal,
    size_update,
)
from tests.rows import each_row

# -- text ------------------------------------------------------------------------------------------

TEXTS = [
    b"",
    b"a",
    b"plain",
    "grün".encode(),
    "日本語".encode(),
    "\U0001f600".encode(),
    b"\xff\xfe",
    b"latin \xe9",
    b"cut \xe6\x97",
    b"\x00\x01\x7f",
    bytes(range(256)),
]


def text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


@each_row("octets", TEXTS)
@each_row("is_coded", [False, True])
def test_text_of_any_octets(octets: bytes, is_coded: bool) -> None:
    """UTF-8, and other octets by way of surrogateescape; its size is that of the octets."""
    decoder = Decoder()
    if is_coded:
        block = b"\x40" + huffman(encoded(octets)) * 2
    else:
        block = literal(octets, octets)
    assert decoder.decode(block) == [(text(octets), text(octets))]
    assert decoder.list_size == decoder.table_size == 2 * len(octets) + 32
    assert decoder.decode(indexed(62)) == [(text(octets), text(octets))]


def test_text_of_one_field_has_no_say_in_another() -> None:
    block = literal(b"a", b"\xff") + literal("ä".encode(), b"plain") + literal(b"b", "日".encode())
    assert Decoder().decode(block) == [("a", "\udcff"), ("ä", "plain"), ("b", "日")]


def test_names_by_reference_to_fields_of_the_same_block() -> None:
    """Also to a field whose own name is by reference, and whose name is not ASCII."""
    block = literal("ä".encode(), b"1") + literal(62, b"2") + literal(62, b"3")
    assert Decoder().decode(block) == [("ä", "1"), ("ä", "2"), ("ä", "3")]
    block = literal(4, b"/1") + literal(62, b"/2") + indexed(63)
    assert Decoder().decode(block) == [(":path", "/1"), (":path", "/2"), (":path", "/1")]


def test_names_by_reference_to_earlier_blocks() -> None:
    decoder = Decoder()
    decoder.decode(literal("ä".encode(), b"1"))
    assert decoder.decode(literal(62, b"2")) == [("ä", "2")]
    assert decoder.decode(literal(62, b"3") + indexed(64)) == [("ä", "3"), ("ä", "1")]


# -- fields ----------------------------------------------------------------------------------------


def test_part_of_a_buffer() -> None:
    block = literal(b"name", b"value") + indexed(62)
    buffer = b"\x80before" + block + b"\x80after"
    pairs = Decoder().decode_fields(buffer, 7, 7 + len(block))[0]
    assert pairs == [("name", "value")] * 2
    assert pairs[0] is pairs[1]


def test_a_string_may_not_reach_beyond_the_part() -> None:
    block = literal(b"name", b"value")
    with pytest.raises(HPACKError, match="a string of 5 bytes where 4 are left"):
        Decoder().decode_fields(block + b"more", 0, len(block) - 1)


class Lengths(Examiner):
    """Finds a field's value to be so long; remembers what it was asked.

    13 at most: 14 is `UNTRIMMED`.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        super().__init__()
        self.asked.clear()

    def examine(self, name: str, value: str) -> i64:
        self.asked.append((name, value))
        return min(len(value), 13)


def examined(decoder: Decoder, block: bytes) -> list[tuple[tuple[str, str], int]]:
    pairs, verdicts = decoder.decode_fields(block, 0, len(block))
    return list(zip(pairs, verdicts.getvalue(), strict=True))


def test_fields_are_examined_once() -> None:
    """What a table holds keeps its verdict; what none holds is examined whenever it comes."""
    examiner = Lengths()
    decoder = Decoder(examiner=examiner)
    loose = literal(b"loose", b"1", WITHOUT_INDEXING)
    block = literal(b"name", b"value") + indexed(2) + indexed(62) + loose + literal(62, b"")
    found = [("name", "value"), (":method", "GET"), ("name", "value"), ("loose", "1"), ("name", "")]
    assert examined(decoder, block) == list(zip(found, [5, 3, 5, 1, 0], strict=True))
    assert examiner.asked == [("name", "value"), ("loose", "1"), ("name", "")]
    examiner.asked.clear()
    block = indexed(63) + loose + indexed(62)
    assert [verdict for _, verdict in examined(decoder, block)] == [5, 1, 0]
    assert examiner.asked == [("loose", "1")]
    assert decoder.decode(literal(b"more", b"12")) == [("more", "12")]
    assert examined(decoder, indexed(62)) == [(("more", "12"), 2)]


def test_verdicts_of_what_leaves_at_once() -> None:
    """An entry that others have pushed out, by the end of its block, and one that comes again."""
    decoder = Decoder(80, examiner=Lengths())
    one, two = literal(b"a", b"1"), literal(b"b", b"22")
    assert [verdict for _, verdict in examined(decoder, one + two + indexed(62) * 2)] == [
        1,
        2,
        2,
        2,
    ]
    block = one + two + one + indexed(63) + indexed(62)
    assert [verdict for _, verdict in examined(decoder, block)] == [1, 2, 1, 2, 1]
    assert [verdict for _, verdict in examined(decoder, indexed(62) + indexed(63))] == [1, 2]


def test_verdicts_of_a_list_that_is_cut() -> None:
    decoder = Decoder(max_list_size=80, examiner=Lengths())
    block = literal(b"a", b"1") + indexed(62) + literal(b"b", b"22") + literal(62, b"333")
    assert examined(decoder, block) == [(("a", "1"), 1), (("a", "1"), 1)]
    assert decoder.too_large
    block = indexed(62) + indexed(63)
    assert examined(decoder, block) == [(("b", "333"), 3), (("b", "22"), 2)]


def test_what_is_neither_listed_nor_held_is_not_examined() -> None:
    """It may cost two octets each, and has a name that takes all of the table."""
    examiner = Lengths()
    decoder = Decoder(max_list_size=5000, examiner=examiner)
    name = "a" * 4000
    block = literal(name.encode(), b"1") + literal(62, b"12") * 1000 + literal(62, b"123")
    assert examined(decoder, block) == [((name, "1"), 1)]
    assert decoder.too_large
    assert examiner.asked == [(name, "1"), (name, "123")]
    assert examined(decoder, indexed(62)) == [((name, "123"), 3)]


@pytest.mark.parametrize("verdict", [-1, 15, 16, 300])
def test_no_verdict(verdict: int) -> None:
    class Wrong(Examiner):
        def examine(self, name: str, value: str) -> i64:
            return verdict if name == "wrong" else 0

    decoder = Decoder(examiner=Wrong())
    with pytest.raises(ValueError, match=f"^{verdict} is no verdict"):
        decoder.decode(literal(b"wrong", b""))


def test_no_examiner() -> None:
    """Nobody has an opinion on anything."""
    block = literal(b"name", b"value") + indexed(2)
    pairs = [("name", "value"), (":method", "GET")]
    assert examined(Decoder(examiner=Examiner()), block) == [(pair, 0) for pair in pairs]
    found, verdicts = Decoder().decode_fields(block, 0, len(block))
    assert (found, verdicts.getvalue()) == (pairs, b"")


def test_never_indexed() -> None:
    block = literal(b"name", b"value", NEVER_INDEXED) + literal(b"name", b"value")
    first, second = Decoder().decode(block)
    assert (type(first), type(second)) == (NeverIndexed, tuple)
    assert first == second
    assert repr(first) == "NeverIndexed(('name', 'value'))"


def test_a_tuple_of_its_own() -> None:
    """Not what the table holds, but equal to it; unpacked as any other."""
    ((name, value),) = Decoder().decode(literal(b"name", b"value", NEVER_INDEXED))
    assert (name, value) == ("name", "value")


def test_empty_block() -> None:
    decoder = Decoder()
    assert decoder.decode(b"") == []
    assert (decoder.list_size, decoder.field_count, decoder.too_large) == (0, 0, False)


# -- bounds ----------------------------------------------------------------------------------------


def test_no_bounds() -> None:
    decoder = Decoder(max_list_size=None, max_fields=None)
    assert len(decoder.decode(indexed(2) * 100_000)) == 100_000
    assert decoder.list_size == 100_000 * 42


def test_counts_of_the_whole_block() -> None:
    decoder = Decoder(max_list_size=50)
    block = indexed(2) * 10
    assert len(decoder.decode_fields(block, 0, len(block))[0]) == 1
    assert (decoder.list_size, decoder.field_count, decoder.too_large) == (420, 10, True)
    decoder.decode(indexed(2))
    assert (decoder.list_size, decoder.field_count, decoder.too_large) == (42, 1, False)


def test_nothing_after_the_field_that_is_too_large() -> None:
    """The list is cut, it has no holes."""
    decoder = Decoder(max_list_size=100)
    block = literal(b"a", b"1") + literal(b"b", b"2" * 60) + literal(b"c", b"3")
    assert decoder.decode_fields(block, 0, len(block))[0] == [("a", "1")]


@each_row("is_coded", [False, True])
@each_row("form", [(0x40, 6), WITHOUT_INDEXING, NEVER_INDEXED])
def test_tables_in_step_behind_a_huge_literal(form: tuple[int, int], is_coded: bool) -> None:
    decoder = Decoder(max_list_size=1000)
    decoder.decode(literal(b"kept", b"1"))
    value = b"x" * 100_000
    block = literal(b"huge", value, form)
    if is_coded:
        block = literal(b"huge", b"", form)[:-1] + huffman(encoded(value))
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(block + literal(b"next", b"2"))
    assert decoder.list_size == 4 + 100_000 + 32 + 37
    assert decoder.decode(indexed(62)) == [("next", "2")]
    kept = literal(b"x", b"y", WITHOUT_INDEXING) + (b"" if form[1] == 6 else indexed(63))
    assert decoder.decode(kept)[1:] == ([] if form[1] == 6 else [("kept", "1")])


def test_a_literal_too_large_for_the_list_but_not_for_the_table() -> None:
    decoder = Decoder(max_list_size=50)
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(literal("ä".encode(), b"v" * 100) + literal(62, b"w"))
    decoder = Decoder(max_list_size=200, max_fields=1)
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(literal("ä".encode(), b"v" * 100) + literal(62, b"w"))
    assert decoder.decode(indexed(63)) == [("ä", "v" * 100)]
    assert decoder.decode(indexed(62)) == [("ä", "w")]


def test_a_huge_name() -> None:
    decoder = Decoder(max_list_size=1000)
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(literal(b"n" * 5000, b"v") + literal(b"a", b"1"))
    assert decoder.table_size == 34


def test_text_beyond_the_limits_takes_no_memory() -> None:
    """A thousand fields that refer to the largest entry: no copies, and no list of them."""
    tracemalloc = pytest.importorskip("tracemalloc")
    decoder = Decoder()
    decoder.decode(literal(b"bomb", b"x" * 4000))
    block = indexed(62) * 60_000
    tracemalloc.start()
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


# -- arbitrary input -------------------------------------------------------------------------------


def decode_all(decoder: Decoder, blocks: list[bytes]) -> list[Pairs]:
    lists = []
    for block in blocks:
        try:
            lists.append(decoder.decode(block))
        except HeaderListTooLarge:
            continue
        except HPACKError as error:
            assert "RFC 7541" in str(error)
            break
        assert decoder.table_size <= 4096
    return lists


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_arbitrary_octets(blocks: list[bytes]) -> None:
    decode_all(Decoder(max_list_size=500, max_fields=5), blocks)


#: Octets that mean something more often than others do.
PIECES = st.one_of(
    st.integers(0, 255).map(lambda octet: bytes([octet])),
    st.integers(0, 70).map(indexed),
    st.integers(0, 5000).map(size_update),
    st.tuples(st.integers(1, 66), st.binary(max_size=40)).map(lambda pair: literal(*pair)),
    st.tuples(st.binary(max_size=9), st.binary(max_size=40)).map(lambda pair: literal(*pair)),
    st.tuples(st.binary(max_size=9), st.binary(max_size=9)).map(
        lambda pair: b"\x40" + huffman(encoded(pair[0])) + huffman(encoded(pair[1]))
    ),
    st.binary(max_size=9).map(lambda octets: b"\x04" + huffman(octets)),
)


@given(st.lists(st.lists(PIECES, max_size=8).map(b"".join), max_size=4))
def test_arbitrary_pieces(blocks: list[bytes]) -> None:
    decode_all(Decoder(max_list_size=500, max_fields=5), blocks)


@given(st.lists(st.lists(PIECES, max_size=8).map(b"".join), max_size=4), st.integers(0, 300))
def test_verdicts_are_those_on_the_fields(blocks: list[bytes], size: int) -> None:
    """However a field came, and whatever has left the table meanwhile."""
    decoder = Decoder(size, max_list_size=300, examiner=Lengths())
    plain = Decoder(size, max_list_size=300)
    for block in blocks:
        try:
            found = examined(decoder, block)
        except HPACKError:
            return
        assert [verdict for _, verdict in found] == [min(len(v), 13) for (_, v), _ in found]
        assert [pair for pair, _ in found] == plain.decode_fields(block, 0, len(block))[0]


@given(st.lists(st.lists(PIECES, max_size=8).map(b"".join), max_size=4))
def test_bounds_change_no_table(blocks: list[bytes]) -> None:
    """A decoder that keeps little is in step with one that keeps all."""
    bounded = Decoder(200, max_list_size=120, max_fields=3)
    unbounded = Decoder(200, max_list_size=None, max_fields=None)
    for block in blocks:
        try:
            pairs = unbounded.decode(block)
        except HPACKError as error:
            with pytest.raises(HPACKError) as caught:
                bounded.decode(block)
            assert str(caught.value) == str(error)
            return
        kept = bounded.decode_fields(block, 0, len(block))[0]
        assert kept == pairs[: len(kept)]
        assert bounded.list_size == unbounded.list_size
        assert bounded.field_count == unbounded.field_count == len(pairs)
        assert bounded.too_large == (bounded.list_size > 120 or len(pairs) > 3)
        assert bounded.too_large or len(kept) == len(pairs)
        assert bounded.table_size == unbounded.table_size
        entries = b"".join(indexed(62 + age) for age in range(unbounded.table_size // 32))
        assert table_of(bounded, entries) == table_of(unbounded, entries)


def table_of(decoder: Decoder, entries: bytes) -> list[object]:
    """As much of the dynamic table as its size tells for sure."""
    found: list[object] = []
    left = decoder.table_size
    for at in range(len(entries)):
        if left <= 0:
            break
        found += decoder.decode_fields(entries, at, at + 1)[0]
        left -= int(decoder.list_size)
    return found


def test_every_block_of_two_octets() -> None:
    for number in range(1 << 16):
        try:
            fields = Decoder().decode(number.to_bytes(2, "big"))
        except HPACKError:
            continue
        assert len(fields) <= 2


def test_wrong_types() -> None:
    with pytest.raises((TypeError, AttributeError)):
        Decoder().decode("text")  # type: ignore[arg-type]  # what is tested
