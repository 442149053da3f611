"""Which files can be requested: hidden names, links that lead out, one file, a prefix."""

import io
import tarfile
from pathlib import Path

import pytest

from cno.cli.files import Files
from cno.cli.site import Site
from tests.cli.commands import Here
from tests.cli.test_files import ask
from tests.cli.test_listing import download


@pytest.fixture
def root(tmp_path: Path) -> Path:
    public = tmp_path / "public"
    (public / ".git").mkdir(parents=True)
    (public / "sub").mkdir()
    (public / ".env").write_text("hidden")
    (public / ".git" / "config").write_text("config")
    (public / "a.txt").write_text("a")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "b.txt").write_text("b")
    (tmp_path / "outside" / ".c").write_text("c")
    (public / "out").symlink_to("../outside")
    (public / "b").symlink_to(tmp_path / "outside" / "b.txt")
    (public / "to-git").symlink_to(".git")
    return public


def test_hidden_names(root: Path) -> None:
    handler = Files(root, hidden=True)
    assert ask(handler, "/.env").body == b"hidden"
    assert ask(handler, "/.git/config").body == b"config"
    assert ask(handler, "/to-git/config").body == b"config"
    page = ask(handler, "/").body.partition(b"<tbody>")[2]
    assert b">.env</a>" in page and b">.git/</a>" in page
    assert ask(handler, "/out/b.txt").code == 404
    assert ask(handler, "/%2e%2e/outside/b.txt").code == 400


def test_links_that_lead_out(root: Path) -> None:
    handler = Files(root, follow_links=True)
    assert ask(handler, "/b").body == b"b"
    assert ask(handler, "/out/b.txt").body == b"b"
    assert ask(handler, "/out").get("location") == "/out/"
    page = ask(handler, "/").body
    assert b">out/</a>" in page and b">b</a>" in page
    assert b">b.txt</a>" in ask(handler, "/out/").body
    for path in ("/out/.c", "/.env", "/to-git/config", "/out/%2e%2e/outside/b.txt"):
        assert ask(handler, path).code in (400, 404), path
    (root / "out" / "back").symlink_to(root / ".git")
    assert ask(handler, "/out/back/config").code == 404


def test_an_archive_obeys_the_same_rules(root: Path) -> None:
    def names(handler: Files) -> set[str]:
        body = download(handler, "/?archive=tar").body
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            return set(archive.getnames())

    assert names(Files(root)) == {"a.txt", "sub"}
    assert names(Files(root, hidden=True)) == {".env", ".git", ".git/config", "a.txt", "sub"}
    assert names(Files(root, follow_links=True)) == {"a.txt", "b", "sub"}


@pytest.mark.parametrize("name", ["a.txt", ".env", "b"])
def test_one_file(root: Path, name: str) -> None:
    (root / f"{name}.gz").write_bytes(b"compressed")
    (root / "404.html").write_text("lost")
    (root / "index.html").write_text("index")
    handler = Files(root / name, site=Site(single_page=True))
    for _ in range(2):
        found = ask(handler, f"/{name}", accept_encoding="gzip")
        assert found.body == (root / name).read_bytes()
        home = ask(handler, "/")
        assert (home.code, home.get("location")) == (302, f"/{name}")
        for path in ("/sub", "/sub/", "/index.html", "/404.html", f"/{name}/", "/b.txt", "/none"):
            answer = ask(handler, path)
            assert answer.code == 404, path
            assert b"lost" not in answer.body and b"index" not in answer.body
    assert ask(handler, f"/{name}", range="bytes=0-0").code == 206


def test_a_prefix(root: Path) -> None:
    site = Site(prefix="/docs/v1", single_page=True)
    (root / "index.html").write_text("index")
    (root / "sub" / "x.html").write_text("x")
    handler = Files(root, site=site)
    for _ in range(2):
        assert ask(handler, "/docs/v1/a.txt").body == b"a"
        assert ask(handler, "/docs/v1/").body == b"index"
        assert ask(handler, "/docs/v1/sub/x").body == b"x"
        assert ask(handler, "/docs/v1/route").body == b"index"
        for path in ("/a.txt", "/", "/sub/x", "/docs/v1a.txt", "/docs/v11/a.txt", "/route"):
            assert ask(handler, path).code == 404, path
    assert ask(handler, "/docs/v1?q").get("location") == "/docs/v1/?q"
    assert ask(handler, "/docs/v1/sub?q").get("location") == "/docs/v1/sub/?q"
    assert ask(handler, "/docs/v1/sub/", "HEAD").code == 200
    only = Files(root / "a.txt", site=site)
    assert ask(only, "/docs/v1/").get("location") == "/docs/v1/a.txt"


@pytest.mark.parametrize("prefix", ["docs", "/docs/", "//docs", "/", "/a b", "/..", "/a?b", "/%2f"])
def test_prefixes_that_are_none(here: Here, prefix: str) -> None:
    result = here("serve", "--prefix", prefix, "--port", "0")
    assert result.status == 2
    assert "a prefix is a path like /docs" in result.stderr
