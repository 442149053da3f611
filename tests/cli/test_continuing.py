"""`cno get -C`: servers that answer with something else than the rest of a file."""

import json
import os

import pytest

from tests.cli.commands import Here, answering, one_line

LARGE = b"".join(b"%d of a file\n" % number for number in range(6_000))
#: What `-C -` asks for, if the file has 50,000 bytes: the last 16 KiB of it, and the rest.
HAS = 50_000
FROM = 33_616


def partly(start: int, end: int, fields: bytes = b"") -> bytes:
    """Return a response with a part of LARGE."""
    about = b"content-length: %d\r\ncontent-range: bytes %d-%d/%d\r\n"
    head = about % (end - start, start, end - 1, len(LARGE))
    return b"HTTP/1.1 206 Part\r\n" + head + fields + b"\r\n" + LARGE[start:end]


@pytest.mark.parametrize("status", [b"429 Later", b"404 None", b"204 Nothing", b"206 Part"])
def test_an_error_does_not_replace_a_file(here: Here, status: bytes) -> None:
    """The whole is asked for, since no Last-Modified vouches for the rest."""
    file = here.folder / "f"
    file.write_bytes(LARGE[:HAS])
    rest = b"\r\n" if status.startswith(b"204") else b"content-length: 9\r\n\r\nslow down"
    with answering(partly(FROM, len(LARGE)), b"HTTP/1.1 " + status + b"\r\n" + rest) as url:
        result = here("get", "-C", "-", "-o", "f", url)
    code = status[:3].decode()
    assert result.status == 33 and f"status {code}: f cannot be continued" in result.stderr
    assert file.read_bytes() == LARGE[:HAS] and os.listdir(here.folder) == ["f"]


def test_an_error_does_not_replace_a_part_without_validator(here: Here) -> None:
    with answering(b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops") as url:
        (here.folder / "f.part").write_bytes(b"so far")
        (here.folder / "f.part.json").write_text(json.dumps({"url": url, "validator": ""}))
        assert "cannot be continued" in one_line(here("get", "-C", "-", "-o", "f", url), 33)
    assert (here.folder / "f.part").read_bytes() == b"so far"
    assert not (here.folder / "f").exists()
