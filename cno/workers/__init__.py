"""Worker processes: a parent that starts, watches, replaces and stops them.

Knows processes, signals and pipes. Must never know what the workers do.
"""

from cno.workers.child import Control
from cno.workers.supervisor import Settings, Supervisor

__all__ = ["Control", "Settings", "Supervisor"]
