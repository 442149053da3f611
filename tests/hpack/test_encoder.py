"""The encoder: the representation of each field, names, secrets. Errors change no state."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from cno.hpack import Decoder, Encoder, NeverIndexed
from tests.hpack.wire import Pairs, forms, in_step, peer_decoder, text_of
from tests.rows import each_row

# -- forms -----------------------------------------------------------------------------------------


@each_row(
    ("pair", "block"),
    [
        ((":method", "GET"), b"\x82"),
        ((":path", "/index.html"), b"\x85"),
        ((":status", "500"), b"\x8e"),
        (("accept-encoding", "gzip, deflate"), b"\x90"),
        (("accept", ""), b"\x93"),
        (("www-authenticate", ""), b"\xbd"),
    ],
)
def test_static_entries(pair: tuple[str, str], block: bytes) -> None:
    assert Encoder().encode([pair]) == block


def test_a_new_name_then_its_entry_then_another_value() -> None:
    encoder = Encoder()
    # Huffman coding would not make these any shorter.
    assert encoder.encode([("^", "~")]) == b"\x40\x01^\x01~"
    assert encoder.encode([("^", "~")]) == b"\xbe"
    assert encoder.encode([("^", "}")]) == b"\x7e\x01}"
    assert encoder.encode([("^", "~"), ("^", "}")]) == b"\xbf\xbe"


def test_indices_of_two_octets() -> None:
    encoder, decoder = Encoder(), Decoder()
    pairs = [("n", str(number)) for number in range(100)]
    in_step(encoder, decoder, pairs)
    assert encoder.encode([("n", "0")]) == b"\xff\x22"
    in_step(encoder, decoder, pairs)


@each_row(
    "name",
    [":path", "content-length", "etag", "if-none-match", "last-modified", "location", "range"],
)
def test_what_differs_every_time_is_indexed_once_it_does_not(name: str) -> None:
    encoder = Encoder()
    assert forms(encoder.encode([(name, "1")])) == ["without"]
    assert forms(encoder.encode([(name, "2")])) == ["without"]
    assert forms(encoder.encode([(name, "1")])) == ["without"]
    assert encoder.table_size == 0
    assert forms(encoder.encode([(name, "1")])) == ["with"]
    assert forms(encoder.encode([(name, "1"), (name, "2")])) == ["indexed", "without"]


@each_row("name", [":authority", "user-agent", "date", "server", "x-anything"])
def test_what_stays_is_indexed_at_once(name: str) -> None:
    encoder = Encoder()
    assert forms(encoder.encode([(name, "value")])) == ["with"]
    assert forms(encoder.encode([(name, "value")])) == ["indexed"]


def test_an_entry_that_would_push_out_most_others_is_not_made() -> None:
    encoder = Encoder()
    in_step(encoder, Decoder(), [("x", "y")])
    before = encoder.table_size
    assert forms(encoder.encode([("x-large", "v" * 2048)])) == ["without"]
    assert encoder.table_size == before
    assert forms(encoder.encode([("x", "y")])) == ["indexed"]


def test_names_of_entries_that_left_are_sent_again() -> None:
    encoder, decoder = Encoder(100), Decoder()
    in_step(encoder, decoder, [("x-first", "1")])
    in_step(encoder, decoder, [("x-second", "2")])
    in_step(encoder, decoder, [("x-third", "3")])
    in_step(encoder, decoder, [("x-first", "4"), ("x-first", "1")])


def test_the_same_pair_many_times_in_a_block() -> None:
    encoder, decoder = Encoder(), Decoder()
    in_step(encoder, decoder, [("x-name", "value")] * 5)
    assert decoder.table_size == 6 + 5 + 32


@each_row("length", [0, 1, 126, 127, 128, 200, 254, 255, 300, 5000, 40_000])
@each_row("character", ["a", "~", "\x00", "ä"])
def test_strings_of_all_lengths(length: int, character: str) -> None:
    """Huffman-coded where that is shorter, with lengths of one octet and more."""
    encoder, decoder = Encoder(), Decoder(max_list_size=None)
    pairs = [("x-name", character * length)]
    block = encoder.encode(pairs)
    assert decoder.decode(block) == pairs
    assert text_of(peer_decoder(), block) == pairs
    assert len(block) <= len(pairs[0][1].encode()) + 12


# -- names and pairs -------------------------------------------------------------------------------


def test_names_are_lowered() -> None:
    encoder = Encoder()
    decoder = Decoder()
    pairs = [("X-Name", "Value"), ("CONTENT-TYPE", "Text"), ("x-name", "Value")]
    block = encoder.encode(pairs)
    assert forms(block) == ["with", "with", "indexed"]
    assert decoder.decode(block) == [(name.lower(), value) for name, value in pairs]


def test_names_of_secrets_are_lowered() -> None:
    block = Encoder().encode([("Authorization", "secret"), NeverIndexed(("X-Key", "secret"))])
    assert forms(block) == ["never", "never"]
    assert Decoder().decode(block) == [("authorization", "secret"), ("x-key", "secret")]


class Named(NamedTuple):
    name: str
    value: str


def test_tuples_of_other_kinds() -> None:
    encoder = Encoder()
    assert forms(encoder.encode([Named("x-name", "value")])) == ["with"]
    assert forms(encoder.encode([("x-name", "value")])) == ["indexed"]
    assert forms(encoder.encode([Named("x-name", "value")])) == ["indexed"]


def test_any_iterable() -> None:
    pairs = [("a", "1"), ("b", "2")]
    whole = Encoder().encode(pairs)
    assert Encoder().encode(tuple(pairs)) == whole
    assert Encoder().encode(iter(pairs)) == whole
    assert Encoder().encode(dict(pairs).items()) == whole


def test_no_fields() -> None:
    assert Encoder().encode([]) == b""


@pytest.mark.parametrize("octets", [b"\xff", b"caf\xe9", "日本".encode(), bytes(range(128, 256))])
def test_octets_that_are_no_utf8(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    block = Encoder().encode([("x-name", text), (text, "value")])
    fields = peer_decoder().decode(block, raw=True)
    assert [tuple(field) for field in fields] == [(b"x-name", octets), (octets, b"value")]


# -- errors ----------------------------------------------------------------------------------------

UNSENDABLE = ["\ud800", "ok \udfff", "\udc7f"]


@each_row("text", UNSENDABLE)
@each_row("is_name", [False, True])
def test_text_without_octets_changes_nothing(text: str, is_name: bool) -> None:
    encoder, twin, decoder = Encoder(), Encoder(), Decoder()
    in_step(encoder, decoder, [("x-name", "value")])
    twin.encode([("x-name", "value")])
    encoder.set_max_table_size(2000)
    twin.set_max_table_size(2000)
    bad = (text, "value") if is_name else ("x-other", text)
    before = encoder.table_size
    with pytest.raises(UnicodeEncodeError):
        encoder.encode([("x-new", "1"), (":path", "/a"), bad])
    assert encoder.table_size == before
    pairs = [("x-new", "1"), (":path", "/a"), ("x-name", "value")]
    block = encoder.encode(pairs)
    assert block == twin.encode(pairs)
    assert decoder.decode(block) == pairs


@pytest.mark.parametrize("text", UNSENDABLE)
def test_text_without_octets_writes_nothing(text: str) -> None:
    encoder = Encoder()
    out = BytesWriter()
    for name, value in ((text, "value"), ("x-name", text), (":path", text), ("cookie", text)):
        with pytest.raises(UnicodeEncodeError):
            encoder.write_pair(out, (name, value))
        with pytest.raises(UnicodeEncodeError):
            encoder.write(out, name, value, True)
    assert out.getvalue() == b""
    assert encoder.table_size == 0


# -- field by field --------------------------------------------------------------------------------


def by_pair(encoder: Encoder, out: BytesWriter, pair: tuple[str, str]) -> None:
    encoder.write_pair(out, pair)


def by_parts(encoder: Encoder, out: BytesWriter, pair: tuple[str, str]) -> None:
    encoder.write(out, pair[0], pair[1], isinstance(pair, NeverIndexed))


@pytest.mark.parametrize("write", [by_pair, by_parts])
def test_field_by_field(write: Callable[[Encoder, BytesWriter, tuple[str, str]], None]) -> None:
    """The same octets, behind whatever was written before."""
    lists: list[Pairs] = [
        [(":status", "200"), ("server", "cno"), NeverIndexed(("x-key", "secret"))],
        [(":status", "404"), ("server", "cno"), NeverIndexed(("server", "cno"))],
    ]
    whole, pieces = Encoder(), Encoder()
    for encoder in (whole, pieces):
        encoder.set_max_table_size(1000)
    for pairs in lists:
        out = BytesWriter()
        out.write(b"before")
        pieces.begin(out)
        for pair in pairs:
            write(pieces, out, pair)
        assert out.getvalue() == b"before" + whole.encode(pairs)


# -- fields that are sent again and again ----------------------------------------------------------


def test_the_same_date_and_length_are_an_index_each() -> None:
    encoder, decoder = Encoder(), Decoder()
    date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT")
    for number in range(5):
        out = BytesWriter()
        encoder.begin(out)
        encoder.write_date(out, date)
        encoder.write_length(out, 123)
        block = out.getvalue()
        assert decoder.decode(block) == [date, ("content-length", "123")]
        expected = {0: ["with", "without"], 1: ["indexed", "with"]}
        assert forms(block) == expected.get(number, ["indexed", "indexed"])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("date"), st.integers(0, 3)),
            st.tuples(st.just("length"), st.integers(0, 3)),
            st.tuples(st.just("pair"), st.integers(0, 5)),
            st.tuples(st.just("size"), st.sampled_from([0, 100, 300, 4096])),
        ),
        max_size=60,
    )
)
def test_dates_and_lengths_among_others(steps: list[tuple[str, int]]) -> None:
    """Entries that have left the table are not referred to."""
    encoder, decoder = Encoder(), Decoder()
    others = [("x-a", "1" * 60), ("x-b", "2" * 60), ("date", "date 1"), ("content-length", "2")]
    others += [("date", ""), ("content-length", "7")]
    same = [("date", f"date {number}") for number in range(4)]
    for kind, number in steps:
        if kind == "size":
            encoder.set_max_table_size(number)
            continue
        out = BytesWriter()
        encoder.begin(out)
        if kind == "date":
            expected = same[number]
            encoder.write_date(out, expected)
        elif kind == "length":
            expected = ("content-length", str(number))
            encoder.write_length(out, number)
        else:
            expected = others[number]
            encoder.write_pair(out, expected)
        assert decoder.decode(out.getvalue()) == [expected]
