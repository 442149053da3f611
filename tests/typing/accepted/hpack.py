"""Field blocks."""

from typing import assert_type

from cno.hpack import Decoder, Encoder, HPACKError


def main() -> None:
    block = Encoder().encode([(":method", "GET"), ("cookie", "a=b")])
    assert_type(block, bytes)
    try:
        assert_type(Decoder().decode(block), list[tuple[str, str]])
    except HPACKError as error:
        print(error)
