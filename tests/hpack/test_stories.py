"""Stories that other implementations encoded, and our encoding of them read by another."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hpack
import pytest

from cno.hpack import Decoder, Encoder
from tests.hpack.wire import STORIES, Pairs, peer_decoder, text_of

pytestmark = pytest.mark.skipif(
    not STORIES.is_dir(), reason="the stories are not beside the repository, in ../shared/vectors"
)


class Case(NamedTuple):
    #: SETTINGS_HEADER_TABLE_SIZE of the decoder, acknowledged just before this block.
    table_size: int | None
    wire: bytes
    headers: Pairs


def story(path: Path) -> Iterator[Case]:
    for case in json.loads(path.read_text())["cases"]:
        headers = [pair for field in case["headers"] for pair in field.items()]
        size = case.get("header_table_size")
        yield Case(size, bytes.fromhex(case.get("wire", "")), headers)


def stories(folder: str) -> list[Path]:
    return sorted(STORIES.joinpath(folder).glob("*.json"))


@pytest.mark.parametrize("folder", ["go-hpack", "nghttp2-change-table-size"])
def test_decoded(folder: str) -> None:
    for path in stories(folder):
        decoder = Decoder()
        for case in story(path):
            if case.table_size is not None:
                decoder.set_max_table_size(case.table_size)
            assert decoder.decode(case.wire) == case.headers, path


def test_there_are_stories() -> None:
    assert len(stories("raw-data")) > 10


@pytest.mark.parametrize("table_size", [0, 256, 4096])
def test_encoded_for_another(table_size: int) -> None:
    for path in stories("raw-data"):
        encoder, theirs, ours = Encoder(table_size), peer_decoder(), Decoder()
        for case in story(path):
            block = encoder.encode(case.headers)
            assert text_of(theirs, block) == case.headers, path
            assert ours.decode(block) == case.headers, path
            assert ours.table_size == encoder.table_size <= table_size


def test_encoded_with_changing_tables() -> None:
    for path in stories("nghttp2-change-table-size"):
        encoder, theirs = Encoder(1 << 16), peer_decoder()
        for case in story(path):
            if case.table_size is not None:
                encoder.set_max_table_size(case.table_size)
                theirs.max_allowed_table_size = case.table_size
            assert text_of(theirs, encoder.encode(case.headers)) == case.headers, path


def test_encoded_by_another() -> None:
    for path in stories("raw-data"):
        theirs, decoder = hpack.Encoder(), Decoder()
        for case in story(path):
            assert decoder.decode(theirs.encode(case.headers)) == case.headers, path


def test_the_encoder_is_frugal() -> None:
    """No more octets than an encoder that indexes all it can."""
    ours_took = theirs_took = 0
    for path in stories("raw-data"):
        ours, theirs = Encoder(), hpack.Encoder()
        for case in story(path):
            ours_took += len(ours.encode(case.headers))
            theirs_took += len(theirs.encode(case.headers))
    assert ours_took <= theirs_took
