"""Exit statuses of `cno get`: those of curl, so that scripts can tell failures apart.

Knows which error has which status. Must never know how an error is worded.
"""

import socket
import ssl
from typing import Final

from cno.aio.errors import ConnectError, ConnectionLostError, ProxyError, StreamError
from cno.errors import ConnectionError, ProtocolError

UNSUPPORTED: Final = 1
USAGE: Final = 2
MALFORMED_URL: Final = 3
PROXY_NOT_RESOLVED: Final = 5
NOT_RESOLVED: Final = 6
NOT_CONNECTED: Final = 7
WEIRD_REPLY: Final = 8
HTTP2: Final = 16
PARTIAL: Final = 18
STATUS: Final = 22
NOT_WRITTEN: Final = 23
NOT_READ: Final = 26
TIMED_OUT: Final = 28
NO_RANGE: Final = 33
TLS: Final = 35
REDIRECTS: Final = 47
NO_REPLY: Final = 52
NOT_RECEIVED: Final = 56
OWN_CERTIFICATE: Final = 58
CERTIFICATE: Final = 60
CODING: Final = 61
TOO_LARGE: Final = 63
AUTHORITIES: Final = 77
STREAM: Final = 92

#: What each status means, for docs/get.md.
MEANINGS: Final = {
    0: "All went well.",
    UNSUPPORTED: "The URL has another scheme than http or https, or the reply is not HTTP/1.1.",
    USAGE: "The arguments are not understood.",
    MALFORMED_URL: "The URL is malformed.",
    PROXY_NOT_RESOLVED: "The proxy's name has no address.",
    NOT_RESOLVED: "The host's name has no address.",
    NOT_CONNECTED: "No connection could be made.",
    WEIRD_REPLY: "The response breaks HTTP/1.1.",
    HTTP2: "The server broke HTTP/2.",
    PARTIAL: "The body was cut short.",
    STATUS: "The status is 400 or above (-f, --fail-with-body).",
    NOT_WRITTEN: "The file or the output could not be written.",
    NOT_READ: "A file to send could not be read.",
    TIMED_OUT: "It took too long.",
    NO_RANGE: "The server sent another part than the one that was asked for.",
    TLS: "TLS could not be agreed on.",
    REDIRECTS: "There were too many redirects.",
    NO_REPLY: "The server closed the connection without a reply.",
    NOT_RECEIVED: "The connection failed while the reply was awaited.",
    OWN_CERTIFICATE: "The client's certificate cannot be used.",
    CERTIFICATE: "The server's certificate is not trusted.",
    CODING: "The content coding is broken.",
    TOO_LARGE: "The body is larger than --limit max_body_size allows.",
    AUTHORITIES: "The file of --cacert cannot be used.",
    STREAM: "The server reset the stream.",
    130: "Ctrl-C ended it.",
    141: "Nobody reads the output any more.",
}


def of_connecting(error: OSError) -> int:
    """Return the status of a connection that could not be made."""
    cause: BaseException = error
    through_proxy = False
    while isinstance(cause, ConnectError):
        through_proxy = through_proxy or isinstance(cause, ProxyError)
        if isinstance(cause, TimeoutError):
            return TIMED_OUT
        if "[RFC 9113 " in str(cause):
            return HTTP2  # what came before the first request
        if cause.__cause__ is None:
            return NOT_RECEIVED if through_proxy else NOT_CONNECTED
        cause = cause.__cause__
    if isinstance(cause, socket.gaierror):
        return PROXY_NOT_RESOLVED if through_proxy else NOT_RESOLVED
    if isinstance(cause, ssl.SSLCertVerificationError):
        return CERTIFICATE
    if isinstance(cause, ssl.SSLError):
        return TLS
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return TIMED_OUT
    return NOT_CONNECTED


def of_exchange(error: BaseException, is_http2: bool, answered: bool) -> int:
    """Return the status of a request that failed; `answered`: its body had begun to come."""
    if isinstance(error, TimeoutError):
        return TIMED_OUT
    if isinstance(error, EOFError):
        return NOT_READ
    if isinstance(error, StreamError | ProtocolError) and error.rule:
        if error.rule == "RFC 9112 8":
            return PARTIAL
        if error.limit == "max_body_size":
            return TOO_LARGE
        if is_http2:
            return HTTP2 if error.code else STREAM
        return UNSUPPORTED if error.rule == "RFC 9112 4" else WEIRD_REPLY
    if isinstance(error, ConnectionLostError) and "[SSL" in str(error):
        return NOT_RECEIVED  # an alert, about our certificate for instance
    if isinstance(error, ConnectionLostError):
        return PARTIAL if answered else NO_REPLY
    if isinstance(error, StreamError):
        return STREAM if is_http2 else PARTIAL
    if isinstance(error, ConnectionError) or answered:
        return NOT_RECEIVED
    return 1
