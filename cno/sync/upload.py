"""The body of a request that is being sent.

Passes the bytes of a source to the engine. Must never know threads.
"""

from typing import Final, final

from mypy_extensions import i64

from cno.engine import Engine
from cno.sync.request_spec import RequestSpec

#: Bytes of a body in memory that are passed to the engine at once.
CHUNK: Final = 262_144


@final
class Upload:
    """The rest of a request's body."""

    def __init__(self, spec: RequestSpec) -> None:
        self._source = spec.source
        self._trailers = spec.trailers
        self._body = spec.body
        self._at: i64 = 0
        self._is_last = spec.source is None  # nothing follows `_body`
        self.finished = False
        self.room_mark: i64 = 0  # the connection's, at the last write

    def fetch(self) -> None:
        """Get the next piece if the last one is written. Raises the errors of reading the body."""
        source = self._source
        if source is None or self._is_last or self._at < len(self._body):
            return
        piece = source.next()
        while piece is not None and not piece:
            piece = source.next()
        self._at = 0
        if piece is None:
            self._body = b""
            self._is_last = True
        else:
            self._body = piece

    def write(self, engine: Engine, stream: int) -> bool:
        """Write a part of the current piece; return False if a window is full."""
        body = self._body
        size: i64 = len(body)
        trailers = self._trailers
        ends = self._is_last and not trailers
        if self._at < size or ends:
            stop = min(size, self._at + CHUNK)
            whole = self._at == 0 and stop == size
            part = body if whole else body[self._at : stop]
            taken = engine.write_data(stream, part, ends and stop == size)
            self._at += taken
            if taken < len(part):
                return False
        if self._at == size and self._is_last:
            if trailers:
                engine.write_tail(stream, trailers)
            self.finish()
        return True

    def finish(self) -> None:
        """Stop sending this copy of the body."""
        if not self.finished:
            self.finished = True
            self._body = b""
            self._at = 0
            if self._source is not None and self._source.begun:
                self._source.close()

    def dispose(self) -> None:
        """Stop sending, and close the body."""
        self.finish()
        if self._source is not None:
            self._source.close()
