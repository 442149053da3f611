"""A folder as a site: fallbacks for missing files, fields of all responses, a password."""

import base64
import socket
from pathlib import Path

import pytest

from cno.cli.files import Files
from cno.cli.site import Site
from tests.cli.commands import Here
from tests.cli.test_files import Answer, ask
from tests.cli.test_terminal import fetch
from tests.processes import serving


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("index")
    (tmp_path / "about.html").write_text("about")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.html").write_text("docs a")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "secret").symlink_to("/etc/passwd")
    return tmp_path


def test_pages_without_their_ending(root: Path) -> None:
    handler = Files(root)
    for _ in range(2):
        assert ask(handler, "/about").body == b"about"
        assert ask(handler, "/docs/a?x").body == b"docs a"
    for path in ("/about/", "/none", "/folder", "/about.html.html", "/..%2fabout"):
        assert ask(handler, path).code in (400, 404), path
    (root / "about").write_text("the file itself")
    assert ask(handler, "/about").body == b"the file itself"


def test_a_page_for_missing_files(root: Path) -> None:
    handler = Files(root)
    assert b"There is no such file" in ask(handler, "/none").body
    (root / "404.html").write_text("lost")
    answer = ask(handler, "/none")
    assert (answer.code, answer.body) == (404, b"lost")
    assert answer.get("content-type") == "text/html; charset=utf-8"
    assert answer.get("etag") is None
    assert ask(handler, "/none", "HEAD").get("content-length") == "4"
    assert ask(handler, "/none", if_none_match="*").code == 404
    (root / "404.html").unlink()
    (root / "404.html").symlink_to("/etc/passwd")
    assert b"root:" not in ask(handler, "/none").body


def test_a_single_page_application(root: Path) -> None:
    handler = Files(root, site=Site(single_page=True))
    for path in ("/route", "/a/b/c?d", "/docs/none"):
        answer = ask(handler, path, accept="text/html,application/xhtml+xml")
        assert (answer.code, answer.body) == (200, b"index"), path
    for path in ("/users/john.doe", "/users/ada@example.com", "/v1.0"):
        assert ask(handler, path, accept="text/html,*/*").body == b"index"
        assert ask(handler, path, **{"sec-fetch-mode": "navigate"}).body == b"index"
        assert ask(handler, path, accept="*/*").code == 404
        assert ask(handler, path, accept="text/html", **{"sec-fetch-mode": "cors"}).code == 404
    assert ask(handler, "/app.js", accept="*/*").code == 404
    assert ask(handler, "/api", accept="application/json").code == 404
    assert ask(handler, "/%2e%2e/x", accept="text/html").code == 400
    assert ask(Files(root), "/route", accept="text/html").code == 404
    (root / "index.html").write_text("newer")
    assert ask(handler, "/route").body == b"newer"


def varied(answer: Answer) -> set[str]:
    """Return the fields that Vary names."""
    lines = [value for name, value in answer.headers if name == "vary"]
    return {name.strip() for line in lines for name in line.split(",")}


def test_caches_keep_pages_and_missing_files_apart(root: Path) -> None:
    """The same path has a page or none, by fields of the request (RFC 9110 12.5.5)."""
    handler = Files(root, site=Site(single_page=True))
    page = ask(handler, "/logo.png", accept="text/html")
    same = ask(handler, "/logo.png", accept="text/html", if_none_match=page.get("etag") or "")
    none = ask(handler, "/logo.png", **{"sec-fetch-mode": "no-cors"})
    assert [answer.code for answer in (page, same, none)] == [200, 304, 404]
    (root / "404.html").write_text("lost")
    own = ask(handler, "/logo.png", "HEAD", accept="image/*")
    for answer in (page, same, none, own):
        assert {"sec-fetch-mode", "accept"} <= varied(answer)
    for accept in ("text/html", "application/json"):
        assert "accept" in varied(ask(handler, "/route", accept=accept))
    # What is there is the same for all, and so is what another site lacks.
    for answer in (ask(handler, "/"), ask(handler, "/index.html"), ask(Files(root), "/a.png")):
        assert not {"sec-fetch-mode", "accept"} & varied(answer)


def fields_of(answer: Answer) -> dict[str, str]:
    return dict(answer.headers)


def test_fields_of_all_responses(root: Path) -> None:
    site = Site(headers=[("X-A", "1"), ("cache-control", "max-age=5"), ("x-a", "2")])
    handler = Files(root, site=site)
    for path in ("/about.html", "/about.html", "/none"):
        headers = ask(handler, path).headers
        assert ("x-a", "1") in headers
        assert ("x-a", "2") in headers
        assert [v for n, v in headers if n == "cache-control"] == ["max-age=5"]
    assert ask(Files(root, cache_control=None), "/about").get("cache-control") is None


def test_cors_and_isolation(root: Path) -> None:
    handler = Files(root, site=Site(cors=True))
    for path in ("/about.html", "/none"):
        assert ask(handler, path).get("access-control-allow-origin") == "*"
    answer = ask(handler, "/about.html", "OPTIONS", origin="http://b")
    assert answer.code == 204
    assert answer.get("access-control-allow-methods") == "GET, HEAD, OPTIONS"
    handler = Files(root, site=Site(isolate=True))
    answer = ask(handler, "/")
    assert answer.get("cross-origin-opener-policy") == "same-origin"
    assert answer.get("cross-origin-embedder-policy") == "require-corp"
    assert ask(Files(root), "/").get("access-control-allow-origin") is None


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_credentials(root: Path) -> None:
    handler = Files(root, site=Site(auth="me:s3:cret"))
    for path in ("/about.html", "/about.html", "/", "/none"):
        answer = ask(handler, path)
        assert answer.code == 401
        assert (answer.get("www-authenticate") or "").startswith("Basic realm=")
        expected = 404 if path == "/none" else 200
        assert ask(handler, path, authorization=basic("me:s3:cret")).code == expected
    for wrong in (
        *(basic("me:s3:cre"), basic("me:s3:cret2"), basic(""), "Basic", "Basic !", "Bearer x"),
        *("", basic("ME:s3:cret"), "me:s3:cret"),
    ):
        assert ask(handler, "/about.html", authorization=wrong).code == 401, wrong
    assert ask(handler, "/", "POST").code == 401


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--add-header", "x", "should be 'name: value'"),
        ("--add-header", "content-length: 5", "the server sets content-length itself"),
        ("--add-header", "a b: c", "malformed header field 'a b'"),
        ("--auth", "nocolon", "credentials are USER:PASSWORD"),
        ("--header", "a:b", "--header is for applications"),
    ],
)
def test_options_that_cannot_work(here: Here, option: str, value: str, problem: str) -> None:
    result = here("serve", "--port", "0", option, value)
    assert result.status == 2
    assert result.stdout == b""
    assert problem in result.stderr


def test_options_of_folders_are_not_for_applications(here: Here) -> None:
    result = here("serve", "module:app", "--add-header", "a: b")
    assert result.status == 2
    assert "--add-header is for folders" in result.stderr


def test_the_short_name_of_the_port(here: Here) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in here("serve", "-p", str(port)).stderr


@pytest.mark.slow
def test_options_reach_the_files(root: Path) -> None:
    options = (
        "--add-header",
        "X-A: 1",
        "--cors",
        "--isolate",
        "--spa",
        "--cache-control",
        "no-store",
    )
    with serving(root, *options) as served:
        head = fetch(served.port).lower().partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"http/1.1 200 ok"
    for line in (
        b"x-a: 1",
        b"access-control-allow-origin: *",
        b"cross-origin-opener-policy: same-origin",
        b"cache-control: no-store",
    ):
        assert line in head
    with serving(root, "--auth", "me:secret") as served:
        assert fetch(served.port).startswith(b"HTTP/1.1 401 ")
