"""A user's program over `cno.hpack`, as strictly typed as it can be. Checked, never run."""

from typing import assert_type

from cno import hpack


def round_trip(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    encoder = hpack.Encoder(max_table_size=4096)
    decoder = hpack.Decoder(max_table_size=4096)
    secret = hpack.NeverIndexed(("authorization", "secret"))
    block = assert_type(encoder.encode([*fields, secret]), bytes)
    encoder.set_max_table_size(0)
    decoder.set_max_table_size(0)
    assert_type(decoder.table_size, int)
    try:
        return assert_type(decoder.decode(block), list[tuple[str, str]])
    except hpack.HPACKError:
        return []
