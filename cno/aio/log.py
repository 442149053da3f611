"""The logger of connections, servers and pools: `cno`."""

import logging
from typing import Final

log: Final = logging.getLogger("cno")
