"""TLS as HTTP/2 wants it (RFC 9113 section 9.2), from files or from the system's certificates.

Knows `ssl` and the RFC's demands. Must never know a connection.
"""

import ssl
from os import PathLike
from typing import Final, TypeAlias

Path: TypeAlias = str | PathLike[str]

#: What is offered and chosen by ALPN. Never "h2c": that is for clear text (RFC 9113 3.1, 3.2).
PROTOCOLS: Final = ("h2", "http/1.1")

#: For TLS 1.2: ephemeral key exchange and AEAD, thus none that RFC 9113 Appendix A prohibits.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"


def server_context(
    certfile: Path, keyfile: Path | None = None, password: str | None = None
) -> ssl.SSLContext:
    """A server's context: its certificate (and those that sign it) and its key, both PEM files.

    The key may be in the same file. Raises OSError and ssl.SSLError as `load_cert_chain` does.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    harden(context)
    context.load_cert_chain(certfile, keyfile, password)
    return context


def client_context(cafile: Path | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """A client's context: trusts the system's certificates, or only those in `cafile`.

    With `verify` False it trusts anybody: for tests.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=cafile)
    harden(context)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def harden(context: ssl.SSLContext) -> None:
    """Make a context fit for HTTP/2."""
    # > Implementations of HTTP/2 MUST use TLS version 1.2 [TLS12] or higher for HTTP/2 over TLS.
    # > (RFC 9113 9.2)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # > A deployment of HTTP/2 over TLS 1.2 MUST disable compression. ... A deployment of HTTP/2
    # > over TLS 1.2 MUST disable renegotiation.   (RFC 9113 9.2.1)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(list(PROTOCOLS))
