"""Requests that a proxy forwards: the absolute-form of their target (RFC 9112 section 3.2.2).

Takes a request and returns the target and fields to send. Must never know a connection.
"""

from typing import Final

from cno.aio.client.request_spec import authority_of, has
from cno.aio.fields import Headers


class ForwardProxy:
    """How requests on a connection address the proxy that forwards them.

    `credentials` is the value of the `proxy-authorization` field, None if there is none. `fields`
    are others that the proxy gets with each request.
    """

    def __init__(self, credentials: str | None, fields: Headers) -> None:
        self._credentials: Final = credentials
        self._fields: Final = fields

    def fields(self, fields: Headers) -> Headers:
        """Return the header fields of the request, with the credentials for the proxy.

        A `proxy-authorization` field of the application's takes precedence.
        """
        if self._fields:
            fields = [*fields, *self._fields]
        if self._credentials is None or has(fields, "proxy-authorization"):
            return fields
        return [*fields, ("proxy-authorization", self._credentials)]

    def target(self, method: str, path: str, fields: Headers) -> str:
        """Return the request target in absolute-form.

        CONNECT keeps its authority-form, and a target that is a URL stays as it is.
        """
        # > When making a request to a proxy, other than a CONNECT or server-wide OPTIONS request
        # > (as detailed below), a client MUST send the target URI in absolute-form as the
        # > request-target.   (RFC 9112 3.2.2)
        if method == "CONNECT" or not (path == "" or path == "*" or path.startswith("/")):
            return path
        if path == "" and method != "OPTIONS":
            path = "/"
        # > If a proxy receives an OPTIONS request with an absolute-form of request-target in which
        # > the URI has an empty path and no query component, then the last proxy on the request
        # > chain MUST send a request-target of "*"   (RFC 9112 3.2.4)
        return f"http://{authority_of(fields)}{'' if path == '*' else path}"
