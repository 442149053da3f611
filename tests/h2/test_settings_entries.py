"""How many entries one SETTINGS frame may have: `Limits.max_settings_entries`."""

import pytest

from cno.limits import Limits
from tests.support import (
    ACK,
    ENHANCE_YOUR_CALM,
    MAX_FRAME_SIZE,
    SETTINGS,
    FrameFactory,
    Recorder,
    client,
    expect_connection_error,
    server,
)


def made(side: str, most: int) -> tuple[Recorder, FrameFactory]:
    limits = Limits(max_settings_entries=most)
    return (server if side == "server" else client)(limits=limits)


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("most", [1, 6, 32])
def test_the_bound_is_exact(side: str, most: int) -> None:
    entry = (MAX_FRAME_SIZE, 16_384)
    conn, peer = made(side, most)
    conn.data_received(peer.settings([entry] * most))
    assert [(frame.type, frame.flags) for frame in conn.frames()] == [(SETTINGS, ACK)]
    conn = expect_connection_error(
        lambda: made(side, most), lambda p: p.settings([entry] * (most + 1)), ENHANCE_YOUR_CALM
    )
    assert conn.error is not None and conn.error.limit == "max_settings_entries"
