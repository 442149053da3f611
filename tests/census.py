"""Counts of a process's memory, tasks, timers, descriptors and objects, for tests of leaks.

Knows asyncio and uvloop. Must never know what the process does.
"""

import asyncio
import gc
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

MIB = 1 << 20


def resident() -> int:
    """Return the bytes of memory that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def open_sockets() -> int:
    """Count the descriptors of this process that are sockets."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the folder itself
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def census() -> dict[str, float]:
    """Count what this process and its running loop hold."""
    found = {
        "MiB": resident() / MIB,
        "tasks": len(asyncio.all_tasks()),
        "files": len(os.listdir("/proc/self/fd")),
        "sockets": open_sockets(),
        "objects": len(gc.get_objects()),
    }
    timers = getattr(asyncio.get_running_loop(), "_scheduled", None)  # asyncio's own
    if timers is not None:
        found["timers"] = sum(not each.cancelled() for each in timers)
    return found


def forget_needless_timers() -> None:
    """Have the running loop hold nothing by timers that nobody needs.

    asyncio keeps timers that were cancelled, with their contexts, until they would have fired;
    uvloop those for the handshakes and shutdowns of TLS connections that have ended.
    """
    for each in getattr(asyncio.get_running_loop(), "_scheduled", ()):
        if each.cancelled():
            each._context = None
    for each in gc.get_objects():
        if type(each).__name__ == "TimerHandle" and "SSLProtocol" in repr(each):
            each.cancel()


def pending_timers() -> list[Any]:
    """Return the timers of the running loop that are still to fire, on uvloop as well (slow)."""
    now = asyncio.get_running_loop().time()
    handles = [each for each in gc.get_objects() if type(each).__name__ == "TimerHandle"]
    return [each for each in handles if not each.cancelled() and each.when() > now]


def is_of_the_loop(context: Mapping[str, Any]) -> bool:
    """Return whether what a loop's exception handler was told is a fault of the loop itself.

    asyncio's TLS transports end twice where one is written to that is closing and broken; uvloop's
    go on reading where the connection below is closed.
    """
    error = context.get("exception")
    message = str(context.get("message"))
    if "_call_connection_lost" in message:
        return isinstance(error, AttributeError)
    return "SSL protocol" in message and "handler is closed" in str(error)
