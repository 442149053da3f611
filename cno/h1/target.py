"""The four forms of a request target (RFC 9112 section 3.2).

Takes text that `parse` has checked for its characters. Knows no connection.
"""

from mypy_extensions import mypyc_attr

from cno.h1.parse import malformed
from cno.headers import is_authority, is_scheme


@mypyc_attr(acyclic=True)
class RequestTarget:
    """The parts of a request target; None for a part that its form does not have."""

    def __init__(self, scheme: str | None, authority: str | None, path: str) -> None:
        self.scheme = scheme
        self.authority = authority
        self.path = path


def split(method: str, target: str) -> RequestTarget:
    """Split a target that is not an ordinary origin-form."""
    if method == "CONNECT":
        return _authority_form(target)
    if target.startswith("/"):
        return RequestTarget(None, None, target)
    if target == "*":
        # > The asterisk-form of request-target is only used for a server-wide OPTIONS request
        if method != "OPTIONS":
            raise malformed("target * with another method than OPTIONS", "RFC 9112 3.2.4")
        return RequestTarget(None, None, target)
    return _absolute_form(method, target)


def _authority_form(target: str) -> RequestTarget:
    # > The authority-form of request-target is only used for CONNECT requests. It consists of only
    # > the uri-host and port number of the tunnel destination   (RFC 9112 3.2.3)
    # > A server MUST reject a CONNECT request that targets an empty or invalid port number,
    # > typically by responding with a 400 (Bad Request) status code.   (RFC 9110 9.3.6)
    if not has_port(target):
        raise malformed("CONNECT needs a host and a port", "RFC 9112 3.2.3")
    return RequestTarget(None, target, "")


def has_port(authority: str) -> bool:
    """Whether this is host ":" port, with a port below 65536."""
    # is_authority leaves at most five ASCII digits for int(), which accepts digits of all scripts,
    # refuses some that isdigit() accepts, and raises for more than 4,300.
    if not is_authority(authority):
        return False
    _, colon, port = authority.rpartition(":")
    return colon == ":" and port.isdigit() and int(port) < 65536


def _absolute_form(method: str, target: str) -> RequestTarget:
    # > When an origin server receives a request with an absolute-form of request-target, the origin
    # > server MUST ignore the received Host header field (if any) and instead use the host
    # > information of the request-target.   (RFC 9112 3.2.2)
    scheme, colon, rest = target.partition("://")
    if colon == "" or not is_scheme(scheme):
        raise malformed("malformed request target", "RFC 9112 3.2")
    end = len(rest)
    for mark in ("/", "?"):
        at = rest.find(mark)
        if 0 <= at < end:
            end = at
    authority, path = rest[:end], rest[end:]
    # > A recipient that processes such a URI reference MUST reject it as invalid.   (RFC 9110
    # > 4.2.1, of an "http" URI with an empty host identifier)
    if authority == "" or not is_authority(authority):
        raise malformed("malformed authority in the request target", "RFC 9110 4.2")
    if path == "" and method == "OPTIONS":
        # > If a proxy receives an OPTIONS request with an absolute-form of request-target in which
        # > the URI has an empty path and no query component, then the last proxy on the request
        # > chain MUST send a request-target of "*"   (RFC 9112 3.2.4)
        path = "*"
    elif not path.startswith("/"):
        path = "/" + path
    return RequestTarget(scheme.lower(), authority, path)
