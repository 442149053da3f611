"""What a handler raised: whether it says that its client has gone, or that the handler failed.

Knows which errors a connection raises for its own streams. Must never know what becomes of them.
"""

import asyncio

from cno.aio.channel import channel_of
from cno.aio.messages import Request
from cno.core import DONE
from cno.errors import ConnectionError


def write_state(request: Request) -> int:
    """How far our message is on the stream of a request: DONE, HEAD, BODY or TUNNEL. (The handler
    may have written some of it by the verbs of the connection.)"""
    stream = request._conn._streams.get(request.stream)
    return DONE if stream is None else int(stream.write)


def says_gone(error: BaseException, request: Request) -> bool:
    """Whether this says only that the client of `request` has gone, or wants no body.

    The same error of another connection, an upstream server's for instance, is a failure of the
    handler. A group says so if all errors in it do.
    """
    left = [error]
    while left:
        each = left.pop()
        if isinstance(each, BaseExceptionGroup):
            left.extend(each.exceptions)
        elif not _says_gone(each, request):
            return False
    return True


def _says_gone(error: BaseException, request: Request) -> bool:
    if isinstance(error, BrokenPipeError):
        # The producer of a body that the connection has closed.
        channel = request._channel
        ours = channel is not None and channel_of(error) == channel._number
        return ours and (request._ended or request._sent)
    if not request._ended:
        return False
    if isinstance(error, ConnectionError):
        ours = error._connection == request._conn._number
        return ours and (error.stream == 0 or error.stream == request.stream)
    return isinstance(error, asyncio.CancelledError)
