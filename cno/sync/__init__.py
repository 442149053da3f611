"""A blocking client: `cno.sync.Pool`, `cno.sync.request`, `cno.sync.connect`.

The names, arguments and errors are those of the asyncio client. It uses no event loop and no
background thread: the threads that wait for responses do the work.
"""

from cno.sync.client import Client
from cno.sync.connect import connect, request
from cno.sync.errors import PoolTimeoutError, ReadTimeoutError, WriteTimeoutError
from cno.sync.messages import Push, Response
from cno.sync.pool import Pool
from cno.sync.sources import Body
from cno.sync.tunnel import Tunnel
from cno.sync.upgrade_refused import UpgradeRefused
from cno.timeouts import Timeout

__all__ = [
    "Body",
    "Client",
    "Pool",
    "PoolTimeoutError",
    "Push",
    "ReadTimeoutError",
    "Response",
    "Timeout",
    "Tunnel",
    "UpgradeRefused",
    "WriteTimeoutError",
    "connect",
    "request",
]
