"""Cookie crumbs joined into one field keep what was said of them: that nobody may index it."""

import pytest

from cno.hpack import NeverIndexed
from tests.support import END_HEADERS, END_STREAM, HEADERS, REQUEST, frame, literal, server

PLAIN, NEVER = 0x00, 0x10


@pytest.mark.parametrize("forms", [(PLAIN, PLAIN), (PLAIN, NEVER), (NEVER, PLAIN), (NEVER, NEVER)])
def test_a_secret_crumb_makes_a_secret_cookie(forms: tuple[int, int]) -> None:
    # > An intermediary MUST NOT re-encode a value that uses the never-indexed literal
    # > representation with another representation   (RFC 7541 7.1.3)
    conn, peer = server()
    block = peer.block(REQUEST)
    block += literal(b"cookie", b"a=b", forms[0]) + literal(b"cookie", b"c=d", forms[1])
    conn.data_received(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    ((_, _, _, _, _, headers),) = conn.of("head")
    assert headers[-1] == ("cookie", "a=b; c=d")
    assert type(headers[-1]) is (NeverIndexed if NEVER in forms else tuple)
