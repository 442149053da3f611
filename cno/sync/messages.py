"""`Response`, `Push` and `Payload`: what applications read.

Must never know how a connection was chosen.
"""

import json
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, cast, overload

from cno.aio.errors import BodyTooLargeError, StatusError
from cno.aio.fields import Headers
from cno.aio.incoming import ITERATED, charset_of
from cno.const import CNO_RST_CANCEL
from cno.errors import UsageError
from cno.headers import content_length
from cno.sync.connection_io import begin, flush
from cno.sync.exchange import (
    NO_PUSH,
    PUSH,
    OnInformational,
    await_continue,
    await_head,
    cancel,
    drop_pieces,
    read_piece,
    send_body,
    timed_out,
    try_open,
    unanswered,
    upload_of,
    wait_for,
    write_some,
)
from cno.sync.polling import not_open
from cno.sync.request_spec import RequestSpec
from cno.sync.state import Link, StreamState, error_of
from cno.sync.timeouts import Deadlines
from cno.sync.upload import Upload

#: Bytes of the pieces of `for piece in response`, at most; and of a read of the whole.
PIECE: Final = 131_072
ALL: Final = 1 << 40


class Response(StreamState):
    """The response to a request.

    `code` is the status, `headers` are the fields, `reason` is the reason phrase in HTTP/1.1; in
    HTTP/2, which has none, it is '' (RFC 9113 8.3.2). `stream` is the id of the stream. Read the
    body by `read`, `text`, `json`, by iteration, or piece by piece from `payload`; or leave `with`,
    which cancels the rest. Until then, the response occupies its stream, or in HTTP/1.1 its
    connection.

    `informational` has the first `Limits.max_informational` interim (1xx) responses, as (code,
    headers). `trailers` is None until the body is complete, and if it has none. One thread at a
    time reads a response.
    """

    def __init__(self, link: Link, deadlines: Deadlines) -> None:
        super().__init__(link, 0)
        self._deadlines = deadlines
        self._upload: Upload | None = None
        self._content: bytes | None = None
        self._iterated = 0  # the bytes that the iteration has returned
        self._payload: Payload | None = None

    def __repr__(self) -> str:
        return f"<Response {self.code} stream={self.stream}>"

    @property
    def is_http2(self) -> bool:
        """Whether the response came over HTTP/2."""
        return self._link.is_http2

    # -- fields ----------------------------------------------------------------------------------

    @overload
    def header(self, name: str) -> str | None: ...

    @overload
    def header(self, name: str, default: str) -> str: ...

    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a field; `default` if there is none. The case of the name does
        not matter. (RFC 9110 5.3)"""
        wanted = name.lower()
        for key, value in self.headers:
            if key == wanted:
                return value
        return default

    def header_values(self, name: str) -> list[str]:
        """Return all values of a field, in their order. Values with commas are not split."""
        wanted = name.lower()
        return [value for key, value in self.headers if key == wanted]

    def raise_for_status(self) -> "Response":
        """Raise StatusError if the status is 400 or more; otherwise return this response."""
        if self.code >= 400:
            raise StatusError(self.code, self.reason, self.headers)
        return self

    # -- the body --------------------------------------------------------------------------------

    @property
    def payload(self) -> "Payload":
        """The body as a binary file that can be read once, piece by piece."""
        if self._payload is None:
            self._payload = Payload(self)
        return self._payload

    def read(self, limit: int | None = None) -> bytes:
        """Return the whole body; later calls return the same bytes.

        `limit` is the largest size, in bytes, that is accepted. Raises BodyTooLargeError for a
        larger body, without waiting for the rest of it; UsageError if an iteration has returned a
        part of the body; StreamError and ConnectionLostError if there is no more.
        """
        content = self._content
        if content is None:
            if self._iterated != 0:
                raise UsageError(ITERATED, stream=self.stream)
            if limit is not None:
                self._check_limit(limit)
            content = self._content = self._read_all(limit)
        elif limit is not None and len(content) > limit:
            raise BodyTooLargeError(limit)
        return content

    def text(self, limit: int | None = None, errors: str = "replace") -> str:
        """Return the whole body as text, by the charset of its content-type, or else UTF-8.

        `errors` says what happens to bytes that are not valid, as for `bytes.decode`. Otherwise as
        `read`.
        """
        content = self.read(limit)
        return content.decode(charset_of(self.header("content-type", "")), errors)

    def json(self, limit: int | None = None) -> Any:
        """Return the whole body as the value that its JSON means (RFC 8259).

        Raises ValueError for a body that is not JSON, or nested too deeply. Otherwise as `read`.
        """
        content = self.read(limit)
        try:
            return json.loads(content)
        except RecursionError:
            pass
        raise ValueError("the JSON is nested too deeply")

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the pieces of the body as they arrive.

        After `read`, each iteration returns the whole body.
        """
        if self._content is not None:
            self._iterated = 0
        return self

    def __next__(self) -> bytes:
        content = self._content
        if content is None:
            data = self._read_some(PIECE)
        else:
            data = content[self._iterated : self._iterated + PIECE]
        if not data:
            raise StopIteration
        self._iterated += len(data)
        return data

    def _read_some(self, most: int) -> bytes:
        """Return up to `most` bytes, b"" at the end."""
        return read_piece(self, most, self._deadlines, self._upload)

    def _read_all(self, limit: int | None) -> bytes:
        first = read_piece(self, ALL, self._deadlines, self._upload)
        if not first:
            return b""
        pieces = [first]
        size = len(first)
        while True:
            if limit is not None and size > limit:
                raise BodyTooLargeError(limit)
            piece = read_piece(self, ALL, self._deadlines, self._upload)
            if not piece:
                return first if len(pieces) == 1 else b"".join(pieces)
            pieces.append(piece)
            size += len(piece)

    def _check_limit(self, limit: int) -> None:
        if limit < 0:
            raise ValueError("a limit is not negative")
        announced = content_length(self.header("content-length", ""))
        if announced > limit and not self._complete:
            raise BodyTooLargeError(limit)

    # -- pushes ----------------------------------------------------------------------------------

    @property
    def pushed(self) -> "Iterator[Push]":
        """Iterate over the pushes of this response until its stream ends."""
        return Pushes(self)

    def _promised(self, stream: int, method: str, path: str, headers: Headers) -> bool:
        answer = Response(self._link, self._deadlines)
        answer.stream = stream
        self._link.exchanges[stream] = answer
        if self._pushes is None:
            self._pushes = deque()
        self._pushes.append(Push(answer, method, path, headers))
        return True

    # -- the end ---------------------------------------------------------------------------------

    def cancel(self, code: int = CNO_RST_CANCEL) -> None:
        """Reset the stream unless it has ended. In HTTP/1.1, this closes the connection."""
        cancel(self, code)
        if self._upload is not None:
            self._upload.dispose()
        while self._pushes:
            self._pushes.popleft().cancel()

    def close(self) -> None:
        """Cancel the response unless it has been read to its end."""
        self.cancel()

    def __enter__(self) -> "Response":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()


class Payload:
    """The body of a response as a binary file: for `io.BufferedReader`, `shutil.copyfileobj`."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.closed = False

    def read(self, n: int = -1) -> bytes:
        """Return up to `n` bytes as soon as there are some, b"" at the end; with -1, all."""
        if n == 0:
            return b""
        if n < 0:
            return self._response._read_all(None)
        return self._response._read_some(n)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._response._read_some(len(view))
        view[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        """Cancel the response unless it has been read to its end."""
        self.closed = True
        self._response.cancel()


class Push:
    """A push: a request that the server promises to answer, and its response.

    `method`, `path` and `headers` are those of the promised request.
    """

    def __init__(self, answer: Response, method: str, path: str, headers: Headers) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self._answer = answer

    def __repr__(self) -> str:
        return f"<Push {self.method} {self.path!r} stream={self._answer.stream}>"

    @property
    def response(self) -> Response:
        """The response; waits for its head. Raises what `Client.request` raises."""
        answer = self._answer
        if answer.code == 0:
            await_head(answer, answer._deadlines, None)
        if answer.code == 0:
            raise error_of(answer)
        return answer

    def cancel(self, code: int = CNO_RST_CANCEL) -> None:
        """Reset the stream of the push."""
        release_push(self._answer)
        self._answer.cancel(code)


class Pushes:
    """An iterator over the pushes of a response."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def __iter__(self) -> "Pushes":
        return self

    def __next__(self) -> Push:
        response = self._response
        while not response._pushes:
            if response._complete or response._ended:
                raise StopIteration
            deadlines = response._deadlines
            if not wait_for(response, PUSH, deadlines.after(deadlines.body)):
                raise timed_out(response, NO_PUSH, deadlines, deadlines.body)
        push = cast(Push, response._pushes.popleft())
        release_push(push._answer)
        return push


def release_push(answer: Response) -> None:
    """Stop counting a push that the application has taken."""
    link = answer._link
    link.guard.check()
    with link.guard.lock:
        if link.unclaimed is not None:
            link.unclaimed.release(answer.stream)


# -- one request over one connection ---------------------------------------------------------------


def opened(link: Link, spec: RequestSpec, deadlines: Deadlines) -> Response | None:
    """Write a request, and as much of its body as the windows allow; return None if it has to wait.
    Called with the lock."""
    response = Response(link, deadlines)
    if not try_open(link, response, spec):
        return None
    upload = upload_of(spec)
    response._upload = upload
    if upload is not None and spec.source is None and not spec.awaits_continue:
        write_some(link, response, upload)
    return response


def answered(
    response: Response, spec: RequestSpec, on_informational: OnInformational | None
) -> Response:
    """Send the rest of a request, and return the response when its head has arrived."""
    deadlines = response._deadlines
    done = False
    try:
        upload = response._upload
        if upload is None or upload.finished:
            flush(response._link)
        else:
            if spec.awaits_continue:
                flush(response._link)
                await_continue(response, upload)
            send_body(response, upload, deadlines, True)
        await_head(response, deadlines, on_informational)
        if response.code == 0:
            raise unanswered(response, spec.method)
        done = True
        return response
    finally:
        if not done:
            if response._upload is not None:
                response._upload.finish()
            cancel(response, CNO_RST_CANCEL)


def send(
    link: Link,
    spec: RequestSpec,
    deadlines: Deadlines,
    on_informational: OnInformational | None = None,
) -> Response:
    """Send the only request of a connection; return its response."""
    guard = link.guard
    guard.check()
    with guard.lock:
        begin(guard)
        response: Response | None = None
        try:
            response = opened(link, spec, deadlines)
        except Exception:
            guard.inside = False  # an interrupt leaves it set
            raise
        guard.inside = False
    if response is None:
        raise not_open(link)
    return answered(response, spec, on_informational)


def taken(response: Response) -> bytes:
    """Remove all received bytes of a body, and return them."""
    return drop_pieces(response)
