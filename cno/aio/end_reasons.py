"""Why a connection ends when its peer is late: the same with asyncio and without.

A leaf. Must never know a connection.
"""

from typing import Final

from cno.errors import Reason

NO_BEGINNING: Final = Reason(
    "the peer sent no preface, SETTINGS or request in time", "", "handshake_timeout"
)
NO_ACK: Final = Reason("the peer does not acknowledge SETTINGS", "", "settings_timeout")
NO_PROGRESS: Final = Reason("the peer acknowledges no output", "", "write_stall_timeout")
NO_PONG: Final = Reason("the peer answers no PING", "", "ping_timeout")
