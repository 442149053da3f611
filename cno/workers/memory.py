"""The resident memory of a process, in bytes.

Knows where operating systems show it. Must never know limits.
"""

import os
import subprocess
from contextlib import suppress
from pathlib import Path


def resident(pid: int) -> int | None:
    """Return the bytes that a process has in memory; None if the system has no answer."""
    with suppress(OSError, ValueError, IndexError):
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        command = ["ps", "-o", "rss=", "-p", str(pid)]
        return int(subprocess.run(command, capture_output=True, timeout=5).stdout) * 1024
    return None
