"""The local authority: made once, kept for this user alone, mkcert's if it is there."""

import os
import shlex
import socket
import ssl
import stat
import sys
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from cno.cli.certificates import VALID, issue, local_authority, mkcert_folder
from cno.cli.local_addresses import local_addresses
from cno.cli.problems import Problem
from tests.cli.test_terminal import fetch
from tests.processes import ENVIRONMENT, Running, serving


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("CAROOT", raising=False)
    return tmp_path


def test_it_lasts(home: Path) -> None:
    folder = home / "cno" / "ca"
    first = local_authority(folder)
    again = local_authority(folder)
    assert first.path == again.path == folder / "ca.crt"
    assert first.issuer.cert_pem.bytes() == again.issuer.cert_pem.bytes()
    assert sorted(os.listdir(folder)) == ["ca.crt", "ca.key"]
    assert sorted(os.listdir(folder.parent)) == ["ca"]
    made = x509.load_pem_x509_certificate(first.path.read_bytes())
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_its_key_is_a_secret(home: Path) -> None:
    folder = home / "cno" / "ca"
    local_authority(folder)
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    os.chmod(folder / "ca.key", 0o640)
    with pytest.raises(Problem, match="others may read"):
        local_authority(folder)


def test_files_that_are_none_of_ours(home: Path) -> None:
    folder = home / "ca"
    local_authority(folder)
    (folder / "ca.key").write_text("nonsense")
    with pytest.raises(Problem, match="cannot use the authority"):
        local_authority(folder)
    (folder / "ca.key").unlink()
    with pytest.raises(Problem, match="cannot use the authority"):
        local_authority(folder)
    (home / "file").touch()
    with pytest.raises(Problem, match="cannot write"):
        local_authority(home / "file" / "cno" / "ca")


def test_mkcert(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = trustme.CA(key_type=trustme.KeyType.RSA)
    monkeypatch.setenv("CAROOT", str(home / "root"))
    folder = mkcert_folder()
    folder.mkdir()
    theirs.cert_pem.write_to_path(str(folder / "rootCA.pem"))
    assert local_authority(home / "ours").path == home / "ours" / "ca.crt"  # half of it is nothing
    theirs.private_key_pem.write_to_path(str(folder / "rootCA-key.pem"))
    os.chmod(folder / "rootCA-key.pem", 0o400)
    authority = local_authority(home / "ours")
    assert authority.path == folder / "rootCA.pem"
    assert authority.issuer.cert_pem.bytes() == theirs.cert_pem.bytes()


def test_what_it_issues(home: Path) -> None:
    names = ["192.0.2.7", "box.local", ".dev.test", "*", "fd00::7", ""]
    issued = issue(local_authority(home / "ca").issuer, names)
    made = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "box.local", "*.dev.test"} == set(found.get_values_for_type(x509.DNSName))
    addresses = {str(each) for each in found.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1", "192.0.2.7", "fd00::7"}
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days <= VALID + 1 <= 825


@pytest.mark.slow
def test_a_client_that_trusts_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setitem(ENVIRONMENT, name, str(home))
    site = home / "site"
    site.mkdir()
    seen = set()
    for _ in range(2):
        with serving(site, "--local-ca") as served:
            line = served.running.wait_for("trust the server: (.*)")
            context = ssl.create_default_context(cafile=line[1])
            with (
                socket.create_connection(("127.0.0.1", served.port), 10) as sock,
                context.wrap_socket(sock, server_hostname="localhost") as secured,
            ):
                seen.add(secured.getpeercert(binary_form=True))
            seen.add(Path(line[1]).read_bytes())
    assert len(seen) == 3  # two certificates, one authority


@pytest.mark.slow
def test_an_application_on_a_phone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server prints how to install the certificate, and where to look."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setitem(ENVIRONMENT, name, str(home))
    site = home / "dist"
    site.mkdir()
    (site / "index.html").write_text("<title>app</title>")
    with serving(site, "--spa", "--lan", "--local-ca") as served:
        hint = served.running.wait_for("brings it there: cno serve (.*)")[1]
        with Running([sys.executable, "-m", "cno", "serve", *shlex.split(hint)]) as bringing:
            port = int(bringing.wait_for(r"http://[^/]+:(\d+)/ ")[1])
            answer = fetch(port, "/ca.crt")
            assert bringing.stop() == 0
        head, _, data = answer.partition(b"\r\n\r\n")
        assert b"\r\ncontent-type: application/x-x509-ca-cert\r\n" in head.lower()
        context = ssl.create_default_context(cadata=data.decode())
        with (
            socket.create_connection(("127.0.0.1", served.port), 10) as sock,
            context.wrap_socket(
                sock, server_hostname=(local_addresses() or ["127.0.0.1"])[0]
            ) as secured,
        ):
            secured.sendall(b"GET /deep/link HTTP/1.0\r\n\r\n")
            assert secured.makefile("rb").read().endswith(b"<title>app</title>")
