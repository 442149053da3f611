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


# -- less than the rest (RFC 9110 15.3.7) ----------------------------------------------------------

TAGGED = b'etag: "tag"\r\n'
OLDER = b"last-modified: Tue, 01 Jul 2025 10:00:00 GMT\r\n"


@pytest.mark.parametrize("offset", ["-", str(HAS)])
def test_less_than_the_rest_of_a_file(here: Here, offset: str) -> None:
    file = here.folder / "f"
    file.write_bytes(LARGE[:HAS])
    with answering(partly(FROM if offset == "-" else HAS, 60_000, OLDER)) as url:
        line = one_line(here("get", "-C", offset, "-o", "f", url), 18)
    assert f"60,000 of {len(LARGE):,} bytes came (in f; -C - continues)" in line
    assert file.read_bytes() == LARGE[:60_000]
    with answering(partly(60_000 - (HAS - FROM), len(LARGE), OLDER)) as url:
        assert here("get", "-C", "-", "-o", "f", url).status == 0
    assert file.read_bytes() == LARGE and os.listdir(here.folder) == ["f"]


def test_less_than_the_rest_of_a_part(here: Here) -> None:
    """A retry asks for what is missing."""
    retry = ("get", "-sS", "--retry", "1", "--retry-delay", "0", "-C", "-", "-o", "f")
    ends = (20_000, 30_000, 40_000, len(LARGE))
    parts = [partly(*pair, TAGGED) for pair in zip((10_000, *ends), ends, strict=False)]
    with answering(*parts) as url:
        (here.folder / "f.part").write_bytes(LARGE[:10_000])
        (here.folder / "f.part.json").write_text(json.dumps({"url": url, "validator": '"tag"'}))
        line = one_line(here(*retry, url), 18)
        assert f"30,000 of {len(LARGE):,} bytes came (in f.part; -C - continues)" in line
        assert (here.folder / "f.part").read_bytes() == LARGE[:30_000]
        assert here(*retry, url).status == 0
    assert (here.folder / "f").read_bytes() == LARGE and os.listdir(here.folder) == ["f"]


def test_a_part_that_the_user_asked_for_is_complete(here: Here) -> None:
    with answering(partly(10, 20, TAGGED)) as url:
        assert here("get", "-r", "10-19", "-o", "f", url).status == 0
    assert (here.folder / "f").read_bytes() == LARGE[10:20]
