"""The examples of RFC 7541 appendix C, octet by octet, and what they leave in the table."""

import pytest

from cno.hpack import Decoder, Encoder, NeverIndexed
from tests.hpack.wire import Pairs, indexed

AUTHORITY = (":authority", "www.example.com")
NO_CACHE = ("cache-control", "no-cache")
CUSTOM = ("custom-key", "custom-value")

REQUESTS: list[Pairs] = [
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY, NO_CACHE],
    [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), AUTHORITY, CUSTOM],
]
TABLES_OF_REQUESTS: list[Pairs] = [
    [AUTHORITY],
    [NO_CACHE, AUTHORITY],
    [CUSTOM, NO_CACHE, AUTHORITY],
]
SIZES_OF_REQUESTS = [57, 110, 164]

PRIVATE = ("cache-control", "private")
DATE = ("date", "Mon, 21 Oct 2013 20:13:21 GMT")
LATER = ("date", "Mon, 21 Oct 2013 20:13:22 GMT")
LOCATION = ("location", "https://www.example.com")
GZIP = ("content-encoding", "gzip")
COOKIE = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")

RESPONSES: list[Pairs] = [
    [(":status", "302"), PRIVATE, DATE, LOCATION],
    [(":status", "307"), PRIVATE, DATE, LOCATION],
    [(":status", "200"), PRIVATE, LATER, LOCATION, GZIP, COOKIE],
]
TABLES_OF_RESPONSES: list[Pairs] = [
    [LOCATION, DATE, PRIVATE, (":status", "302")],
    [(":status", "307"), LOCATION, DATE, PRIVATE],
    [COOKIE, GZIP, LATER],
]
SIZES_OF_RESPONSES = [222, 222, 215]

PLAIN_REQUESTS = [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
]
HUFFMAN_REQUESTS = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]
PLAIN_RESPONSES = [
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
    "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f"
    "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076"
    "657273696f6e3d31",
]
HUFFMAN_RESPONSES = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
    "0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df"
    "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
]


def table(decoder: Decoder, count: int) -> Pairs:
    """The newest entries of the dynamic table; to ask for them does not change it."""
    return decoder.decode(b"".join(indexed(62 + age) for age in range(count)))


def test_C_2_1_literal_with_indexing() -> None:
    decoder = Decoder()
    block = bytes.fromhex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")
    assert decoder.decode(block) == [("custom-key", "custom-header")]
    assert decoder.table_size == 55
    assert table(decoder, 1) == [("custom-key", "custom-header")]


def test_C_2_2_literal_without_indexing() -> None:
    decoder = Decoder()
    block = bytes.fromhex("040c2f73616d706c652f70617468")
    assert decoder.decode(block) == [(":path", "/sample/path")]
    assert decoder.table_size == 0


def test_C_2_3_literal_never_indexed() -> None:
    decoder = Decoder()
    (pair,) = decoder.decode(bytes.fromhex("100870617373776f726406736563726574"))
    assert pair == ("password", "secret")
    assert isinstance(pair, NeverIndexed)
    assert decoder.table_size == 0


def test_C_2_4_indexed() -> None:
    decoder = Decoder()
    assert decoder.decode(b"\x82") == [(":method", "GET")]
    assert decoder.table_size == 0


@pytest.mark.parametrize("blocks", [PLAIN_REQUESTS, HUFFMAN_REQUESTS], ids=["C.3", "C.4"])
def test_requests(blocks: list[str]) -> None:
    decoder = Decoder()
    for at, block in enumerate(blocks):
        assert decoder.decode(bytes.fromhex(block)) == REQUESTS[at]
        assert decoder.table_size == SIZES_OF_REQUESTS[at]
        assert table(decoder, len(TABLES_OF_REQUESTS[at])) == TABLES_OF_REQUESTS[at]


@pytest.mark.parametrize("blocks", [PLAIN_RESPONSES, HUFFMAN_RESPONSES], ids=["C.5", "C.6"])
def test_responses(blocks: list[str]) -> None:
    decoder = Decoder(256)
    for at, block in enumerate(blocks):
        assert decoder.decode(bytes.fromhex(block)) == RESPONSES[at]
        assert decoder.table_size == SIZES_OF_RESPONSES[at]
        assert table(decoder, len(TABLES_OF_RESPONSES[at])) == TABLES_OF_RESPONSES[at]


def test_requests_encoded() -> None:
    """Our encoder says what the one of C.4 does."""
    encoder = Encoder()
    assert [encoder.encode(headers).hex() for headers in REQUESTS] == HUFFMAN_REQUESTS
    assert encoder.table_size == SIZES_OF_REQUESTS[-1]


def test_responses_encoded() -> None:
    """Ours indexes less than the one of C.6; what it says is the same."""
    encoder, decoder = Encoder(256), Decoder()
    for headers in RESPONSES:
        assert decoder.decode(encoder.encode(headers)) == headers
        assert decoder.table_size == encoder.table_size <= 256
