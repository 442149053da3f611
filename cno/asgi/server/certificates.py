"""The TLS context of a server, by the options that servers of ASGI applications have in common.

Knows `ssl`. Must never know where an option comes from.
"""

import ssl
from typing import Any

from cno.aio import tls


def server_context(
    certfile: str,
    keyfile: str | None,
    password: str | None,
    ca_certs: str | None,
    cert_reqs: Any,
    ciphers: str | None,
) -> ssl.SSLContext:
    """Return the context. `cert_reqs`: whether clients need a certificate of one of `ca_certs`.

    Raises OSError, ssl.SSLError and ValueError for what cannot be used.
    """
    context = tls.server_context(certfile, keyfile, password)
    if ca_certs:
        context.load_verify_locations(ca_certs)
    context.verify_mode = ssl.VerifyMode(cert_reqs)
    if ciphers:
        context.set_ciphers(ciphers)
    return context
