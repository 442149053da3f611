"""`cno get -C`: servers that answer with something else than the rest of a file."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.commands import POSIX, Here, answering, one_line
from tests.cli.echo import TEXT, echoing

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


# -- descriptors and devices -----------------------------------------------------------------------


def appending(file: Path) -> int:
    """Open a file as the shell does for ">>"."""
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@POSIX
def test_what_a_descriptor_leads_to_stays(here: Here) -> None:
    """The whole is asked for, and what the file has stays before it."""
    file = here.folder / "f"
    file.write_bytes(TEXT[:30_000])
    descriptor = appending(file)
    with echoing() as echo:
        url = f"{echo.url}/file"
        for args in (("-C", "-"), ()):
            assert here("get", *args, "-o", f"/dev/fd/{descriptor}", url).status == 0
    os.close(descriptor)
    assert file.read_bytes() == TEXT[:30_000] + TEXT + TEXT
    assert [seen.header("range") for seen in echo.seen] == [None, None]


@POSIX
@pytest.mark.parametrize("place", ["pipe", os.devnull])
def test_an_offset_of_what_goes_to_a_pipe(here: Here, place: str) -> None:
    """Nothing but the rest goes there."""
    start = len(LARGE) - 1_000
    pipe, end = os.pipe()
    path = f"/dev/fd/{end}" if place == "pipe" else place
    args = ("get", "-C", str(start), "-o", path)
    for wrong in (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
        b"HTTP/1.1 404 None\r\ncontent-length: 5\r\n\r\nerror",
        partly(start - 10, len(LARGE)),
    ):
        with answering(wrong) as url:
            one_line(here(*args, url), 33)
    with answering(partly(start, len(LARGE))) as url:
        assert here(*args, url).status == 0
    with answering(partly(start, len(LARGE) - 10)) as url:
        assert "bytes came" in one_line(here(*args, url), 18)
    os.close(end)
    expected = LARGE[start:] + LARGE[start:-10] if place == "pipe" else b""
    with open(pipe, "rb") as file:
        assert file.read() == expected
