"""Durations in seconds, of which None (and for `shortest` also 0) means that there is no limit."""


def shortest(first: float | None, second: float | None) -> float:
    """Return the shorter of two timeouts; 0 and None mean no timeout."""
    if not first:
        return second or 0.0
    return min(first, second) if second else first


def past(now: float, since: float, wait: float | None) -> bool:
    """Return whether `wait` seconds have passed; None: no timeout."""
    return wait is not None and now - since >= wait
