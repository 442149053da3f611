"""The TLS context of `cno serve`: a certificate of the user's, a new one, or one of an authority
that lasts.

Knows certificates and where they are kept. Must never know a connection or what is served.
"""

import datetime
import os
import shutil
import ssl
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from cno.cli.clear_text import https_context
from cno.cli.problems import Problem, reason
from cno.cli.text import one_line

#: The names of a certificate that we make, beside the host that the server listens on.
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
#: Days for which such a certificate is valid. Apple's systems accept 825 at most.
VALID: Final = 820
_MKCERT: Final = ("rootCA.pem", "rootCA-key.pem")
_OURS: Final = ("ca.crt", "ca.key")


class Authority(NamedTuple):
    """A local authority: `trustme.CA`, and the file with its certificate."""

    issuer: Any
    path: Path


def loaded(cert: str, key: str | None) -> ssl.SSLContext:
    """Return a context with the user's certificate. Raises Problem."""
    for path in (cert, key):
        if path is not None and not os.path.isfile(path):
            raise Problem(f"cannot use the certificate: no such file: {one_line(path)}")
    context = https_context()
    try:
        context.load_cert_chain(cert, key)
        return context
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = reason(error)
        if key is None and lacks_key(cert):
            why = "its private key is not in it: --key FILE"
        raise Problem(f"cannot use the certificate {cert}: {why}") from None


def lacks_key(path: str) -> bool:
    """Return whether a PEM file has a certificate and no private key."""
    with open(path, "rb") as file:
        text = file.read(1 << 20)
    return b"BEGIN CERTIFICATE-----" in text and b"PRIVATE KEY-----" not in text


def self_signed(names: Sequence[str]) -> ssl.SSLContext:
    """Return a context with a new certificate that no client trusts. Raises Problem."""
    context = https_context()
    new_certificate(names).configure_cert(context)
    return context


def issued(authority: Authority, names: Sequence[str]) -> ssl.SSLContext:
    """Return a context with a new certificate of an authority. Raises Problem."""
    context = https_context()
    issue(authority.issuer, names).configure_cert(context)
    return context


def new_certificate(names: Sequence[str]) -> Any:
    """Return a certificate of `trustme` for these and for local names. Raises Problem."""
    return issue(trustme("--self-signed").CA(), names)


def issue(issuer: Any, names: Sequence[str]) -> Any:
    """Return a certificate for these and for local names. Raises Problem."""
    named = [f"*{name}" if name[:1] == "." else name for name in names if name not in ("", "*")]
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    try:
        return issuer.issue_cert(
            *dict.fromkeys([*LOCAL_NAMES, *named]),
            organization_name="cno serve",
            not_before=now - datetime.timedelta(days=1),
            not_after=now + datetime.timedelta(days=VALID),
        )
    except ValueError as error:
        text = f"cannot make a certificate for {', '.join(named)}: {reason(error)}"
        raise Problem(text) from None


def trustme(option: str) -> Any:
    """Return the library. Raises Problem."""
    try:
        import trustme
    except ModuleNotFoundError:
        raise Problem(f"{option} needs trustme: pip install 'cno[cli]'") from None
    return trustme


# -- the authority that lasts ----------------------------------------------------------------------


def local_authority(folder: Path) -> Authority:
    """Return mkcert's authority if there is one, else ours in `folder`, made when needed.

    Raises Problem.
    """
    library = trustme("--local-ca")
    theirs = mkcert_folder()
    if all(theirs.joinpath(name).is_file() for name in _MKCERT):
        return read(library, theirs, _MKCERT)
    if not folder.exists():
        try:
            make(library, folder)
        except OSError as error:
            raise Problem(f"cannot write {folder}: {reason(error)}") from None
    return read(library, folder, _OURS)


def mkcert_folder() -> Path:
    """Return where mkcert keeps its authority."""
    if given := os.environ.get("CAROOT"):
        return Path(given)
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "mkcert"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "mkcert"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "mkcert"


def make(library: Any, folder: Path) -> None:
    """Make an authority. Another process may do the same: the first one's is there to stay."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = library.CA(
        path_length=0, organization_name="cno", organization_unit_name="cno local authority"
    )
    new = Path(tempfile.mkdtemp(prefix=".ca.", dir=folder.parent))  # for this user alone
    try:
        for name, blob in zip(_OURS, (made.cert_pem, made.private_key_pem), strict=True):
            fd = os.open(new / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(fd, "wb") as file:
                file.write(blob.bytes())
        os.rename(new, folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def read(library: Any, folder: Path, names: tuple[str, str]) -> Authority:
    """Read an authority. Raises Problem: its key is no secret, or the files are none of ours."""
    cert, key = (folder / name for name in names)
    try:
        if os.name == "posix" and stat.S_IMODE(key.stat().st_mode) & 0o077:
            raise Problem(f"others may read {key}: chmod 600 it, or remove {folder}")
        return Authority(library.CA.from_pem(cert.read_bytes(), key.read_bytes()), cert)
    except (OSError, ValueError) as error:
        raise Problem(f"cannot use the authority in {folder}: {reason(error)}") from None
