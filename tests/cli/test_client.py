"""`cno get` as a client to keep: resuming, retries, names, cookies, codings, statuses."""

import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cno.cli import content_coding
from cno.cli.app import run_app
from cno.cli.content_coding import CodingError, Decoder
from cno.cli.disposition import filename_of
from cno.cli.option_table import ArgumentError
from cno.cli.request_data import form, piece_of
from tests.cli.commands import POSIX, Here, answering, one_line
from tests.cli.echo import HOST, MODIFIED, TEXT, Echo, echoing
from tests.peers import free_port
from tests.processes import Pair


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with echoing() as running:
        yield running


# -- files that are continued ----------------------------------------------------------------------


def test_a_retry_continues_the_file(here: Here, echo: Echo) -> None:
    echo.cuts = 2
    echo.seen.clear()
    result = here("get", "-s", "--retry", "3", "--retry-delay", "0", "-o", "f", f"{echo.url}/cut")
    assert result.status == 0 and (here.folder / "f").read_bytes() == TEXT
    ranges = [(seen.header("range"), seen.header("if-range")) for seen in echo.seen]
    assert ranges[0] == (None, None)
    assert [tag for _, tag in ranges[1:]] == ['"tag-of-the-text"'] * 2
    starts = [int((text or "")[6:-1]) for text, _ in ranges[1:]]
    assert 0 < starts[0] < starts[1] < len(TEXT)
    assert os.listdir(here.folder) == ["f"]


def test_what_was_cut_short_is_continued_later(here: Here, echo: Echo) -> None:
    echo.cuts = 1
    url = f"{echo.url}/cut"
    line = one_line(here("get", "-C", "-", "-o", "f", url), 18)
    assert "bytes came" in line and "are missing" in line and "f.part; -C - continues" in line
    part = (here.folder / "f.part").read_bytes()
    assert part and TEXT.startswith(part)
    echo.seen.clear()
    assert here("get", "-C", "-", "-o", "f", url).status == 0
    assert echo.seen[0].header("range") == f"bytes={len(part)}-"
    assert (here.folder / "f").read_bytes() == TEXT
    assert os.listdir(here.folder) == ["f"]
    assert here("get", "-C", "-", "-o", "f", url).status == 0  # there is nothing left to get
    assert (here.folder / "f").read_bytes() == TEXT


def test_what_is_missing_of_the_whole_file(here: Here, echo: Echo) -> None:
    """A second cut counts what came before the first one, too."""
    echo.cuts = 2
    for came in (10_000, 20_000):
        line = one_line(here("get", "-C", "-", "-o", "f", f"{echo.url}/cut"), 18)
        missing = len(TEXT) - came
        assert f": {came:,} of {len(TEXT):,} bytes came, {missing:,} are missing" in line
    echo.cuts = 2
    retry = ("-sS", "--retry", "1", "--retry-delay", "0")
    line = one_line(here("get", *retry, "-o", "g", f"{echo.url}/cut"))
    assert "(what came is not kept: with -C - it is" in line
    assert f": 20,000 of {len(TEXT):,} bytes came" in line
    (here.folder / "h").write_bytes(TEXT[:5_000])
    echo.cuts = 1
    line = one_line(here("get", "-C", "5000", "-o", "h", f"{echo.url}/cut"), 18)
    assert f": 15,000 of {len(TEXT):,} bytes came" in line
    echo.cuts = 1  # a part that was asked for is all there is to get
    line = one_line(here("get", "-r", "1000-", "-o", "i", f"{echo.url}/cut"), 18)
    assert f": 10,000 of {len(TEXT) - 1_000:,} bytes came" in line


def test_another_representation_is_not_appended(here: Here, echo: Echo) -> None:
    url = f"{echo.url}/text"
    (here.folder / "f.part").write_bytes(b"of yesterday")
    (here.folder / "f.part.json").write_text(json.dumps({"url": url, "validator": '"old"'}))
    assert here("get", "-C", "-", "-o", "f", url).status == 0
    assert (here.folder / "f").read_bytes() == TEXT


def test_a_part_of_something_else_stays(here: Here, echo: Echo) -> None:
    (here.folder / "f.part").write_bytes(b"the user's")
    line = one_line(here("get", "-C", "-", "-o", "f", f"{echo.url}/text"))
    assert "f.part" in line
    assert (here.folder / "f.part").read_bytes() == b"the user's"


@POSIX
def test_a_part_is_no_link(here: Here, echo: Echo) -> None:
    victim = here.folder / "victim"
    victim.write_bytes(b"precious")
    url = f"{echo.url}/text"
    (here.folder / "f.part").symlink_to("victim")
    (here.folder / "f.part.json").write_text(json.dumps({"url": url, "validator": '"x"'}))
    assert here("get", "-C", "-", "-o", "f", url).status != 0
    assert victim.read_bytes() == b"precious"


LARGE = b"".join(b"%d of a file\n" % number for number in range(6_000))
OTHER = LARGE.replace(b"of a file", b"of others")


@pytest.fixture
def filed(echo: Echo) -> Echo:
    echo.file, echo.modified, echo.has_ranges, echo.cuts = LARGE, MODIFIED, True, 0
    echo.seen.clear()
    return echo


def test_a_file_of_others_is_continued_in_its_place(here: Here, filed: Echo) -> None:
    file = here.folder / "f"
    file.write_bytes(LARGE[:50_000])
    result = here("get", "-C", "-", "-o", "f", f"{filed.url}/file")
    assert (result.status, result.stderr) == (0, "")
    assert file.read_bytes() == LARGE
    # The end of what was there came again, and was compared.
    assert [seen.header("range") for seen in filed.seen] == ["bytes=33616-"]
    # A complete file is asked for its end.
    assert here("get", "-C", "-", "-f", "-R", "-o", "f", f"{filed.url}/file").status == 0
    assert file.read_bytes() == LARGE and len(filed.seen) == 2
    # -R gives it the server's time, which vouches for it too.
    assert here("get", "-C", "-", "-o", "f", f"{filed.url}/file").status == 0
    assert file.read_bytes() == LARGE and len(filed.seen) == 3
    assert os.listdir(here.folder) == ["f"]


@pytest.mark.parametrize(
    ("there", "content", "modified"),
    [
        (LARGE, OTHER + OTHER, MODIFIED),  # as long or longer, with other bytes
        (OTHER[:50_000], LARGE, MODIFIED),  # a file of something else
        (LARGE, OTHER[:1_000], MODIFIED),  # shorter
        (LARGE, OTHER[: len(LARGE) - 1_000], MODIFIED),
        (LARGE, LARGE + OTHER, "Fri, 01 Jan 2049 10:00:00 GMT"),  # later than the file
        (LARGE, LARGE + OTHER, ""),  # nobody knows
        (b"A" + bytes(40_000), b"B" + bytes(90_000), MODIFIED),  # zeros are all alike
        (b"small", LARGE, MODIFIED),
    ],
)
def test_another_file_is_fetched_from_its_start(
    here: Here, filed: Echo, there: bytes, content: bytes, modified: str
) -> None:
    filed.file, filed.modified = content, modified
    (here.folder / "f").write_bytes(there)
    result = here("get", "-C", "-", "-f", "-o", "f", f"{filed.url}/file")
    assert result.status == 0 and "f: the server has another file by now" in result.stderr
    assert (here.folder / "f").read_bytes() == content
    assert filed.seen[-1].header("range") is None
    assert os.listdir(here.folder) == ["f"]


def test_a_server_without_ranges_sends_the_whole_once(here: Here, filed: Echo) -> None:
    filed.has_ranges = False
    (here.folder / "f").write_bytes(LARGE[:50_000])
    assert here("get", "-C", "-", "-o", "f", f"{filed.url}/file").status == 0
    assert (here.folder / "f").read_bytes() == LARGE and len(filed.seen) == 1


def test_a_file_stays_until_the_other_one_is_complete(here: Here, filed: Echo) -> None:
    filed.file, filed.cuts = OTHER + OTHER, 2
    (here.folder / "f").write_bytes(LARGE)
    url = f"{filed.url}/file"
    result = here("get", "-C", "-", "-o", "f", url)
    assert result.status == 18 and "(in f.part; -C - continues)" in result.stderr
    assert (here.folder / "f").read_bytes() == LARGE
    assert here("get", "-C", "-", "-o", "f", url).status == 0
    assert (here.folder / "f").read_bytes() == OTHER + OTHER


def test_a_retry_in_place_goes_on_where_the_last_one_ended(here: Here, filed: Echo) -> None:
    filed.cuts = 2
    (here.folder / "f").write_bytes(LARGE[:30_000])
    retry = ("get", "-s", "--retry", "3", "--retry-delay", "0")
    assert here(*retry, "-C", "-", "-o", "f", f"{filed.url}/file").status == 0
    assert (here.folder / "f").read_bytes() == LARGE and len(filed.seen) == 3
    # From an offset that the user gives, by the tag of the first response.
    filed.cuts = 2
    (here.folder / "g").write_bytes(TEXT[:1_000])
    assert here(*retry, "-C", "1000", "-o", "g", f"{filed.url}/cut").status == 0
    assert (here.folder / "g").read_bytes() == TEXT
    assert filed.seen[-1].header("if-range") == '"tag-of-the-text"'


def test_offsets_that_the_user_gives(here: Here, filed: Echo) -> None:
    url = f"{filed.url}/text"
    assert here("get", "-C", "1000", "-o", "end", url).status == 0  # a file that is not there
    assert (here.folder / "end").read_bytes() == TEXT[1_000:]
    for _ in range(2):
        assert here("get", "-C", "0", "-o", "f", url).status == 0
        assert (here.folder / "f").read_bytes() == TEXT
    line = one_line(here("get", "-C", "1000", "-o", "f", url), 2)
    assert f"f has {len(TEXT):,} bytes: -C 1000 does not continue it" in line
    assert here("get", "-f", "-C", str(len(TEXT)), "-o", "f", url).status == 0
    (here.folder / "g").write_bytes(b"abc")
    line = one_line(here("get", "-C", "3", "-o", "g", f"{filed.url}/echo"), 33)
    assert "cannot be continued" in line
    line = one_line(here("get", "-C", "-", "-o", "g", f"{filed.url}/status/404"), 33)
    assert "status 404: g cannot be continued" in line
    assert (here.folder / "g").read_bytes() == b"abc"


def test_an_error_does_not_replace_a_part(here: Here, echo: Echo) -> None:
    url = f"{echo.url}/status/500"
    (here.folder / "f.part").write_bytes(b"so far")
    (here.folder / "f.part.json").write_text(json.dumps({"url": url, "validator": '"x"'}))
    assert here("get", "-C", "-", "-o", "f", url).status == 33
    assert (here.folder / "f.part").read_bytes() == b"so far"


# -- retries ---------------------------------------------------------------------------------------


def test_retries_end(here: Here, echo: Echo) -> None:
    echo.failures = 2
    retry = ("get", "-s", "--retry", "2", "--retry-delay", "0", f"{echo.url}/fail")
    assert here(*retry).stdout == b"tried\n"
    assert echo.failures == -1
    echo.failures = 5
    echo.seen.clear()
    assert here("get", "-f", *retry[1:]).status == 22
    assert len(echo.seen) == 3


def test_a_body_that_comes_once_is_not_sent_again(here: Here, echo: Echo) -> None:
    """The response to it is printed, though its status may pass."""
    echo.failures = 1
    with open(os.devnull, "rb") as empty, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", empty)
        url = f"{echo.url}/fail"
        result = here("get", "-s", "--retry", "2", "--retry-delay", "0", "-T", "-", url)
    assert (result.status, result.stdout) == (0, b"tried\n")


def test_retries_of_connections(here: Here) -> None:
    url = f"http://{HOST}:{free_port()}/"
    began = time.monotonic()
    assert here("get", "-s", "--retry", "3", url).status == 7
    assert time.monotonic() - began < 1
    retry = ("--retry", "2", "--retry-delay", "0", "--retry-connrefused")
    result = here("get", "-v", *retry, url)
    assert result.status == 7 and result.stderr.count("retrying") == 2


def test_a_retry_says_so(here: Here, echo: Echo) -> None:
    echo.cuts = 1
    retry = ("--retry", "1", "--retry-delay", "0")
    result = here("get", *retry, "-o", "f", f"{echo.url}/cut")
    assert result.status == 0 and result.stderr.count("\n") == 1
    assert "are missing; retrying in 0 s" in result.stderr
    echo.failures = 1
    result = here("get", *retry, f"{echo.url}/fail")
    assert "/fail: status 503; retrying in 0 s" in result.stderr
    line = one_line(here("get", *retry, f"http://{HOST}:{free_port()}/"), 7)
    assert "(--retry-connrefused retries that, too)" in line


def test_a_server_that_starts_again(here: Here) -> None:
    """After an interruption a refused connection may pass, too."""

    def serve(listener: socket.socket) -> None:
        with listener, listener.accept()[0] as sock:
            sock.recv(65_536)
            sock.sendall(b'HTTP/1.1 200 OK\r\netag: "x"\r\ncontent-length: 9\r\n\r\nabc')

    listener = socket.create_server((HOST, 0))
    url = f"http://{HOST}:{listener.getsockname()[1]}/"
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    retry = ("--retry", "2", "--retry-delay", "0")
    result = here("get", *retry, "-C", "-", "-o", "f", url)
    thread.join()
    assert result.status == 7 and result.stderr.count("retrying in 0 s") == 2
    assert result.stderr.endswith(" (in f.part; -C - continues)\n")


def test_nothing_is_printed_twice(here: Here, echo: Echo) -> None:
    echo.cuts = 1
    result = here("get", "--retry", "2", "--retry-delay", "0", f"{echo.url}/cut")
    assert result.status == 18 and TEXT.startswith(result.stdout)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("attachment; filename=a.txt", "a.txt"),
        ('attachment; filename="a b.txt"', "a b.txt"),
        ('attachment; filename="a\\"b"', 'a"b'),
        ("attachment; filename=a; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("attachment; filename*=iso-8859-1'en'%a3", "£"),
        ("attachment; filename*=utf-7'en'x; filename=y", "y"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="..\\\\x"', "x"),
        ("attachment", ""),
        ("attachment; filename=", ""),
        ('attachment; filename="', ""),
        (";" * 5_000, ""),
    ],
)
def test_the_name_that_a_server_suggests(value: str, name: str) -> None:
    assert filename_of(value) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("attachment;%20filename=.bashrc", "bashrc"),
        ("attachment;%20filename*=utf-8''..%252f..%252fx", "x"),
        ("attachment;%20filename*=utf-8''a%2500b%250a", "a_b_"),
        ("attachment", "name"),
    ],
)
def test_names_of_servers_are_made_safe(here: Here, echo: Echo, value: str, name: str) -> None:
    assert here("get", "-OJ", f"{echo.url}/name?name={value}").status == 0
    assert os.listdir(here.folder) == [name]


def test_a_server_replaces_no_file(here: Here, echo: Echo) -> None:
    (here.folder / "x").write_bytes(b"mine")
    url = f"{echo.url}/name?name=attachment;%20filename=x"
    one_line(here("get", "-OJ", url), 23)
    assert (here.folder / "x").read_bytes() == b"mine"


def test_the_time_of_a_file(here: Here, echo: Echo) -> None:
    assert here("get", "-R", "-O", f"{echo.url}/text").status == 0
    assert (here.folder / "text").stat().st_mtime == 1_751_364_000
    assert MODIFIED.startswith("Tue, 01 Jul 2025")


# -- connections -----------------------------------------------------------------------------------


def test_six_connections_over_http1(here: Here, echo: Echo) -> None:
    urls = [f"{echo.url}/echo/{number}" for number in range(20)]
    for options, most in ((["-O"], 6), ([], 1)):
        echo.connections.clear()
        assert here("get", "--http1.1", *options, *urls).status == 0
        assert len(echo.connections) <= most
    assert len(os.listdir(here.folder)) == 20


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_one_slow_file_holds_up_no_other(here: Here, echo: Echo, version: str) -> None:
    """Fetches that are complete make room for further ones, whatever the first one waits for."""
    echo.seen.clear()
    urls = [f"{echo.url}/last/20", *(f"{echo.url}/echo/{number}" for number in range(19))]
    result = here("get", "-m", "10", "-s", "--waterfall", version, "-O", *urls)
    assert result.status == 0 and len(echo.seen) == 20
    assert "slowest: GET /last/20, " in result.stderr


def test_one_connection_over_http2(here: Here, echo: Echo) -> None:
    urls = [f"{echo.url}/echo/{number}" for number in range(20)]
    echo.connections.clear()
    assert here("get", "--http2-prior-knowledge", "-O", *urls).status == 0
    assert len(echo.connections) == 1


def test_addresses_of_one_family(here: Here, echo: Echo) -> None:
    assert here("get", "-4", f"http://localhost:{echo.port}/echo").status == 0
    assert here("get", "-s", "-6", f"{echo.url}/echo").status in (6, 7)


@pytest.mark.parametrize(
    "args",
    [
        ["--resolve", "x"],
        ["--resolve", "host:80"],
        ["--resolve", "host:port:127.0.0.1"],
        ["--connect-to", "x"],
        ["--connect-to", "a:1:b:2:3"],
        ["--unix-socket", "x", "-x", "http://y/"],
        ["-C", "x", "-o", "f"],
        ["-C", "-"],
        ["-d", "x", "-F", "a=b"],
        ["-J"],
        ["-F", "x"],
        ["--limit-rate", "0"],
        ["--retry", "-1"],
        ["-m"],
        ["--silent=x"],
    ],
)
def test_usage(here: Here, args: list[str]) -> None:
    result = here("get", "http://a/", *args)
    assert result.status == 2 and "Error: " in result.stderr


def test_the_rate_is_limited(here: Here, echo: Echo) -> None:
    began = time.monotonic()
    result = here("get", "--limit-rate", "200k", f"{echo.url}/text")
    assert result.stdout == TEXT
    assert time.monotonic() - began > len(TEXT) / 204_800 * 0.8


@pytest.mark.parametrize("sent", [["-d", "x" * 5_000], ["-T", "file"], ["-F", "a=@file"]])
def test_the_rate_of_an_upload_is_limited(here: Here, echo: Echo, sent: list[str]) -> None:
    """The server still learns the length before the body."""
    here.folder.joinpath("file").write_bytes(b"x" * 5_000)
    began = time.monotonic()
    result = here("get", "--limit-rate", "50k", *sent, f"{echo.url}/echo")
    assert result.status == 0
    assert time.monotonic() - began > 5_000 / 51_200 * 0.5
    seen = echo.seen[-1]
    assert seen.header("content-length") == str(len(seen.body))
    assert b"x" * 5_000 in seen.body


def test_a_limited_upload_in_chunks(here: Here, echo: Echo) -> None:
    """The length is not added to a transfer coding, which excludes it."""
    coded = ["-H", "transfer-encoding: chunked"]
    result = here("get", "--limit-rate", "50k", "-d", "text", *coded, f"{echo.url}/echo")
    assert result.status == 0
    seen = echo.seen[-1]
    assert (seen.header("content-length"), seen.body) == (None, b"text")


# -- cookies and credentials -----------------------------------------------------------------------


def test_cookies_are_kept(here: Here, echo: Echo) -> None:
    assert here("get", "-c", "jar", f"{echo.url}/cookies/set").status == 0
    lines = (here.folder / "jar").read_text().splitlines()
    assert lines[0] == "# Netscape HTTP Cookie File"
    rows = [line.split("\t") for line in lines if line and line[0] != "#"]
    assert [(row[0], row[4] != "0", row[5]) for row in rows] == [
        (HOST, False, "one"),
        (HOST, True, "two"),
    ]
    echo.seen.clear()
    assert here("get", "-b", "jar", f"{echo.url}/cookies").status == 0
    assert echo.seen[0].header("cookie") == "one=1; two=2"


def test_credentials_of_a_file(here: Here, echo: Echo) -> None:
    (here.folder / "netrc").write_text(f"machine {HOST} login user password pass\n")
    (here.folder / "netrc").chmod(0o600)
    url = f"{echo.url}/basic"
    assert here("get", "--netrc-file", "netrc", url).stdout == b"in\n"
    assert here("get", url).stdout == b"out\n"
    assert here("get", "-u", "user:pass", url).stdout == b"in\n"


def test_credentials_stay_with_their_host(here: Here, echo: Echo) -> None:
    with echoing() as other:
        with answering(
            f"HTTP/1.1 302 F\r\nlocation: {other.url}/basic\r\ncontent-length: 0\r\n\r\n".encode()
        ) as url:
            assert here("get", "-L", "-u", "user:pass", "-b", "a=b", url).stdout == b"out\n"
        assert other.seen[0].header("authorization") is None
        assert other.seen[0].header("cookie") is None


# -- content codings -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["br", "zstd"])
def test_codings_by_libraries(name: str) -> None:
    module = content_coding.brotli() if name == "br" else content_coding.zstd()
    if module is None:
        pytest.skip("the library is not installed")
    data = module.compress(TEXT)
    assert b"".join(Decoder(name).feed(data)) == TEXT
    assert name in content_coding.accepted()
    decoder = Decoder(name)
    with pytest.raises(CodingError):
        list(decoder.feed(b"\xff\xfe this is not it" * 100))


def test_a_coding_that_inflates_is_decoded_in_pieces() -> None:
    data = gzip.compress(gzip.compress(bytes(200_000_000), 9), 9)
    total = 0
    for piece in Decoder("gzip, gzip").feed(data):
        assert len(piece) <= 1 << 20
        total += len(piece)
    assert total == 200_000_000


@pytest.mark.parametrize("codings", ["nonsense", "gzip, x-other", ",".join(["gzip"] * 9)])
def test_codings_that_are_unknown(codings: str) -> None:
    with pytest.raises(CodingError):
        Decoder(codings)


def test_a_coding_without_its_end(here: Here, echo: Echo) -> None:
    assert here("get", "-s", "--compressed", f"{echo.url}/coded/broken").status == 61


# -- data ------------------------------------------------------------------------------------------


def test_values_of_data(here: Here) -> None:
    assert piece_of("urlencode", "a=b c&ü") == b"a=b%20c%26%C3%BC"
    with pytest.raises(ArgumentError):
        form([("form", "nothing")])
    made = form([("form", "a=b;type=text/x"), ("string", 'q"="')])
    body = b"".join(made.make())
    assert len(body) == made.size
    assert b'name="a"\r\nContent-Type: text/x\r\n\r\nb\r\n' in body
    assert b'name="q%22"' in body


# -- statuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [("status/404", 22), ("redirect/60", 47), ("drop", 52), ("cut", 18), ("coded/bad", 61)],
)
def test_exit_statuses(here: Here, echo: Echo, path: str, status: int) -> None:
    echo.cuts = 1
    result = here("get", "-f", "-L", "--compressed", f"{echo.url}/{path}")
    assert result.status == status and result.stderr.count("\n") == 1


def test_exit_statuses_of_tls(here: Here, echo: Echo, pair: Pair) -> None:
    assert here("get", "-s", f"https://{HOST}:{echo.port}/").status == 35
    with echoing(pair) as secure:
        assert here("get", "-s", f"{secure.url}/echo").status == 60
        assert here("get", "-s", "--cacert", str(pair.authority), f"{secure.url}/echo").status == 0
    assert here("get", "-s", "--cacert", "none", "https://a/").status == 77
    assert here("get", "-s", "--cert", "none", "https://a/").status == 58


def test_exit_statuses_of_time(here: Here, echo: Echo) -> None:
    assert here("get", "-s", "-m", "0.1", f"{echo.url}/slow").status == 28
    with socket.create_server((HOST, 0)) as silent:
        url = f"https://{HOST}:{silent.getsockname()[1]}/"
        line = one_line(here("get", "--connect-timeout", "0.1", "-m", "5", url), 28)
        assert "cannot connect" in line and "timed out after 0.1 s" in line


def test_silence(here: Here) -> None:
    url = f"http://{HOST}:{free_port()}/"
    assert here("get", "-s", url).stderr == ""
    assert here("get", "-sS", url).stderr.startswith("cno: cannot connect")


# -- -w --------------------------------------------------------------------------------------------


def test_all_variables_as_json(here: Here, echo: Echo) -> None:
    result = here("get", "-s", "-o", "f", "-w", "%{json}", f"{echo.url}/text")
    found = json.loads(result.stdout)
    assert found["http_code"] == 200 and found["size_download"] == len(TEXT)
    assert found["remote_ip"] == HOST and found["remote_port"] == echo.port
    assert 0 < found["time_connect"] <= found["time_starttransfer"] <= found["time_total"]
    assert found["filename_effective"] == "f" and found["num_connects"] == 1
    result = here("get", "-s", "-w", "%{stderr}%{exitcode} %{errormsg}%{stdout}x", "http://[::1")
    assert result.stdout == b"x" and result.stderr.startswith("3 'http://[::1': ")


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "known"),
    [("--sielnt", "--silent"), ("--colour", "--color"), ("--out", "--output"), ("-B", "-b")],
)
def test_an_unknown_option_suggests_a_known_one(
    typed: str, known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["get", typed, "x"]) == 2
    said = capsys.readouterr().err
    assert f"No such option: {typed}." in said
    assert f"'{known}'" in said or known == "--color"


def test_options_as_curl_has_them(here: Here, echo: Echo) -> None:
    result = here("get", "-sSLo", "f", f"{echo.url}/redirect/1", "-XPOST", "--data=a=b")
    assert result.status == 0 and b'"method": "GET"' in (here.folder / "f").read_bytes()


def test_a_folder_for_files(here: Here, echo: Echo, tmp_path: Path) -> None:
    assert here("get", "-s", "--output-dir", "none", "-O", f"{echo.url}/text").status == 23
    assert here("get", "--output-dir", "a/b", "--create-dirs", "-O", f"{echo.url}/text").status == 0
    assert (tmp_path / "a/b/text").read_bytes() == TEXT
