"""A connection whose events nobody listens to does the same: it says the same to its peer."""

from pathlib import Path

import pytest

from cno import raw
from tests.fuzz import octets
from tests.fuzz.observed import Watched
from tests.fuzz.targets import CORPUS
from tests.support import PREFACE, REQUEST_HEADERS, Headers


class Silent(raw.Connection):
    """Hears nothing but what it has to write; and promises and upgrades, which are made only to
    those who listen."""

    def __init__(self, server: bool) -> None:
        super().__init__(server)
        self.written: list[bytes] = []

    def on_writev(self, chunks: list[bytes]) -> None:
        self.written += chunks

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: Headers
    ) -> None:
        pass

    def on_upgrade(self, stream: int) -> None:
        pass


def like(conn: Watched, kind: str) -> Silent:
    """One that has done the same so far."""
    silent = Silent(conn.server_side)
    silent.disallow_h2_upgrade = conn.disallow_h2_upgrade
    silent.connection_made(kind.startswith("h2"))
    return silent


def give(conn: raw.Connection, data: bytes) -> tuple[int | None, int] | None:
    """What is raised in the end."""
    raised = None
    try:
        conn.data_received(data)
    except raw.ConnectionError as error:
        raised = (error.errno, error.code)
    try:
        conn.connection_lost()
    except raw.ProtocolError as error:
        raised = (error.errno, error.code)
    return raised


@pytest.mark.parametrize("kind", octets.CONNECTIONS)
def test_nobody_listens(kind: str) -> None:
    files: list[Path] = sorted((CORPUS / kind).iterdir())
    for path in files:
        data = path.read_bytes()[1:]
        heard = Watched(kind.endswith("server"))
        heard.connection_made(kind.startswith("h2"))
        silent = like(heard, kind)
        for conn in (heard, silent):
            prepare(conn, kind)
        given = PREFACE + data if kind == "h2-server" else data
        assert give(heard, given) == give(silent, given), path.name
        assert b"".join(heard.written) == b"".join(silent.written), path.name


def prepare(conn: raw.Connection, kind: str) -> None:
    """Requests for a server to answer, as those of the corpus do."""
    if kind == "h2-client":
        for method, final in (("GET", True), ("POST", False), ("HEAD", True)):
            fields: Headers = list(REQUEST_HEADERS)
            conn.write_head(conn.next_stream, 0, method, "/", fields, final)
    elif kind == "h1-client":
        for _ in range(3):
            conn.write_head(conn.next_stream, 0, "GET", "/", list(octets.HOST), True)
