"""Lists of any fields, there and back: with ourselves and with the `hpack` package, in step."""

import hpack
from hypothesis import given
from hypothesis import strategies as st

from cno.hpack import Decoder, Encoder, NeverIndexed
from tests.hpack.wire import Pairs, forms, peer_decoder, text_of

NAMES = st.one_of(
    st.sampled_from(
        [":method", ":path", ":status", "cookie", "date", "authorization", "content-length", "x-a"]
    ),
    st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", max_size=8),
)
#: Any octets, mostly such as values have; few enough to come again.
VALUES = st.one_of(
    st.sampled_from(["", "GET", "/", "200", "value", "a-long-value-of-some-octets"]),
    st.text(alphabet="abcxyz0189 /.~", max_size=40),
    st.binary(max_size=20).map(lambda octets: octets.decode("utf-8", "surrogateescape")),
    st.integers(100, 3000).map("v".__mul__),
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
SIZES = st.sampled_from([0, 31, 32, 64, 100, 500, 4096, 10_000])
STEPS = st.lists(st.tuples(PAIRS, st.lists(SIZES, max_size=3)), max_size=8)


@given(STEPS, SIZES)
def test_ours_to_ours(steps: list[tuple[Pairs, list[int]]], cap: int) -> None:
    """Settings change between blocks as on a connection: acknowledged, then obeyed."""
    encoder, decoder = Encoder(cap), Decoder(max_list_size=None)
    for pairs, sizes in steps:
        for size in sizes:
            decoder.set_max_table_size(size)
            encoder.set_max_table_size(size)
        assert decoder.decode(encoder.encode(pairs)) == pairs
        assert decoder.table_size == encoder.table_size <= cap


@given(STEPS, SIZES)
def test_ours_to_theirs(steps: list[tuple[Pairs, list[int]]], cap: int) -> None:
    encoder, theirs = Encoder(cap), peer_decoder()
    for pairs, sizes in steps:
        for size in sizes:
            encoder.set_max_table_size(size)
            theirs.max_allowed_table_size = size
        block = encoder.encode(pairs)
        if not any(sizes) and sizes:
            # It takes updates only where its own table was larger than what it then allows.
            theirs.max_allowed_table_size = max(sizes)
        assert text_of(theirs, block) == pairs


@given(STEPS)
def test_theirs_to_ours(steps: list[tuple[Pairs, list[int]]]) -> None:
    theirs, decoder = hpack.Encoder(), Decoder(max_list_size=None)
    for pairs, sizes in steps:
        # One change between two blocks: of more it does not say the lowest and the last.
        for size in sizes[:1]:
            decoder.set_max_table_size(size)
            theirs.header_table_size = size
        octets = [
            (name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in pairs
        ]
        assert decoder.decode(theirs.encode(octets)) == pairs


@given(STEPS, st.lists(st.booleans(), max_size=64))
def test_never_indexed_survives_any_number_of_hops(
    steps: list[tuple[Pairs, list[int]]], marks: list[bool]
) -> None:
    marks = [*marks, *[False] * 64]
    hops = [(Encoder(), Decoder(max_list_size=None)) for _ in range(3)]
    for pairs, _ in steps:
        sent = [NeverIndexed(pair) if marks.pop(0) else pair for pair in pairs]
        there = sent
        for encoder, decoder in hops:
            block = encoder.encode(there)
            assert len(forms(block)) == len(sent)
            there = decoder.decode(block)
            for one, form, other in zip(sent, forms(block), there, strict=True):
                assert form == "never" if isinstance(one, NeverIndexed) else True
                assert isinstance(other, NeverIndexed) == (form == "never")
        assert there == pairs
