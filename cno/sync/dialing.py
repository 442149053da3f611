"""The connections that a pool makes, and the threads that wait for a connection, which make them.

Knows how a server is reached. Must never know what the pool's store has decided about a connection
that is made.
"""

from typing import cast, final

from cno.aio.client.urls import Target
from cno.limits import Limits
from cno.pool.connection import Dial, Origin
from cno.settings import SettingsDict
from cno.sync.dial import Dialing
from cno.sync.pool_parker import PoolParker
from cno.sync.route import Route
from cno.sync.state import Guard, Link


@final
class Dialer:
    """Makes the connections of a pool. The pool's lock protects all of it but `connect`."""

    def __init__(
        self, route: Route, force_http2: bool, settings: SettingsDict | None, limits: Limits
    ) -> None:
        self.route = route
        self._force_http2 = force_http2
        self._settings = settings
        self._limits = limits
        self.pending: dict[str, list[Dial]] = {}  # decided on, not begun, by origin
        self.attempts: dict[Dialing, None] = {}
        self.parkers: dict[PoolParker, None] = {}

    # -- connections to make ---------------------------------------------------------------------

    def add(self, dial: Dial) -> None:
        """Have a waiting thread make a connection."""
        self.pending.setdefault(dial.origin.name, []).append(dial)
        self.unpark_one(dial.origin)

    def next(self, origin: Origin) -> Dial | None:
        """Remove and return a connection to make, if there is one."""
        waiting = self.pending.get(origin.name)
        if not waiting:
            return None
        dial = waiting.pop(0)
        if not waiting:
            del self.pending[origin.name]
        return dial

    def unpark_one(self, origin: Origin) -> bool:
        """Unpark a thread that can make a connection to `origin`; return whether there is one."""
        for parker in self.parkers:
            if parker._origin.name == origin.name and parker.dialing is None:
                if not parker.decided():
                    parker.unpark()
                    return True
        return False

    def reset(self) -> None:
        """Forget the connections to make. Requests that wait start again."""
        self.pending = {}
        for parker in list(self.parkers):
            if not parker.decided():
                parker.is_void = True
                parker.unpark()

    def forget_threads(self) -> None:
        """Forget the threads of the parent process."""
        self.parkers.clear()
        self.attempts.clear()

    def cancel(self) -> None:
        """Stop making connections."""
        for dialing in list(self.attempts):
            dialing.cancel()

    # -- making one ------------------------------------------------------------------------------

    def forces_http2(self, target: Target) -> bool:
        """Return whether a server is known to speak HTTP/2, which in clear text begins at once."""
        return self._force_http2 or target.force_http2

    def connect(self, dial: Dial, dialing: Dialing, guard: Guard) -> Link:
        """Make a connection. Called without the lock. Raises what `Route.connect` raises."""
        target = cast(Target, dial.origin.peer)
        force = self.forces_http2(target)
        return self.route.connect(
            target, dialing, guard, force, self._settings, self._limits, dial.http1_only
        )

    def can_use_http1(self, link: Link) -> bool:
        """Return whether another connection to the same server can use HTTP/1.1."""
        return link.scheme == "https" and not link.force_http2 and self.route.can_require_http1()
