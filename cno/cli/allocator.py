"""Lets glibc keep freed memory for a large download, whose pieces it would give back each time.

Knows glibc. Must never know a download.
"""

import contextlib
import sys
from typing import Final

#: Parameters of `mallopt`, and their values in bytes: what docs/tuning.md advises for uploads.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
SETTINGS: Final = ((M_MMAP_THRESHOLD, 8 << 20), (M_TRIM_THRESHOLD, 16 << 20))

#: Bytes of a body that is worth it.
LARGE: Final = 64 << 20


def keep_freed() -> None:
    """Set the thresholds, where the C library is glibc."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(ImportError, OSError, AttributeError):
        from ctypes import CDLL  # slow to import

        mallopt = CDLL(None).mallopt
        for parameter, value in SETTINGS:
            mallopt(parameter, value)
