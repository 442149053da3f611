"""Arbitrary bytes for one parser, with the properties that hold for all of them.

The first byte of an input chooses how the application behaves; a checksum of the rest chooses where
it is split, so that an input determines the whole run. Only the documented errors are raised, the
splits make no difference, output is bounded by input, and `hpack` decodes the same bytes to the
same fields.
"""

import random
import zlib
from collections.abc import Callable

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from librt.strings import BytesWriter

from cno.hpack import Decoder, HeaderListTooLarge, HPACKError
from cno.hpack.huffman import huffman_decode, huffman_encode
from tests.frames import (
    DATA,
    GOAWAY,
    PREFACE,
    REQUEST_HEADERS,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    Headers,
    parse_frames,
)
from tests.fuzz.observed import UPGRADE, Result, Watched, deliver, hang_up, same
from tests.fuzz.worlds import play, script_of
from tests.h1 import wire

#: Longer inputs are not looked at: what they could find, shorter ones find sooner.
LONGEST = 4_096
HOST: Headers = [(":authority", "a")]


def cuts_of(data: bytes) -> list[list[int]]:
    """Several ways to cut, always the same for the same octets."""
    rng = random.Random(zlib.crc32(data))
    size = len(data)
    some = sorted(rng.randrange(size + 1) for _ in range(rng.randrange(1, 9)))
    ways = [some]
    if size <= 300:
        ways.append(list(range(1, size)))
    return ways


def check_connection(make: Callable[[int], Watched], given: bytes) -> None:
    """The same whole and cut, output that can be read, and an end."""
    given = given[:LONGEST]
    mood, data = (given[0], given[1:]) if given else (0, b"")
    whole = make(mood)
    before = deliver(whole, data)
    wrote = written(whole)
    for cuts in cuts_of(data):
        conn = make(mood)
        same(before, deliver(conn, data, cuts), f"otherwise when cut at {cuts}")
        same(wrote, written(conn), f"writes otherwise when cut at {cuts}")
    size = sum(map(len, whole.written))
    # An answer is a constant; so is what a stream or a frame can make us say.
    assert size <= 4_000 + 40 * len(data), f"{size} octets for {len(data)}"
    hang_up(whole)


def written(conn: Watched) -> Result:
    """What was said, without what says only how it was cut: credit, given back by halves."""
    data = b"".join(conn.written)
    if not conn.is_http2:
        return (data,)
    at = data.find(b"\0\0", 0) if data.startswith(b"HTTP/1.1") else 0
    frames = parse_frames(data[at:])
    blocks = FrameFactory()
    blocks.decoder.max_allowed_table_size = 1 << 32
    read_blocks(blocks, frames)
    said = [
        f._replace(payload=f.payload[:8]) if f.type == GOAWAY else f
        for f in frames
        if f.type not in (WINDOW_UPDATE, DATA)
    ]
    body = b"".join(f.payload for f in frames if f.type == DATA)
    return (data[:at], said, len(body))


def read_blocks(pen: FrameFactory, frames: list[Frame]) -> None:
    """Another decoder must understand every field block, in order."""
    fragment = b""
    for f in frames:
        if f.type in (1, 5, 9):
            fragment += f.payload[4:] if f.type == 5 else f.payload
            if f.flags & 4:
                pen.decode(fragment)
                fragment = b""


# -- connections -----------------------------------------------------------------------------------


def h2_server(mood: int) -> Watched:
    conn = Watched(True, mood)
    conn.connection_made(True)
    conn.data_received(PREFACE)
    return conn


def h2_client(mood: int) -> Watched:
    """With three requests made, one of them complete."""
    conn = Watched(False, mood)
    conn.connection_made(True)
    for method, final in (("GET", True), ("POST", False), ("HEAD", True)):
        conn.write_head(conn.next_stream, 0, method, "/", list(REQUEST_HEADERS), final)
    conn.attempt(lambda: conn.write_data(3, b"x" * 10, False))
    return conn


def h1_server(mood: int) -> Watched:
    conn = Watched(True, mood)
    conn.disallow_h2_upgrade = not mood & UPGRADE
    conn.connection_made(False)
    return conn


def h1_client(mood: int) -> Watched:
    """With requests made as the upper half of the mood says."""
    conn = Watched(False, mood)
    conn.connection_made(False)
    kind = mood >> 4 & 7
    if kind == 0:
        conn.write_head(1, 0, "CONNECT", "", [(":authority", "a:1")], True)
    elif kind == 1:
        conn.write_head(1, 0, "POST", "/", [*HOST, ("expect", "100-continue")], False)
    elif kind == 2:
        conn.write_head(
            1, 0, "GET", "/", [*HOST, ("upgrade", "x"), ("connection", "upgrade")], True
        )
    else:
        for n in range(kind - 2):
            conn.write_head(2 * n + 1, 0, ("HEAD", "GET")[n % 2], "/", list(HOST), True)
    return conn


def check_h1_server(data: bytes) -> None:
    check_connection(h1_server, data)
    conn = h1_server(data[0] & ~UPGRADE if data else 0)
    deliver(conn, data[1:LONGEST])
    if not conn.is_http2 and not conn.of("upgrade") and not has_tunnel(conn):
        methods = [e[3] for e in conn.of("head")]
        wire.responses(b"".join(conn.written), methods)


def has_tunnel(conn: Watched) -> bool:
    return any(e[0] == "head" and e[3] == "CONNECT" for e in conn.events)


# -- field blocks ----------------------------------------------------------------------------------


def check_hpack(given: bytes) -> None:
    """Blocks, each behind an octet of length, to our decoder and another."""
    ours = Decoder(4096, max_list_size=60_000, max_fields=1000)
    theirs = hpack.Decoder(60_000)
    at = 0
    while at < len(given):
        block = given[at + 1 : at + 1 + given[at]]
        at += 1 + given[at]
        try:
            got = ours.decode(block)
        except (HPACKError, HeaderListTooLarge) as error:
            refused(theirs, block, error)
            return
        # One that ours takes, the other takes and reads the same.
        want = [(bytes(f[0]), bytes(f[1])) for f in theirs.decode(block, raw=True)]
        assert [(raw_text(n), raw_text(v)) for n, v in got] == want
        assert ours.table_size <= 4096


def refused(theirs: hpack.Decoder, block: bytes, error: Exception) -> None:
    """What we refuse and `hpack` does not: more than two size updates, integers of many octets,
    and indices that it finds in a table where size updates are counted otherwise."""
    try:
        theirs.decode(block, raw=True)
    except hpack.HPACKError:
        return
    known = ("size updates", "integer", "beyond the limit")
    assert any(word in str(error) for word in known), f"only we refuse: {error}"


def raw_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_THEIRS = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def check_huffman(given: bytes) -> None:
    """Both ways, and against another table; nothing else can be encoded to the same octets."""
    given = given[:LONGEST]
    coded = BytesWriter()
    huffman_encode(coded, given)
    assert coded.getvalue() == _THEIRS.encode(given)
    assert huffman(coded.getvalue()) == given
    text = huffman(given)
    try:
        want = bytes(decode_huffman(given))
    except hpack.HPACKError:
        assert text is None
        return
    if text is not None:
        assert text == want
        again = BytesWriter()
        huffman_encode(again, text)
        assert again.getvalue() == given, "two encodings of the same text"


def huffman(block: bytes) -> bytes | None:
    out = BytesWriter()
    try:
        huffman_decode(out, block, 0, len(block))
    except HPACKError:
        return None
    assert len(out) * 5 <= len(block) * 8
    return out.getvalue()


def decoded(kind: str, given: bytes) -> object:
    """What a decoder makes of it: fields or text, or the error."""
    if kind == "huffman":
        return huffman(given)
    decoder = Decoder()
    seen: list[object] = []
    at = 0
    while at < len(given):
        block = given[at + 1 : at + 1 + given[at]]
        at += 1 + given[at]
        try:
            fields = decoder.decode(block)
            seen.append([(type(f).__name__, f[0], f[1]) for f in fields])
        except (HPACKError, HeaderListTooLarge) as error:
            seen.append((type(error).__name__, str(error)))
        seen.append(decoder.table_size)
    return seen


CONNECTIONS: dict[str, Callable[[int], Watched]] = {
    "h1-server": h1_server,
    "h1-client": h1_client,
    "h2-server": h2_server,
    "h2-client": h2_client,
}

TARGETS: dict[str, Callable[[bytes], object]] = {
    "h1-server": check_h1_server,
    "h1-client": lambda data: check_connection(h1_client, data),
    "h2-server": lambda data: check_connection(h2_server, data),
    "h2-client": lambda data: check_connection(h2_client, data),
    "scripts": lambda data: play(*script_of(data)),
    "hpack": check_hpack,
    "huffman": check_huffman,
}
