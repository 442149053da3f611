"""The error of a request one of whose phases took too long.

This module stays interpreted, as `cno.errors` does.
"""

from typing import Final

from cno.aio.errors import StreamTimeoutError
from cno.const import CNO_RST_CANCEL

CONNECT: Final = "connect"
READ: Final = "read"
WRITE: Final = "write"
POOL: Final = "pool"

TEXTS: Final = {
    CONNECT: "no connection",
    READ: "the server sent nothing",
    WRITE: "the server took nothing",
    POOL: "no connection of the pool was free",
}


class PhaseTimeoutError(StreamTimeoutError):
    """A phase of a request took longer than its timeout. `phase` is the timeout's name."""

    phase: str

    def __init__(self, phase: str, seconds: float, stream: int = 0) -> None:
        text = f"{TEXTS[phase]} for {seconds:g} s"
        super().__init__(text, stream=stream, code=CNO_RST_CANCEL, retryable=stream == 0)
        self.phase = phase
