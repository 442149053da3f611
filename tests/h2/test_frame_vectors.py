"""The frames of a public set of vectors: ours have the same headers, the faulty ones are refused.

A faulty frame comes on an open stream of a server, or of a client where only that takes such
frames; the code it is refused with must be one of those that the vector names.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from librt.strings import BytesWriter

from cno import raw
from cno.h2.frames import patch_header, write_header
from tests.rows import each_row
from tests.states import client_open, server_open
from tests.support import feed
from tests.tree import ROOT

VECTORS = ROOT.parent / "shared" / "vectors" / "http2-frame-test-case"

pytestmark = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="the vectors are not beside the repository, in ../shared/vectors"
)


def vectors(faulty: bool) -> list[Path]:
    return sorted(
        path for path in VECTORS.glob("*/*.json") if (path.parent.name == "error") == faulty
    )


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_there_are_vectors() -> None:
    assert len(vectors(False)) >= 10
    assert len(vectors(True)) >= 20


def test_headers_are_written_alike() -> None:
    for path in vectors(False):
        vector = read(path)
        frame = vector["frame"]
        values = (frame["length"], frame["type"], frame["flags"], frame["stream_identifier"])
        out = BytesWriter()
        write_header(out, *values)
        patched = BytesWriter()
        write_header(patched, 0, 0, 0, 0)
        patch_header(patched, 0, *values)
        assert out.getvalue() == patched.getvalue() == bytes.fromhex(vector["wire"])[:9], path.name


@each_row("path", vectors(True), ids=lambda path: path.stem)
def test_faulty_frames_are_refused(path: Path) -> None:
    vector = read(path)
    wire = bytes.fromhex(vector["wire"])
    conn, _ = client_open() if path.name.startswith("push_promise") else server_open()
    # What the vector cuts off is not what is wrong with it.
    length = int.from_bytes(wire[:3], "big")
    feed(conn, wire + bytes(max(0, 9 + length - len(wire))))
    resets = [frame.code for frame in conn.frames() if frame.type == raw.CNO_FRAME_RST_STREAM]
    got = resets[0] if resets else conn.error and conn.error.code
    assert got in vector["error"], vector["description"]
