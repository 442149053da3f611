"""How `cno get` handles options, redirects and names of files, without a network."""

import os
from pathlib import Path

import pytest

from cno.cli.connecting import target_of
from cno.cli.fetch import Fetch, GetOptions, first_fetch, redirected
from cno.cli.problems import Problem
from cno.cli.request_data import FORM, of_bytes
from cno.cli.saved_file import SavedFile, remote_name, remote_names
from tests.rows import each_row

PERSONAL = [("authorization", "a"), ("cookie", "c"), ("host", "h"), ("proxy-authorization", "p")]
FIELDS = [("accept", "*/*"), ("content-type", "t"), *PERSONAL, ("x-mine", "m")]
NAMES = [name for name, _ in FIELDS]


def names(ask: Fetch) -> list[str]:
    return [name for name, _ in ask.headers]


def test_the_first_request() -> None:
    ask = first_fetch(GetOptions(("u",)), "u")
    assert (ask.method, names(ask), ask.content.make()) == ("GET", ["user-agent", "accept"], b"")
    ask = first_fetch(
        GetOptions(
            ("u",),
            data=of_bytes(b"", ("content-type", FORM)),
            headers=[("accept", ""), ("user-agent", "x")],
        ),
        "u",
    )
    assert ask.method == "POST"
    assert ask.headers == [
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", "x"),
    ]
    assert first_fetch(GetOptions(("u",), head=True), "u").method == "HEAD"
    assert first_fetch(GetOptions(("u",), data=of_bytes(b"x"), method="PUT"), "u").method == "PUT"


@each_row(
    ("url", "path"),
    [
        ("http://a/x/../b?c/../d#e", "/b?c/../d"),
        ("h2c://a/./b/..", "/"),
        ("http://a/../../b", "/b"),
        ("http://a?x/../y", "/?x/../y"),
        ("http://a//b", "//b"),
    ],
)
def test_dot_segments_are_not_sent(url: str, path: str) -> None:
    assert target_of(first_fetch(GetOptions((url,)), url).url).path == path


@each_row(
    ("url", "location", "path"),
    [
        ("http://a/x/y", "/\udce9", "/%E9"),  # a byte that is not UTF-8
        ("http://a/x/y", "/\\b", "/%5Cb"),
        ("http://a/x/y", "?", "/x/y?"),
        ("h2c://a/x/y", "z", "/x/z"),
        ("h2://a/x/y", "/z", "/z"),
    ],
)
def test_the_place_after_a_redirect(url: str, location: str, path: str) -> None:
    before, after = (
        target_of(url),
        target_of(redirected(Fetch(url, "GET", [], of_bytes(b"")), 302, location).url),
    )
    assert (after.origin, after.path) == (before.origin, path)


@each_row("location", ["//a@b@c/", "//a[::1]/", "//127.1/", "//a:+80/", "//a\\@b/"])
def test_places_that_lead_elsewhere(location: str) -> None:
    with pytest.raises(Problem):
        redirected(Fetch("http://a/", "GET", [], of_bytes(b"")), 302, location)


@each_row(
    ("method", "code", "then"),
    [
        ("GET", 301, "GET"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("PUT", 302, "PUT"),
        ("POST", 303, "GET"),
        ("DELETE", 303, "GET"),
        ("HEAD", 303, "HEAD"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
    ],
)
def test_the_method_after_a_redirect(method: str, code: int, then: str) -> None:
    ask = redirected(Fetch("http://a/x/y", method, FIELDS, of_bytes(b"body")), code, "../z?q#f")
    assert (ask.url, ask.method) == ("http://a/z?q#f", then)
    if then == method:
        assert (ask.content.make(), names(ask)) == (b"body", NAMES)
    else:
        assert ask.content.make() == b""
        assert names(ask) == [name for name in NAMES if name != "content-type"]


@each_row(
    ("location", "same"),
    [
        ("/z", True),
        ("http://A/z", True),
        ("http://a:80/z", True),
        ("//a/z", True),
        ("https://a/z", False),
        ("http://a:8080/z", False),
        ("http://b/z", False),
        ("//b/z", False),
        ("http://a.b/z", False),
    ],
)
def test_what_is_personal_stays_with_its_origin(location: str, same: bool) -> None:
    ask = redirected(Fetch("http://a/", "GET", FIELDS, of_bytes(b"")), 307, location)
    kept = [name for name, _ in PERSONAL if name in names(ask)]
    assert kept == ([name for name, _ in PERSONAL] if same else [])
    assert "x-mine" in names(ask)


@each_row(
    "location",
    [
        "file:///etc/passwd",
        "ftp://a/",
        "javascript:alert(1)",
        "http://user:password@a/",
        "http://a:port/",
        "http://a:99999/",
        "http://[::1/",
        "h2c://a/",
        "h2://a/",
        "H2C://a/",
        "//[::1/",
    ],
)
@each_row("url", ["http://a/", "h2c://a/", "h2://a/"])
def test_where_nobody_should_be_sent(location: str, url: str) -> None:
    with pytest.raises(Problem):
        redirected(Fetch(url, "GET", [], of_bytes(b"")), 302, location)


@each_row(
    ("url", "location", "then"),
    [
        ("h2c://a/x/y", "z", "h2c://a/x/z"),
        ("h2c://a/x", "/z?q", "h2c://a/z?q"),
        ("h2c://a:81/x", "http://a:81/z", "h2c://a:81/z"),
        ("h2c://a/x", "//a/z", "h2c://a/z"),
        ("h2c://a/x", "//b/z", "http://b/z"),
        ("h2c://a/x", "http://a:81/z", "http://a:81/z"),
        ("h2c://a/x", "https://a/z", "https://a/z"),
        ("h2://a/x", "/z", "h2://a/z"),
        ("h2://a/x", "http://a/z", "http://a/z"),
    ],
)
def test_the_chosen_protocol_stays(url: str, location: str, then: str) -> None:
    """It stays within the origin, and a server cannot choose it."""
    assert redirected(Fetch(url, "GET", [], of_bytes(b"")), 307, location).url == then


def test_targets_are_encoded() -> None:
    assert target_of("http://a/ü b?q=ü#f").path == "/%C3%BC%20b?q=%C3%BC"
    assert target_of("http://bücher.example/").host == "xn--bcher-kva.example"


@each_row(
    ("url", "name"),
    [
        ("http://a/x/file.txt?q=1#f", "file.txt"),
        ("http://a/", "index.html"),
        ("http://a", "index.html"),
        ("http://a/x/", "index.html"),
        ("http://a/..", "index.html"),
        ("http://a/%2e%2e", "index.html"),
        ("http://a/%2e%2e%2fetc%2fpasswd", "_etc_passwd"),
        ("http://a/..%5C..%5Cx", "_.._x"),
        ("http://a/.bashrc", "bashrc"),
        ("http://a/-rf", "rf"),
        ("http://a/a%00b%0Ac", "a_b_c"),
        ("http://a/%1b[31m", "_[31m"),
        ("http://a/C:%5Cx", "C__x"),
        ("http://a/con.txt", "_con.txt"),
        ("http://a/NUL", "_NUL"),
        ("http://a/%FF", "\N{REPLACEMENT CHARACTER}"),
        ("http://a/caf%C3%A9.txt", "café.txt"),
        ("http://a/x%20", "x"),
    ],
)
def test_a_name_for_a_file(url: str, name: str) -> None:
    assert remote_name(url) == name


def test_names_are_short() -> None:
    for url in ("http://a/" + "%F0%9F%98%80" * 300, "http://a/" + "x" * 5000 + ".txt"):
        name = remote_name(url)
        assert 0 < len(os.fsencode(name)) <= 200
    assert remote_name("http://a/" + "x" * 5000 + ".txt").endswith("x.txt")
    assert len(os.fsencode(remote_name("http://a/x." + "y" * 5000))) <= 200


def test_names_are_not_used_twice() -> None:
    urls = ["http://a/x", "http://b/X", "http://c/x.1", "http://d/x"]
    assert remote_names(urls) == ["x", "X.1", "x.1.1", "x.2"]
    # Names that are the same for some file systems: NFC and NFD, upper and lower case.
    urls = ["http://a/%C3%A9", "http://a/e%CC%81", "http://a/stra%C3%9Fe", "http://a/STRASSE"]
    assert len(set(remote_names(urls))) == 4
    assert remote_names(urls)[1::2] == ["e\u0301.1", "STRASSE.1"]


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with SavedFile(str(path)) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        file.done()
    assert path.read_bytes() == b"new"
    with pytest.raises(TypeError), SavedFile(str(path)) as file:
        file.write("newer")  # type: ignore[arg-type]  # an error in the middle
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("others", ["file.part", ".file.part"])
def test_no_other_file_is_touched(tmp_path: Path, others: str) -> None:
    """Temporary files have random names and are created exclusively."""
    other = tmp_path / others
    other.write_bytes(b"the user's")
    with SavedFile(str(tmp_path / "file")) as file, SavedFile(str(other)) as second:
        file.write(b"first")
        second.write(b"second")
        assert other.read_bytes() == b"the user's"
        file.done()
        assert other.read_bytes() == b"the user's"
        second.done()
    assert (tmp_path / "file").read_bytes() == b"first"
    assert other.read_bytes() == b"second"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(os.name != "posix", reason="links need privileges elsewhere")
def test_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "file").symlink_to("victim")
    (tmp_path / "file.part").symlink_to("victim")
    with SavedFile(str(tmp_path / "file")) as file:
        file.write(b"new")
        file.done()
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    with SavedFile(str(path)) as file:
        file.write(b"secret")
        file.done()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"secret"


def test_no_temporary_file_is_left_when_the_rename_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with SavedFile(str(path)) as file:
        file.write(b"x")
        path.mkdir()
        with pytest.raises((IsADirectoryError, PermissionError)):
            file.done()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_device_is_written_to() -> None:
    with SavedFile(os.devnull) as file:
        assert file.is_null
        file.write(b"x")
        file.done()
    assert not os.path.isfile(os.devnull)


@pytest.mark.parametrize("name", ["file", "missing", "folder"])
def test_no_other_file_is_the_null_device(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    assert not SavedFile(str(tmp_path / name)).is_null


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_folder_is_no_file(tmp_path: Path, is_remote: bool) -> None:
    with pytest.raises(IsADirectoryError):
        SavedFile(str(tmp_path), is_remote).__enter__()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
def test_a_url_does_not_choose_a_device(tmp_path: Path) -> None:
    """A device or a link that another user placed in the folder is replaced."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").symlink_to(".")
    for name in ("pipe", "link", "folder"):
        assert not SavedFile(str(tmp_path / name), is_remote=True).is_special
        with SavedFile(str(tmp_path / name), is_remote=True) as file:
            file.write(b"x")
            file.done()
        assert (tmp_path / name).is_file() and not (tmp_path / name).is_symlink()
    assert len(list(tmp_path.iterdir())) == 3
