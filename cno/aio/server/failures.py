"""The exception of a handler: did its client go away, or did the handler fail?

Knows which errors a connection raises for its own streams. Must never know how they are handled.
"""

import asyncio

from cno.aio.channel import channel_of
from cno.aio.errors import ConnectionLostError
from cno.aio.server.request_state import RequestState
from cno.core import DONE
from cno.errors import ConnectionError


def write_state(request: RequestState) -> int:
    """Return the engine's write state of a request's stream: DONE, HEAD, BODY or TUNNEL.

    A handler can write a response by the methods of the connection, so the request does not know
    it.
    """
    stream = request._conn._streams.get(request.stream)
    return DONE if stream is None else int(stream.write)


def says_gone(error: BaseException, request: RequestState) -> bool:
    """Return whether an exception means only that the client of `request` has gone.

    The error of another connection, for instance of an upstream server, is a failure of the
    handler. An exception group means it if all exceptions in it do.
    """
    left = [error]
    while left:
        each = left.pop()
        if isinstance(each, BaseExceptionGroup):
            left.extend(each.exceptions)
        elif not _says_gone(each, request):
            return False
    return True


def _says_gone(error: BaseException, request: RequestState) -> bool:
    if isinstance(error, BrokenPipeError):
        # The handler put an item into the channel of the response after it was closed.
        channel = request._channel
        ours = channel is not None and channel_of(error) == channel._number
        return ours and (request._ended or request._sent)
    if not request._ended and not (request._tunnel and isinstance(error, ConnectionLostError)):
        return False
    if isinstance(error, ConnectionError):
        ours = error._connection == request._conn._number
        return ours and (error.stream == 0 or error.stream == request.stream)
    return isinstance(error, asyncio.CancelledError)
