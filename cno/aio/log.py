"""The loggers of connections, servers and pools, by topic.

All are below `cno`. Each record has fields of its own (docs/observability.md): `connection` is the
number of the connection, as in its `stats()`.
"""

import logging
from typing import Final

log: Final = logging.getLogger("cno")
#: Connections: errors of the peer, and what cannot be read or written.
connection_log: Final = logging.getLogger("cno.connection")
#: Connections that a time limit ends.
timeout_log: Final = logging.getLogger("cno.timeout")
#: Requests that pools send again, and connections that they give up.
pool_log: Final = logging.getLogger("cno.pool")
#: Requests whose handlers do not end with a response, and connections that are refused.
server_log: Final = logging.getLogger("cno.server")
