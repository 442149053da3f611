"""RFC 7541: the duties of decoder and encoder. Rows HP1 to HP17.

Each test's name begins with its row of the checklist. Examples of the RFC, stories and random
lists are in tests/hpack/.
"""

import pytest

from cno.hpack import Decoder, Encoder, HeaderListTooLarge, HPACKError, NeverIndexed
from tests.hpack.wire import (
    NEVER_INDEXED,
    WITHOUT_INDEXING,
    bits,
    forms,
    huffman,
    in_step,
    indexed,
    integer,
    literal,
    size_update,
    string,
)
from tests.rows import each_row

SECRETS = [
    ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    ("proxy-authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    ("set-cookie", "session=0123456789abcdef0123456789abcdef; HttpOnly"),
    ("cookie", "id=0123456789abcdef"),
]


# -- indices ---------------------------------------------------------------------------------------


def test_HP1_index_zero() -> None:
    with pytest.raises(HPACKError, match=r"index 0 .* \(RFC 7541 6\.1\)"):
        Decoder().decode(b"\x80")


def test_HP2_index_beyond_the_static_table() -> None:
    assert Decoder().decode(indexed(61)) == [("www-authenticate", "")]
    with pytest.raises(HPACKError, match=r"index 62 .* 61 entries \(RFC 7541 2\.3\.3\)"):
        Decoder().decode(indexed(62))


@each_row("form", [(0x80, 7), (0x40, 6), NEVER_INDEXED, WITHOUT_INDEXING])
@each_row("index", [64, 127, 1 << 20, (1 << 32) - 1])
def test_HP2_index_beyond_both_tables(form: tuple[int, int], index: int) -> None:
    decoder = Decoder()
    decoder.decode(literal(b"a", b"1") + literal(b"b", b"2"))
    with pytest.raises(HPACKError, match=f"index {index} is beyond the tables' 63 entries"):
        decoder.decode(integer(*form, index) + string(b"value"))


def test_HP2_the_newest_entry_comes_first() -> None:
    decoder = Decoder()
    decoder.decode(literal(b"a", b"1") + literal(b"b", b"2"))
    assert decoder.decode(indexed(62) + indexed(63)) == [("b", "2"), ("a", "1")]


def test_HP2_indices_of_more_than_one_octet() -> None:
    decoder = Decoder()
    decoder.decode(b"".join(literal(b"n", b"%d" % n) for n in range(100)))
    assert decoder.decode(b"\xff\x00" + b"\xff\x22") == [("n", "34"), ("n", "0")]


# -- the dynamic table -----------------------------------------------------------------------------


def test_HP3_an_entry_takes_32_octets_more() -> None:
    decoder = Decoder()
    decoder.decode(literal(b"abc", b"defgh"))
    assert decoder.table_size == 3 + 5 + 32


def test_HP3_the_oldest_leave_first() -> None:
    # Room for three entries of 34 octets.
    decoder = Decoder(3 * 34)
    decoder.decode(b"".join(literal(b"n", b"%d" % n) for n in range(4)))
    assert decoder.table_size == 3 * 34
    assert decoder.decode(indexed(62) + indexed(63) + indexed(64)) == [
        ("n", "3"),
        ("n", "2"),
        ("n", "1"),
    ]
    with pytest.raises(HPACKError, match="index 65"):
        decoder.decode(indexed(65))


def test_HP3_an_entry_as_large_as_the_table() -> None:
    decoder = Decoder(64)
    decoder.decode(literal(b"a", b"1") + literal(b"name", b"v" * 28))
    assert decoder.table_size == 64
    assert decoder.decode(indexed(62)) == [("name", "v" * 28)]


def test_HP3_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder(64)
    fields = decoder.decode(literal(b"a", b"1") + literal(b"name", b"v" * 29))
    assert fields == [("a", "1"), ("name", "v" * 29)]
    assert decoder.table_size == 0
    with pytest.raises(HPACKError, match="index 62"):
        decoder.decode(indexed(62))


def test_HP4_the_name_of_an_entry_that_must_leave() -> None:
    decoder = Decoder(64)
    decoder.decode(literal(b"name", b"v" * 28))
    assert decoder.decode(literal(62, b"w" * 28)) == [("name", "w" * 28)]
    assert decoder.decode(indexed(62)) == [("name", "w" * 28)]


def test_HP4_the_name_of_an_entry_of_the_same_block_that_must_leave() -> None:
    decoder = Decoder(64)
    block = literal(b"name", b"v" * 28) + literal(62, b"w" * 28) + literal(62, b"x" * 60)
    assert decoder.decode(block) == [("name", "v" * 28), ("name", "w" * 28), ("name", "x" * 60)]
    assert decoder.table_size == 0


# -- size updates ----------------------------------------------------------------------------------


def test_HP5_size_update_after_a_field() -> None:
    with pytest.raises(HPACKError, match=r"size update after a field \(RFC 7541 4\.2\)"):
        Decoder().decode(indexed(2) + size_update(100))


def test_HP5_two_size_updates() -> None:
    decoder = Decoder()
    assert decoder.decode(size_update(0) + size_update(4096) + indexed(2)) == [(":method", "GET")]


def test_HP5_more_than_two_size_updates() -> None:
    with pytest.raises(HPACKError, match=r"more than two size updates .* \(RFC 7541 4\.2\)"):
        Decoder().decode(size_update(0) + size_update(1) + size_update(2))


def test_HP5_the_first_update_is_no_more_than_the_lowest_limit() -> None:
    decoder = Decoder()
    decoder.set_max_table_size(100)
    decoder.set_max_table_size(4096)
    with pytest.raises(HPACKError, match=r"update to 101, 100 was due \(RFC 7541 4\.2\)"):
        decoder.decode(size_update(101) + size_update(100))


@pytest.mark.parametrize("first", [0, 99, 100])
def test_HP5_the_lowest_limit_then_the_last(first: int) -> None:
    decoder = Decoder()
    decoder.set_max_table_size(100)
    decoder.set_max_table_size(4096)
    block = size_update(first) + size_update(4096) + literal(b"n", b"v" * 200)
    assert decoder.decode(block) == [("n", "v" * 200)]
    assert decoder.table_size == 1 + 200 + 32


def test_HP6_size_update_beyond_the_limit() -> None:
    with pytest.raises(HPACKError, match=r"update to 4097 .* 4096 are allowed \(RFC 7541 6\.3\)"):
        Decoder().decode(size_update(4097))


def test_HP6_the_limit_is_what_was_acknowledged_last() -> None:
    decoder = Decoder()
    decoder.set_max_table_size(8192)
    assert decoder.decode(size_update(8192) + indexed(2)) == [(":method", "GET")]
    decoder.set_max_table_size(4096)
    with pytest.raises(HPACKError, match="update to 4097"):
        decoder.decode(size_update(4097))


@pytest.mark.parametrize("block", [b"", indexed(2), literal(b"a", b"1")])
def test_HP7_no_size_update_after_the_limit_was_lowered(block: bytes) -> None:
    decoder = Decoder()
    decoder.set_max_table_size(4095)
    with pytest.raises(HPACKError, match=r"no size update, one to 4095 .* \(RFC 7541 4\.2\)"):
        decoder.decode(block)


def test_HP7_a_limit_that_is_not_below_the_table_needs_no_update() -> None:
    decoder = Decoder()
    decoder.set_max_table_size(8192)
    assert decoder.decode(indexed(2)) == [(":method", "GET")]
    decoder.set_max_table_size(4096)
    assert decoder.decode(indexed(2)) == [(":method", "GET")]


def test_HP7_one_update_is_enough() -> None:
    decoder = Decoder()
    decoder.set_max_table_size(100)
    assert decoder.decode(size_update(50) + indexed(2)) == [(":method", "GET")]
    assert decoder.decode(indexed(2)) == [(":method", "GET")]


def test_HP8_the_encoder_begins_with_the_lowered_size() -> None:
    encoder = Encoder()
    encoder.set_max_table_size(100)
    assert encoder.encode([(":method", "GET")]) == b"\x3f\x45\x82"
    assert encoder.encode([(":method", "GET")]) == b"\x82"


def test_HP8_the_lowest_size_then_the_last() -> None:
    encoder = Encoder()
    encoder.set_max_table_size(100)
    encoder.set_max_table_size(0)
    encoder.set_max_table_size(4096)
    encoder.set_max_table_size(200)
    assert forms(encoder.encode([])) == ["size 0", "size 200"]


def test_HP8_down_and_up_again_says_so() -> None:
    encoder = Encoder()
    encoder.set_max_table_size(10)
    encoder.set_max_table_size(4096)
    assert forms(encoder.encode([])) == ["size 10", "size 4096"]


def test_HP8_what_does_not_change_our_table_needs_no_update() -> None:
    encoder = Encoder()
    encoder.set_max_table_size(1 << 31)
    encoder.set_max_table_size(4096)
    assert encoder.encode([(":method", "GET")]) == b"\x82"


def test_HP8_up_to_our_own_cap_only() -> None:
    encoder = Encoder(10_000)
    assert forms(encoder.encode([])) == []
    encoder.set_max_table_size((1 << 32) - 1)
    assert forms(encoder.encode([])) == ["size 10000"]


def test_HP8_a_cap_below_the_initial_size_is_told_first() -> None:
    assert forms(Encoder(1000).encode([])) == ["size 1000"]


# -- integers and strings --------------------------------------------------------------------------


@each_row("zeros", range(5))
def test_HP9_zero_octets_up_to_the_cap(zeros: int) -> None:
    # 31 in a prefix of five bits, and nothing added to it.
    more = b"\x80" * zeros + b"\x00"
    assert Decoder().decode(b"\x3f" + more + b"\x82") == [(":method", "GET")]


@each_row("first", [0xFF, 0x7F, 0x3F, 0x1F, 0x0F])
@each_row(
    "more", [b"\x80" * 5 + b"\x00", b"\xff" * 5 + b"\x00", b"\xff\xff\xff\xff\x7f", b"\x80" * 1000]
)
def test_HP9_too_large_or_too_long(first: int, more: bytes) -> None:
    with pytest.raises(HPACKError, match=r"an integer .* \(RFC 7541 5\.1\)"):
        Decoder().decode(bytes([first]) + more + b"\x00\x00")


@each_row("first", [0xFF, 0x7F, 0x3F, 0x1F, 0x0F])
@each_row("more", [b"", b"\x80", b"\xff\xff\xff\xff"])
def test_HP9_cut_short(first: int, more: bytes) -> None:
    with pytest.raises(HPACKError, match=r"ends within an integer \(RFC 7541 5\.1\)"):
        Decoder().decode(bytes([first]) + more)


def test_HP9_the_greatest_integer() -> None:
    decoder = Decoder()
    decoder.set_max_table_size((1 << 32) - 1)
    assert decoder.decode(size_update((1 << 32) - 1)) == []
    with pytest.raises(HPACKError, match="an integer above 32 bits"):
        decoder.decode(size_update(1 << 32))


@each_row(
    "block",
    [
        b"\x40\x02a",
        b"\x40\x01a\x03bc",
        b"\x44\x01",
        b"\x44\x82\x1c",
        b"\x40\x01a" + string(b"bc", length=127),
        b"\x44" + string(b"bc", length=(1 << 32) - 1),
    ],
)
def test_HP10_string_longer_than_the_rest(block: bytes) -> None:
    with pytest.raises(HPACKError, match=r"a string of \d+ bytes where \d+ are left .* 5\.2\)"):
        Decoder().decode(block)


@each_row("block", [b"\x40", b"\x40\x01a", b"\x44", b"\x04", b"\x10\x00"])
def test_HP10_no_string_at_all(block: bytes) -> None:
    with pytest.raises(HPACKError, match=r"ends before a string \(RFC 7541 5\.2\)"):
        Decoder().decode(block)


@pytest.mark.parametrize("before", ["", "00011", "00011 00011", "00011 " * 40])
def test_HP11_end_of_string_symbol(before: str) -> None:
    code = before.replace(" ", "") + "1" * 30
    coded = bits(code + "1" * (-len(code) % 8))
    with pytest.raises(HPACKError, match=r"end-of-string symbol .* \(RFC 7541 5\.2\)"):
        Decoder().decode(b"\x04" + huffman(coded))


@each_row(
    "coded",
    [
        bits("11111111"),
        bits("00011 11111111111"),
        bits("00011 11111111111 11111111"),
        bits("00011 " * 8 + "11111111"),
        b"\xff\xff\xff",
    ],
)
def test_HP11_more_than_seven_bits_of_padding(coded: bytes) -> None:
    with pytest.raises(HPACKError, match=r"more than 7 bits of padding .* \(RFC 7541 5\.2\)"):
        Decoder().decode(b"\x04" + huffman(coded))


@each_row(
    "coded",
    [
        bits("00011 000"),
        bits("00011 110"),
        bits("00011 011"),
        bits("00011 00011 111110"),
        bits("00011 " * 8 + "00011 110"),
    ],
)
def test_HP11_padding_that_is_not_ones(coded: bytes) -> None:
    with pytest.raises(HPACKError, match=r"not all ones \(RFC 7541 5\.2\)"):
        Decoder().decode(b"\x04" + huffman(coded))


@each_row("count", range(1, 9))
def test_HP11_up_to_seven_ones_are_padding(count: int) -> None:
    # `a` takes five bits: eight of them leave none, others leave one to seven.
    coded = bits("00011" * count + "1" * (-5 * count % 8))
    assert Decoder().decode(b"\x04" + huffman(coded)) == [(":path", "a" * count)]


# -- what is indexed -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"x-secret", 23])
def test_HP12_never_indexed_is_seen_and_sent_on(name: bytes | int) -> None:
    (field,) = Decoder().decode(literal(name, b"a secret", NEVER_INDEXED))
    assert type(field) is NeverIndexed
    assert field == ("authorization" if name == 23 else "x-secret", "a secret")
    assert forms(Encoder().encode([field])) == ["never"]


def test_HP12_also_where_the_table_has_the_same_pair() -> None:
    encoder = Encoder()
    encoder.encode([("x-name", "value")])
    assert forms(encoder.encode([("x-name", "value")])) == ["indexed"]
    assert forms(encoder.encode([NeverIndexed(("x-name", "value"))])) == ["never"]
    assert forms(encoder.encode([NeverIndexed((":method", "GET"))])) == ["never"]


def test_HP12_other_literals_are_ordinary_pairs() -> None:
    block = literal(b"a", b"1") + literal(b"b", b"2", WITHOUT_INDEXING) + indexed(2)
    assert [type(pair) for pair in Decoder().decode(block)] == [tuple, tuple, tuple]


@pytest.mark.parametrize("form", [NEVER_INDEXED, WITHOUT_INDEXING])
def test_HP13_only_literals_with_indexing_enter_the_table(form: tuple[int, int]) -> None:
    decoder = Decoder()
    decoder.decode(literal(b"a", b"1", form) + literal(4, b"/a", form))
    assert decoder.table_size == 0
    with pytest.raises(HPACKError, match="index 62"):
        decoder.decode(indexed(62))


@pytest.mark.parametrize("pair", SECRETS)
def test_HP14_secrets_are_never_indexed(pair: tuple[str, str]) -> None:
    encoder = Encoder()
    for _ in range(3):
        assert forms(encoder.encode([pair])) == ["never"]
    assert encoder.table_size == 0


def test_HP14_a_cookie_too_long_to_guess_is_indexed() -> None:
    encoder = Encoder()
    pair = ("cookie", "id=0123456789abcdef0")
    assert forms(encoder.encode([pair])) == ["with"]
    assert forms(encoder.encode([pair])) == ["indexed"]


# -- bounds ----------------------------------------------------------------------------------------


def test_HP15_a_list_as_large_as_the_limit() -> None:
    decoder = Decoder(max_list_size=2 * (10 + 32))
    block = literal(b"name", b"value1") * 2
    assert len(decoder.decode(block)) == 2
    assert (decoder.list_size, decoder.field_count) == (84, 2)
    with pytest.raises(HeaderListTooLarge, match="2 fields, 85 bytes"):
        decoder.decode(literal(b"name", b"value1") + literal(b"name", b"value12"))


def test_HP15_as_many_fields_as_the_limit() -> None:
    decoder = Decoder(max_fields=3)
    assert len(decoder.decode(indexed(2) * 3)) == 3
    with pytest.raises(HeaderListTooLarge, match="4 fields"):
        decoder.decode(indexed(2) * 4)


def test_HP15_references_count_what_they_stand_for() -> None:
    decoder = Decoder()
    decoder.decode(literal(b"bomb", b"x" * 4000))
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(indexed(62) * 17)
    assert (decoder.list_size, decoder.field_count) == (17 * 4036, 17)
    assert len(decoder.decode(indexed(62) * 16)) == 16


def test_HP15_nothing_is_kept_beyond_the_limit() -> None:
    decoder = Decoder(max_list_size=100)
    block = indexed(2) + indexed(2) + literal(b"a", b"1" * 50) + indexed(2)
    assert decoder.decode_fields(block, 0, len(block))[0] == [
        (":method", "GET"),
        (":method", "GET"),
    ]
    assert decoder.too_large


@pytest.mark.parametrize("size", [0, 31, 33])
def test_HP16_a_table_too_small_for_any_entry(size: int) -> None:
    decoder = Decoder(size)
    assert decoder.decode(literal(b"a", b"1")) == [("a", "1")]
    assert decoder.table_size == 0
    encoder = Encoder(size)
    assert forms(encoder.encode([("a", "1")])) == [f"size {size}", "without"]
    assert forms(encoder.encode([("a", "1")])) == ["without"]


def test_HP16_to_nothing_and_back() -> None:
    decoder = Decoder()
    decoder.decode(literal(b"a", b"1"))
    assert decoder.decode(size_update(0) + size_update(4096)) == []
    assert decoder.table_size == 0
    with pytest.raises(HPACKError, match="index 62"):
        decoder.decode(indexed(62))


def test_HP16_the_encoder_forgets_as_well() -> None:
    encoder, decoder = Encoder(), Decoder()
    in_step(encoder, decoder, [("x-name", "value")])
    encoder.set_max_table_size(0)
    encoder.set_max_table_size(4096)
    assert encoder.table_size == 0
    in_step(encoder, decoder, [("x-name", "value")])
    assert decoder.table_size == 6 + 5 + 32


def test_HP17_two_connections_share_nothing() -> None:
    first, second = Decoder(), Decoder()
    first.decode(literal(b"a", b"1"))
    with pytest.raises(HPACKError, match="index 62"):
        second.decode(indexed(62))
    one, other = Encoder(), Encoder()
    one.encode([("x-name", "value")])
    assert forms(other.encode([("x-name", "value")])) == ["with"]


def test_HP17_a_refused_block_is_decoded_to_its_end() -> None:
    decoder = Decoder(max_fields=1)
    with pytest.raises(HeaderListTooLarge):
        decoder.decode(indexed(2) + literal(b"a", b"1") + literal(62, b"2"))
    assert decoder.decode(indexed(62)) == [("a", "2")]
    assert decoder.decode(indexed(63)) == [("a", "1")]


def test_HP17_an_error_behind_the_limit_is_an_error() -> None:
    with pytest.raises(HPACKError, match="index 0"):
        Decoder(max_fields=1).decode(indexed(2) * 3 + b"\x80")


def test_HP17_a_broken_decoder_stays_broken() -> None:
    decoder = Decoder()
    with pytest.raises(HPACKError, match="index 62"):
        decoder.decode(indexed(62))
    with pytest.raises(HPACKError, match="an earlier block was broken"):
        decoder.decode(indexed(2))
