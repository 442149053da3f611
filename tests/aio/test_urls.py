"""URLs: where they lead, and that nothing is asked of a host that other parsers would not ask.

Internationalized names, addresses in odd forms, authorities that two parsers read in two ways.
"""

import ssl
import sys
import unicodedata
from pathlib import Path

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cno import aio
from cno.aio.client.connect import Route
from cno.aio.client.urls import Target, resolve
from cno.aio.hosts import ascii_name, parse_host
from tests.aio.lab import HTTP1, Lab
from tests.rows import each_row

JOINER = "\N{ZERO WIDTH JOINER}"
SHARP = "fa\N{LATIN SMALL LETTER SHARP S}.test"


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "idna", None)


# -- names outside ASCII ---------------------------------------------------------------------------


@each_row(
    ("name", "encoded"),
    [
        (SHARP, "xn--fa-hia.test"),
        (SHARP.upper(), "fass.test"),  # what Python makes of it, before we see it
        ("FA\N{LATIN CAPITAL LETTER SHARP S}.test", "xn--fa-hia.test"),
        ("\N{GREEK SMALL LETTER ALPHA}\N{GREEK SMALL LETTER FINAL SIGMA}.test", "xn--mxa8a.test"),
        ("b\u00fccher.test", "xn--bcher-kva.test"),
        ("B\u00dcCHER.Test", "xn--bcher-kva.test"),
        ("bu\u0308cher.test", "xn--bcher-kva.test"),
        ("b\u00fccher\N{IDEOGRAPHIC FULL STOP}test.", "xn--bcher-kva.test."),
        ("\N{FULLWIDTH LATIN SMALL LETTER A}b.test", "ab.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
    ],
)
def test_idna_2008(name: str, encoded: str) -> None:
    target = Target(f"https://user:password@{name}/")
    assert (target.host, target.authority) == (encoded, encoded)
    assert target.server_name == encoded.removesuffix(".")


@each_row(
    "name",
    [
        f"a{JOINER}b.test",
        "i\N{HEAVY BLACK HEART}.test",
        "\N{ACCOUNT OF}.test",  # "a/c"
        "good\N{FULLWIDTH SOLIDUS}evil.test",
        "good\N{FULLWIDTH COMMERCIAL AT}evil.test",
        "\u00fc..test",
        "\u00fc" * 300,
        "a\udce9.test",
        # Digits of other kinds: browsers connect to 127.0.0.1.
        "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "\uff11\uff12\uff17.0.0.1",
        "\uff10x7f.1",
    ],
)
def test_names_that_are_none(name: str) -> None:
    for url in (f"http://{name}/", f"http://{name}:80", f"http://u:p@{name}/"):
        with pytest.raises(ValueError, match=r"host name|IPv4"):
            Target(url)


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("B\u00fcCHER.Test.", "xn--bcher-kva.test."),
        ("\u4f8b\u3048.test", "xn--r8jz45g.test"),
        ("\u03b1\u03b2.xn--p1ai", "xn--mxac.xn--p1ai"),
        ("\u043f\u0440\u0438\u043c\u0435\u0440-1.test", "xn---1-mlcluqhd.test"),
    ],
)
def test_names_that_need_no_package(name: str, encoded: str) -> None:
    assert Target(f"http://{name}/").host == encoded


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    "name",
    [
        SHARP,
        "\N{GREEK SMALL LETTER ALPHA}\N{GREEK SMALL LETTER FINAL SIGMA}.test",
        f"a{JOINER}b.test",
        f"\u00fc{JOINER}.test",
        "B\u00dcCHER.test",
        "bu\u0308cher.test",
        "\N{LATIN CAPITAL LETTER SHARP S}.test",
        "\N{CYRILLIC LETTER PALOCHKA}.test",  # its lower case is younger than IDNA 2003
        "\N{FULLWIDTH LATIN SMALL LETTER A}b.test",
        "b\u00fccher\N{IDEOGRAPHIC FULL STOP}test",
        "xn--\u00fc.test",
    ],
)
def test_names_that_need_the_package(name: str) -> None:
    with pytest.raises(ValueError, match=r"cno\[idna\]"):
        Target(f"https://user:password@{name}/")


@pytest.mark.parametrize("label", ["{}", "a{}b"])
def test_both_standards_agree_on_what_needs_no_package(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every character: what is converted without the package is what the package makes of it,
    unless that refuses it. (Ideographs and syllables are too many, and all alike.)"""
    monkeypatch.setitem(sys.modules, "idna", None)
    agreed = 0
    for point in [*range(0x80, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000, 3)]:
        name = label.format(chr(point))
        try:
            encoded = ascii_name(name)
        except ValueError:
            continue
        try:
            assert encoded.encode() == idna.encode(name, uts46=True), hex(point)
            agreed += 1
        except idna.IDNAError:
            assert unicodedata.category(chr(point)) in ("Lm", "Mn", "Nd", "Lo", "Mc"), hex(point)
    assert agreed > 3000


def test_names_are_bounded() -> None:
    label = "a" * 63
    assert Target(f"http://{label}.{label}.{label}.{label[:61]}/").port == 80
    for name in (f"{label}a.test", f"{label}.{label}.{label}.{label[:62]}", "a." * 500_000):
        with pytest.raises(ValueError, match="host name"):
            Target(f"http://{name}/")


# -- authorities -----------------------------------------------------------------------------------


@each_row(
    ("authority", "host", "named", "port"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 80),
        ("h.test:", "h.test", "h.test", 80),
        ("h.test:00081", "h.test", "h.test:81", 81),
        ("h.test.", "h.test.", "h.test.", 80),
        ("my_machine-1:65535", "my_machine-1", "my_machine-1:65535", 65535),
        ("[::1]:", "::1", "[::1]", 80),
        ("[0:0::0001]:81", "::1", "[::1]:81", 81),
        ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]", 80),
        ("[fe80::1%25eth0]:81", "fe80::1%eth0", "[fe80::1]:81", 81),
        ("1e100.test", "1e100.test", "1e100.test", 80),
        ("4.4.test", "4.4.test", "4.4.test", 80),
        ("0xg", "0xg", "0xg", 80),
    ],
)
def test_hosts_and_ports(authority: str, host: str, named: str, port: int) -> None:
    target = Target(f"http://{authority}/")
    assert (target.host, target.authority, target.port) == (host, named, port)
    assert target.address == f"{named.removesuffix(f':{port}')}:{port}"


HOSTILE = [
    *("good.test[::1]", "[::1]good.test", "[::1]x", "[::1", "::1", "[::1]]", "[[::1]]", "[]"),
    *("[v1.x]", "[127.0.0.1]", "[good.test]", "[::1.2]", "[::g]", "[::1%eth0]", "[::1%25]"),
    *("[::1%25a/b]", "[::1%25a%5d]", "[::1%2525%25]", "[fe80::1%25\u00fc]"),
    *("0x7f.1", "127.1", "0177.0.0.1", "2130706433", "0x7f000001", "127.0.0.01", "127.0.0.1."),
    *("127.0.0.256", "1.2.3.4.5", "a.0x1", "a.08", "0x", "127.0.0.0x", "0"),
    *("ex%61mple.test", "h%00.test", "%31%32%37.0.0.1", "%5b::1%5d"),
    *("h.test:x", "h.test:+80", "h.test:-1", "h.test:8 0", "h.test:\u0663", "h.test:99999"),
    *("h.test:0", "h.test:000080", "h.test:80:80", "[::1]:x", "[::1]:99999", "h.test:0x50"),
    *("a@b@h.test", "good.test\\@evil.test", "good.test\\", "u:p[@h.test", "u]@h.test", "@", ":80"),
    *(
        "u@",
        "u@:80",
        "u%@h.test",
        "u%zz@h.test",
        "u%0d%0a@h.test",
        "u:%00@h.test",
        "u\udce9@h.test",
    ),
    *(
        "",
        ".",
        "h..test",
        ".h.test",
        "h.test..",
        "h test",
        " h.test",
        "h.test ",
        "h,i",
        "h;i",
        "h'",
    ),
    *("h!", "h$", "h&i", "(h)", "h*", "h+i", "h=i", "h~", "h<", '"h"', "h^", "`h`", "{h}", "a|b"),
    *("h\t.test", "h.\ntest", "h\r.test", "h\0", "h\x7f"),
]


@pytest.mark.parametrize("authority", HOSTILE, ids=ascii)
def test_hosts_that_others_read_in_another_way(lab: Lab, authority: str) -> None:
    """Wherever a URL is taken, this one is refused, before anything is looked up."""

    async def main() -> None:
        url = f"http://{authority}/"
        for bad in (url, url[:-1], f"{url[:-1]}?q"):
            with pytest.raises(ValueError):  # noqa: PT011  # each has a text of its own
                Target(bad)
        with pytest.raises(ValueError):  # noqa: PT011  # the same
            await aio.connect(url)
        with pytest.raises(ValueError):  # noqa: PT011  # the same
            await aio.request("GET", url)
        with pytest.raises(ValueError):  # noqa: PT011  # the same
            aio.Pool(proxy=url)
        async with aio.Pool() as pool:
            with pytest.raises(ValueError):  # noqa: PT011  # the same
                await pool.request("GET", url)

    if authority.isascii() or lab.loop_factory is None:
        lab.run(main())


@each_row(
    "url",
    [
        *("http:/h.test/", "http:h.test", "http:\\\\h.test", "//h.test/", " http://h.test/"),
        *("ht\ntp://h.test/", "http://h.test/\tx", "http://h.test/#\r\n", "http\u017f://h.test/"),
        *("http://h.test/\ud800", "http://h.test/?\udfff", "javascript://h.test/"),
    ],
    ids=ascii,
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each has a text of its own
        Target(url)


@given(
    st.text(alphabet="ah0xX17fF.:[]@%25/?#\\-_~!\u00df\u2460\uff0f\u3002\u200d \t\n", max_size=24)
)
def test_what_is_taken_is_a_host(authority: str) -> None:
    """Anything else is a ValueError, and what is taken reads the same when it is read again."""
    try:
        target = Target(f"http://{authority}")
    except ValueError:
        return
    again = Target(f"http://{target.authority}{target.path}")
    assert (again.authority, again.path) == (target.authority, target.path)
    assert again.host == target.host.partition("%")[0]
    assert parse_host(target.authority.removesuffix(f":{target.port}")).address == again.host


def test_passwords_are_in_no_error_text() -> None:
    for url in ("http://u:secret@h[/x", "ftp://u:secret@h.test", "http://u:secret@h.test/\n"):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  # that is what is tested
            Target(url)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("userinfo", ["", ":"])
def test_empty_credentials_are_none(userinfo: str) -> None:
    assert Target(f"http://{userinfo}@h.test/").credentials is None


def test_zones_tell_origins_apart() -> None:
    urls = ["http://[fe80::1]/", "http://[fe80::1%25a]/", "http://[fe80::1%25b]/", "http://h./"]
    assert len({Target(url).origin for url in [*urls, "http://h/"]}) == 5


# -- what is asked for -----------------------------------------------------------------------------


@each_row(
    ("rest", "path"),
    [
        ("", "/"),
        ("?", "/?"),
        ("/?", "/?"),
        ("/?#", "/?"),
        ("#?", "/"),
        ("/a?b?c", "/a?b?c"),
        ("//a/../b", "//a/../b"),
        ("/a\\b[c]", "/a%5Cb%5Bc%5D"),
        ("/a\udce9b?\udcff", "/a%E9b?%FF"),
        ("/@evil.test:80/", "/@evil.test:80/"),
    ],
)
def test_paths(rest: str, path: str) -> None:
    assert Target(f"http://h.test{rest}").path == path


#: RFC 3986 5.4, of the base "http://a/b/c/d;p?q".
REFERENCES = {
    "g:h": "g:h", "g": "http://a/b/c/g", "./g": "http://a/b/c/g", "g/": "http://a/b/c/g/",
    "/g": "http://a/g", "//g": "http://g", "?y": "http://a/b/c/d;p?y", "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q#s", "g#s": "http://a/b/c/g#s", "g?y#s": "http://a/b/c/g?y#s",
    ";x": "http://a/b/c/;x", "g;x": "http://a/b/c/g;x", "g;x?y#s": "http://a/b/c/g;x?y#s",
    "": "http://a/b/c/d;p?q", ".": "http://a/b/c/", "./": "http://a/b/c/", "..": "http://a/b/",
    "../": "http://a/b/", "../g": "http://a/b/g", "../..": "http://a/", "../../": "http://a/",
    "../../g": "http://a/g", "../../../g": "http://a/g", "../../../../g": "http://a/g",
    "/./g": "http://a/g", "/../g": "http://a/g", "g.": "http://a/b/c/g.", ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..", "..g": "http://a/b/c/..g", "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/", "g/./h": "http://a/b/c/g/h", "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y", "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x", "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/./x": "http://a/b/c/g#s/./x", "g#s/../x": "http://a/b/c/g#s/../x",
    # Beyond the RFC's list.
    "/\\evil.test": "http://a/\\evil.test", "g?": "http://a/b/c/g?", "a\udce9": "http://a/b/c/a\udce9",
}  # fmt: skip  # a table


@pytest.mark.parametrize("scheme", ["http", "https", "h2c", "h2"])
def test_references(scheme: str) -> None:
    for reference, url in REFERENCES.items():
        wanted = url.replace("http:", f"{scheme}:")
        assert resolve(f"{scheme}://a/b/c/d;p?q#x", reference) == wanted, reference
    assert resolve(f"{scheme}://a", "g") == f"{scheme}://a/g"
    assert resolve(f"{scheme}://a?x", "?y") == f"{scheme}://a?y"


# -- TLS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hostname", "named"),
    [
        ("https://cno.test/", None, "cno.test"),
        ("https://cno.test./", None, "cno.test"),
        ("https://other.test/", "cno.test.", "cno.test"),
        ("https://other.test/", "CNO.test", "cno.test"),
        ("https://127.0.0.1/", None, None),
        (f"https://{SHARP}/", None, "xn--fa-hia.test"),
        ("https://other.test/", SHARP, "xn--fa-hia.test"),
    ],
    ids=ascii,
)
def test_names_of_servers(
    lab: Lab, tmp_path: Path, url: str, hostname: str | None, named: str | None
) -> None:
    """SNI and the certificate have a name in ASCII, without a dot at its end."""

    async def hello(request: aio.Request) -> None:
        await request.respond(200, [], (request.headers[1][1]).encode())

    async def main() -> None:
        seen: list[str | None] = []
        context = lab.certs.server("h2", "http/1.1")
        context.sni_callback = lambda _, name, __: seen.append(name)
        path = str(tmp_path / "socket")
        async with aio.serve(hello, path=path, ssl=context):
            try:
                async with await aio.connect(
                    url, lab.certs.client(), hostname, unix=path
                ) as client:
                    response = await client.request("GET", "/")
                    assert await response.payload.read() == Target(url).authority.encode()
            except aio.ConnectError as error:
                assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
                assert named == "xn--fa-hia.test"  # the certificate has others
        assert seen == [named]

    lab.run(main())


@each_row("name", ["a b", "h..test", "0x7f.1", "::g", f"a{JOINER}b"])
def test_names_that_no_certificate_has(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each has a text of its own
        Route(None, name, None, None)


def test_proxies_are_told_no_zone(lab: Lab) -> None:
    """A zone has a meaning on this machine only."""

    async def main() -> None:
        asked: list[str] = []

        async def proxy(request: aio.Request) -> None:
            asked.append(request.headers[0][1])
            await request.respond(502)

        async with lab.serving(HTTP1, proxy) as url:
            with pytest.raises(aio.ProxyError):
                await aio.connect("http://[fe80::1%25eth0]:81/", proxy=url, proxy_tunnel=True)
        assert asked == ["[fe80::1]:81"]

    lab.run(main())
