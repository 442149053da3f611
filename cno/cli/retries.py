"""When `cno get --retry` tries again, and after which pause.

Knows failures that pass by themselves. Must never know how a request is sent.
"""

from typing import Final

from cno.cli import exit_codes
from cno.cli.fetch import GetOptions
from cno.cli.problems import Problem
from cno.cli.transfer import Hop

#: Statuses of servers that may answer later (as curl has them).
TRANSIENT: Final = (408, 429, 500, 502, 503, 504)
#: Exit statuses of failures that may pass.
PASSING: Final = (
    exit_codes.NOT_RESOLVED,
    exit_codes.HTTP2,
    exit_codes.PARTIAL,
    exit_codes.TIMED_OUT,
    exit_codes.NO_REPLY,
    exit_codes.NOT_RECEIVED,
    exit_codes.STREAM,
)
#: Seconds before the first retry, doubled for each further one up to the most.
FIRST: Final = 1.0
MOST: Final = 600.0


def is_transient(code: int) -> bool:
    return code in TRANSIENT


class Retries:
    """The retries of one fetch."""

    def __init__(self, options: GetOptions) -> None:
        self._left = options.retries
        self._delay = options.retry_delay
        self._refused = options.retry_refused
        self._next = FIRST

    def pause(
        self, hop: Hop | None, failure: Exception | None, was_cut: bool = False
    ) -> float | None:
        """Return the seconds to wait before the next attempt; None: there is none.

        `was_cut`: an earlier response was interrupted, as by a server that starts again.
        """
        self._refused = self._refused or was_cut
        if self._left == 0 or not self._may_pass(hop, failure):
            return None
        self._left -= 1
        pause, self._next = self._next, min(self._next * 2, MOST)
        if self._delay is not None:
            pause = self._delay
        asked = retry_after(hop) if failure is None or is_status(failure) else None
        return pause if asked is None else max(pause, min(asked, MOST))

    def _may_pass(self, hop: Hop | None, failure: Exception | None) -> bool:
        if failure is None or is_status(failure):
            return hop is not None and is_transient(hop.code)
        if not isinstance(failure, Problem):
            return isinstance(failure, OSError)
        if failure.status == exit_codes.NOT_CONNECTED:
            return self._refused
        return failure.status in PASSING


def explained(options: GetOptions, failure: Exception, kept: str) -> Exception:
    """Return a failure that may pass with what the user can do. `kept`: about what came."""
    if not isinstance(failure, Problem):
        return failure
    refused = failure.status == exit_codes.NOT_CONNECTED
    more = kept if refused or failure.status in PASSING else ""
    if refused and options.retries and not options.retry_refused and not kept:
        more = " (--retry-connrefused retries that, too)"
    found = Problem(f"{failure}{more}", failure.status)
    found.__cause__ = failure.__cause__
    return found


def is_status(failure: Exception) -> bool:
    return isinstance(failure, Problem) and failure.status == exit_codes.STATUS


def retry_after(hop: Hop | None) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 10.2.3), if it has seconds."""
    found = [value for name, value in (hop.headers if hop else []) if name == "retry-after"]
    return float(found[0]) if found and found[0].isdecimal() and len(found[0]) < 9 else None
