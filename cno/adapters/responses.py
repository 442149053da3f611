"""The methods of responses that read a whole body in fewer steps than httpx's own.

Stays interpreted: classes that derive from it derive from httpx's too.
"""

from functools import lru_cache
from typing import Any, ClassVar

#: Private attributes of httpx's responses that the methods below use.
USED: frozenset[str] = frozenset(("_content", "_num_bytes_downloaded", "_request"))
#: Status codes of responses that may redirect (RFC 9110 15.4).
REDIRECTS: frozenset[int] = frozenset((301, 302, 303, 307, 308))


class WholeBodies:
    """The base of a response, in front of `httpx.Response`. `_cno_module` is the package.

    To read a body, httpx runs it through five generators, which measure the time, decode it and cut
    it into chunks of the size that was asked for. A whole body without content codings needs none
    of that: these methods have the same effect, and leave everything else to httpx.
    """

    _cno_module: ClassVar[Any]
    #: The bodies of our transports, the blocking one and the asynchronous one.
    _cno_bodies: ClassVar[tuple[Any, Any]]
    #: The classes in which httpx's clients wrap them, which only measure the time.
    _cno_wrappers: ClassVar[tuple[Any, Any]] = (None, None)

    # -- attributes of httpx.Response --
    headers: Any
    extensions: Any
    stream: Any
    is_closed: bool
    is_stream_consumed: bool
    status_code: int
    _content: bytes
    _num_bytes_downloaded: int
    _request: Any

    @property
    def reason_phrase(self) -> str:
        if "reason_phrase" in self.extensions:
            text: str = super().reason_phrase  # type: ignore[misc]  # httpx's
            return text
        return phrase_of(self._cno_module.codes, self.status_code)

    @property
    def has_redirect_location(self) -> bool:
        if self.status_code not in REDIRECTS:
            return False
        answer: bool = super().has_redirect_location  # type: ignore[misc]  # httpx's
        return answer

    def read(self) -> bytes:
        if not self._is_readable(self._cno_module.SyncByteStream):
            content: bytes = super().read()  # type: ignore[misc]  # httpx's
            return content
        self.is_stream_consumed = True
        self._num_bytes_downloaded = 0
        pieces = []
        try:
            for piece in self._unwrapped(0):
                self._num_bytes_downloaded += len(piece)
                pieces.append(piece)
            self.is_closed = True
            self.stream.close()
        except self._cno_module.RequestError as error:
            self._name_request(error)
            raise
        self._content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._content

    async def aread(self) -> bytes:
        if not self._is_readable(self._cno_module.AsyncByteStream):
            content: bytes = await super().aread()  # type: ignore[misc]  # httpx's
            return content
        self.is_stream_consumed = True
        self._num_bytes_downloaded = 0
        pieces = []
        body = self._unwrapped(1)
        try:
            piece = body.take_whole() if type(body) is self._cno_bodies[1] else None
            if piece is None:
                async for piece in body:
                    self._num_bytes_downloaded += len(piece)
                    pieces.append(piece)
            else:
                self._num_bytes_downloaded = len(piece)
                pieces.append(piece)
            self.is_closed = True
            await self.stream.aclose()
        except self._cno_module.RequestError as error:
            self._name_request(error)
            raise
        self._content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._content

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A pickled response, or a copy, is one of httpx: who loads it need not have this class.
        state = self.__getstate__()
        return object.__new__, (self._cno_module.Response,), state

    def _is_readable(self, kind: Any) -> bool:
        """Return whether the whole body is still to come, as it is."""
        return (
            not self.is_stream_consumed
            and not self.is_closed
            and "_content" not in self.__dict__
            and isinstance(self.stream, kind)
            and "content-encoding" not in self.headers
        )

    def _unwrapped(self, at: int) -> Any:
        """Return what to read the body from: our own body, if only httpx's client wrapped it."""
        stream = self.stream
        if type(stream) is not self._cno_wrappers[at]:
            return stream
        body = getattr(stream, "_stream", None)
        return body if type(body) is self._cno_bodies[at] else stream

    def _name_request(self, error: Any) -> None:
        if self._request is not None:
            error.request = self._request


def response_class(module: Any, derived: type[WholeBodies]) -> Any:
    """Return the class of responses: `derived`, if the package has the attributes that it uses."""
    probe = module.Response(200, content=b"?")
    known = USED <= vars(probe).keys() and vars(probe)["_content"] == b"?"
    if not known:
        return module.Response
    clients = getattr(module, "_client", None)
    derived._cno_wrappers = (
        getattr(clients, "BoundSyncStream", None),
        getattr(clients, "BoundAsyncStream", None),
    )
    return derived


@lru_cache(maxsize=256)
def phrase_of(codes: Any, status_code: int) -> str:
    """Return the phrase of a status code, from httpx's enumeration."""
    phrase: str = codes.get_reason_phrase(status_code)
    return phrase
