"""The Huffman code: against the `hpack` package's, at every length, and what a decoder refuses."""

import random

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from cno.hpack import Decoder, HPACKError
from cno.hpack.huffman import huffman_decode, huffman_encode
from tests.hpack.wire import bits, huffman
from tests.rows import each_row

theirs = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def encoded(text: bytes) -> bytes:
    out = BytesWriter()
    huffman_encode(out, text)
    return out.getvalue()


def decoded(block: bytes, start: int = 0, end: int | None = None) -> bytes:
    end = len(block) if end is None else end
    out = BytesWriter()
    out.write(b"before")
    huffman_decode(out, block, start, end)
    assert out.getvalue()[:6] == b"before"
    return out.getvalue()[6:]


def test_every_octet() -> None:
    for octet in range(256):
        for count in range(1, 10):
            text = bytes([octet]) * count
            assert encoded(text) == theirs.encode(text)
            assert decoded(encoded(text)) == text


def test_every_pair_of_octets() -> None:
    for first in range(256):
        text = b"".join(bytes([first, second]) for second in range(256))
        assert decoded(encoded(text)) == text


def test_empty() -> None:
    assert encoded(b"") == b""
    assert decoded(b"") == b""


@given(st.binary(max_size=300))
def test_both_ways(text: bytes) -> None:
    assert encoded(text) == theirs.encode(text)
    assert decoded(encoded(text)) == text


@given(st.text(alphabet="0123456789abcdefghijklmnopqrstuvwxyz%/-.ABZ~|", max_size=100))
def test_common_text_both_ways(text: str) -> None:
    assert encoded(text.encode()) == theirs.encode(text.encode())
    assert decoded(encoded(text.encode())) == text.encode()


@given(before=st.binary(max_size=12), text=st.binary(max_size=12), after=st.binary(max_size=12))
def test_only_what_is_between(before: bytes, text: bytes, after: bytes) -> None:
    """What surrounds a string in a block has no say in it."""
    coded = encoded(text)
    block = before + coded + after
    assert decoded(block, len(before), len(before) + len(coded)) == text


@given(before=st.binary(max_size=9), coded=st.binary(max_size=12), after=st.binary(max_size=9))
def test_arbitrary_octets(before: bytes, coded: bytes, after: bytes) -> None:
    """They are the coding of something, or refused."""
    try:
        text = decoded(before + coded + after, len(before), len(before) + len(coded))
    except HPACKError:
        return
    assert encoded(text) == coded


def test_two_octets_of_any_kind() -> None:
    """Some of the 65,536 strings; a few of them mean something."""
    choose = random.Random(7541)
    sound = 0
    for number in choose.sample(range(1 << 16), 5_000):
        coded = number.to_bytes(2, "big")
        try:
            text = decoded(coded)
        except HPACKError:
            continue
        assert encoded(text) == coded
        sound += 1
    assert sound > 500


@each_row("length", sorted(set(REQUEST_CODES_LENGTH[:256])))
def test_code_of_each_length_cut_short(length: int) -> None:
    """A code that ends before its last octet is no padding, unless it is all ones till there."""
    symbol = REQUEST_CODES_LENGTH.index(length)
    code = f"{REQUEST_CODES[symbol]:0{length}b}"
    cut = bits(code[: length // 8 * 8]) if length >= 8 else b""
    whole = encoded(bytes([symbol]))
    assert decoded(whole) == bytes([symbol])
    if length > 8 and length % 8 != 0:
        with pytest.raises(HPACKError):
            decoded(cut)


def test_longer_text_than_a_length_octet_tells() -> None:
    text = b"0123456789" * 100
    block = b"\x04" + huffman(theirs.encode(text))
    assert Decoder().decode(block) == [(":path", text.decode())]
