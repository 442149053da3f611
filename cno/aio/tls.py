"""TLS contexts that meet the requirements of HTTP/2 (RFC 9113 section 9.2).

Knows `ssl` and the RFC's requirements. Must never know a connection.
"""

import asyncio.sslproto
import errno
import os
import ssl
import sys
import weakref
from asyncio import BaseTransport
from contextlib import suppress
from os import PathLike
from typing import Any, Final, TypeAlias, cast

from mypy_extensions import mypyc_attr

Path: TypeAlias = str | PathLike[str]

HTTP1: Final = "http/1.1"
#: The protocols for ALPN. Never "h2c", which is for clear text (RFC 9113 3.1, 3.2).
PROTOCOLS: Final = ("h2", HTTP1)

#: The default context of connections, once it has been made. It is shared because loading the
#: system's certificates is slow.
_default: Final[list[ssl.SSLContext]] = []
#: The same for connections that offer HTTP/1.1 alone.
_http1: Final[list[ssl.SSLContext]] = []


def server_context(
    certfile: Path, keyfile: Path | None = None, password: str | None = None
) -> ssl.SSLContext:
    """Return a server's context, with its certificate chain and key from PEM files.

    The key may be in the same file. Raises OSError and ssl.SSLError, which name the file.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    harden(context)
    try:
        context.load_cert_chain(certfile, keyfile, password)
    except OSError as error:
        raise named(error, certfile, keyfile) from None
    return context


def named(error: OSError, certfile: Path, keyfile: Path | None) -> OSError:
    """Return what to raise where `ssl` has not loaded a file, whose name it does not say."""
    paths = [os.fsdecode(path) for path in (certfile, keyfile) if path is not None]
    if not isinstance(error, ssl.SSLError):
        for path in paths:
            try:
                os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
            except OSError as with_name:
                return with_name
            if os.path.isdir(path):  # which can be opened, but not read
                return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return error
    files = " and ".join(dict.fromkeys(paths))
    text = f"cannot use {files}: {error.strerror or error}"
    if keyfile is None and lacks_key(certfile):
        text = f"{files} has no private key: name the key's file (keyfile)"
    # Of any type: OpenSSL may give no name of the reason, and `ssl` then has None for it.
    cause: Any = error
    found: Any = ssl.SSLError(cause.errno or 0, text)
    found.library = cause.library
    found.reason = cause.reason
    return cast(OSError, found)


def lacks_key(path: Path) -> bool:
    """Return whether a PEM file has no private key."""
    if not os.path.isfile(path):  # a pipe cannot be read twice
        return False
    with open(path, "rb") as file:
        data = file.read(1_048_576)
    return b"CERTIFICATE-----" in data and b"PRIVATE KEY-----" not in data


def client_context(cafile: Path | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """Return a client's context, which trusts the system's certificates, or those in `cafile`.

    With `verify` False it accepts any certificate: for tests.
    """
    if verify or cafile is not None:
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=cafile)
        except OSError as error:
            if cafile is None:
                raise
            raise named(error, cafile, cafile) from None
    else:
        # Loading the system's certificates may take 0.1 s, and nothing would look at them.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        keylog = os.environ.get("SSLKEYLOGFILE")
        if keylog and not sys.flags.ignore_environment:  # as `create_default_context` does
            context.keylog_filename = keylog
    harden(context)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def default_context() -> ssl.SSLContext:
    """Return the default context of clients. It is shared: do not change it."""
    if not _default:
        _default.append(client_context())
    return _default[0]


def http1_context() -> ssl.SSLContext:
    """Return the default context of clients that offer HTTP/1.1 alone."""
    if not _http1:
        context = client_context()
        context.set_alpn_protocols([HTTP1])
        _http1.append(context)
    return _http1[0]


@mypyc_attr(native_class=False)
class Http1Context(ssl.SSLContext):
    """A client's context that offers HTTP/1.1 alone, and is else one of the application's.

    `ssl` copies no contexts, and sets what ALPN offers for a whole context. So the application's
    context offers HTTP/1.1 alone for as long as one TLS object is being made. (Another thread that
    makes a connection by the same context at that moment gets HTTP/1.1.)
    """

    wrapped: ssl.SSLContext
    offered: list[str]

    @classmethod
    def of(cls, context: ssl.SSLContext) -> "Http1Context":
        """Return such a context; `context` offers HTTP/1.1 among others."""
        same = cls(ssl.PROTOCOL_TLS_CLIENT)
        same.wrapped = context
        same.offered = offered_protocols(context)
        return same

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        self.wrapped.set_alpn_protocols([HTTP1])
        try:
            return self.wrapped.wrap_bio(*args, **kwargs)
        finally:
            self.wrapped.set_alpn_protocols(self.offered)


def harden(context: ssl.SSLContext) -> None:
    """Set what HTTP/2 requires of a context; leave the cipher suites to Python and the system.

    Python prefers suites that HTTP/2 may use. If a peer supports only others, HTTP/1.1 works, and
    HTTP/2 is refused (`is_adequate`).
    """
    # > Implementations of HTTP/2 MUST use TLS version 1.2 [TLS12] or higher for HTTP/2 over TLS.
    # > (RFC 9113 9.2)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # > A deployment of HTTP/2 over TLS 1.2 MUST disable compression. ... A deployment of HTTP/2
    # > over TLS 1.2 MUST disable renegotiation.   (RFC 9113 9.2.1)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(PROTOCOLS))


def offer_protocols(context: ssl.SSLContext) -> None:
    """Make a client's context offer `PROTOCOLS` by ALPN, unless it offers some already."""
    if not offered_protocols(context):
        context.set_alpn_protocols(list(PROTOCOLS))


def offered_protocols(context: ssl.SSLContext) -> list[str]:
    """Return what a client's context offers by ALPN (RFC 7301 3.1).

    `ssl` has no way to ask, so this reads the ClientHello that it would send (RFC 8446 4.1.2).
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    trial = context.wrap_bio(incoming, outgoing, server_hostname="alpn.invalid")
    with suppress(ssl.SSLWantReadError):
        trial.do_handshake()
    data = extensions_of(outgoing.read()).get(ALPN, b"")
    offered: list[str] = []
    at = 2  # behind the length of the list
    while at < len(data):
        offered.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return offered


#: The number of the ALPN extension (RFC 7301 3.1).
ALPN: Final = 16


def extensions_of(hello: bytes) -> dict[int, bytes]:
    """Return the extensions of a ClientHello that is one record, by number."""
    at = 5 + 4 + 2 + 32  # the heads of record and message, the version, the random
    at += 1 + hello[at]  # the session id
    at += 2 + int.from_bytes(hello[at : at + 2], "big")  # the cipher suites
    at += 1 + hello[at]  # the compression methods
    at += 2
    found: dict[int, bytes] = {}
    while at + 4 <= len(hello):
        number = int.from_bytes(hello[at : at + 2], "big")
        size = int.from_bytes(hello[at + 2 : at + 4], "big")
        found[number] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def prepare_for_tls_inside(transport: BaseTransport) -> None:
    """Prepare a TLS transport for TLS inside it, which must be able to abort it.

    Before Python 3.11.8 and 3.12.2, asyncio's TLS transport raises TypeError from the method that
    the TLS inside calls to abort it, and the connection stays open (cpython#113214).
    """
    version = sys.version_info
    if version < (3, 11, 8) or (3, 12) <= version < (3, 12, 2):  # pragma: no branch - not in all
        if isinstance(transport, asyncio.sslproto._SSLProtocolTransport):
            outer: Any = transport
            outer._force_close = TransportAborter(outer)


class TransportAborter:
    """Aborts a transport when called with the reason, without keeping the transport alive."""

    def __init__(self, transport: Any) -> None:
        self._transport = weakref.ref(transport)

    def __call__(self, reason: object) -> None:
        transport = self._transport()
        if transport is not None:
            transport.abort()


def ssl_object_of(transport: BaseTransport) -> ssl.SSLObject | None:
    """Return the TLS object of a transport; None in clear text."""
    return cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))


def received_close_notify(secured: ssl.SSLObject) -> bool:
    """Return whether the peer sent close_notify, once the transport is at end of file.

    Without it, the end may be forged: anybody on the path can end the TCP connection.
    """
    try:
        return not secured.read(1)
    except ssl.SSLError:
        return False


def is_adequate(secured: ssl.SSLObject) -> bool:
    """Return whether HTTP/2 may use this TLS (RFC 9113 9.2): 1.3, or 1.2 with a modern cipher."""
    if secured.version() == "TLSv1.3":
        return True
    # > An endpoint MAY immediately terminate an HTTP/2 connection that does not meet these TLS
    # > requirements with a connection error (Section 5.4.1) of type INADEQUATE_SECURITY.
    # Appendix A allows ephemeral key exchange with an AEAD cipher.
    cipher = secured.cipher()
    name = "" if cipher is None else cipher[0]
    modern = "GCM" in name or "CHACHA20" in name or "CCM" in name
    return secured.version() == "TLSv1.2" and modern and name.startswith(("ECDHE-", "DHE-"))
