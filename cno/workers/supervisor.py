"""The parent of workers: starts them, replaces and stops them, by signals and by what they do.

Knows when a worker is started, pinged, replaced and ended. Must never know what it works on.

SIGHUP replaces all workers one by one; SIGTTIN and SIGTTOU add and take one; SIGTERM and SIGINT
stop all and wait for them, and end them at once if they come again, as SIGQUIT does.
"""

import logging
import random
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cno.workers.backoff import Backoff
from cno.workers.child import STARTUP_FAILURE
from cno.workers.memory import resident
from cno.workers.process import RUNNING, STOPPING, Worker
from cno.workers.wakeup import Wakeup

log: Final = logging.getLogger("cno.workers")

#: Seconds between two looks at all workers.
TICK: Final = 0.25
#: Seconds between two looks at their memory.
MEMORY_TICK: Final = 1.0
#: Seconds that a worker gets beyond its own time to stop.
GRACE: Final = 2.0

SIGNALS: Final = tuple(
    number
    for name in ("INT", "TERM", "QUIT", "HUP", "TTIN", "TTOU", "CHLD")
    if (number := getattr(signal, f"SIG{name}", None)) is not None
)


@dataclass(frozen=True)
class Settings:
    """`count` workers. A running one that does not answer a ping for `ping_timeout` seconds is
    killed. A worker that is stopped is killed after `stop_timeout` seconds (None: never), one that
    has more than `max_rss` bytes, or is `lifetime` seconds old, is replaced."""

    count: int = 1
    ping_timeout: float | None = 5.0
    stop_timeout: float | None = None
    max_rss: int | None = None
    lifetime: float | None = None


class Supervisor:
    """Runs workers until a signal stops it; see `cno.workers.process.Worker` for the arguments.

    With `persistent`, workers that cannot start do not end it: it waits for `reload`. `on_ready` is
    called once all workers run, `on_stop` when they are about to be stopped.
    """

    def __init__(
        self,
        target: str,
        argument: Any,
        settings: Settings,
        descriptors: Sequence[int] = (),
        *,
        persistent: bool = False,
        on_ready: Callable[[], None] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self._target = target
        self._argument = argument
        self._settings = settings
        self._descriptors = descriptors
        self._persistent = persistent
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._count = settings.count
        self._workers: list[Worker] = []
        self._outdated: deque[Worker] = deque()  # to be replaced, one by one
        self._backoff = Backoff()
        self._ever_ran = False
        self._waits_for_reload = False
        self._reload = False
        self._stopping = False
        self._status = 0
        self._memory_due = 0.0
        self._selector = selectors.DefaultSelector()
        self._wakeup: Wakeup | None = None

    def run(self) -> int:
        """Run workers, in the main thread, until all have ended. Return the exit status."""
        with Wakeup(SIGNALS) as self._wakeup, self._selector:
            self._selector.register(self._wakeup.sock, selectors.EVENT_READ)
            try:
                while not self._stopping or self._workers:
                    self._turn()
            finally:
                for worker in self._workers:
                    worker.process.kill()
                    worker.process.wait()
                    worker.close()
        return self._status

    def reload(self) -> None:
        """Stop all workers and start others with new code. Any thread may call it."""
        self._reload = True
        if self._wakeup is not None:
            self._wakeup.wake()

    def _turn(self) -> None:
        """Look after everything once, then wait for something to happen, `TICK` seconds at most."""
        now = time.monotonic()
        for worker in list(self._workers):
            self._look_at(worker, now)
        if not self._stopping:
            self._tell_ready()
            self._watch_memory(now)
            self._replace_next(now)
            self._start_missing(now)
        if self._stopping and not self._workers:
            return
        for key, _ in self._selector.select(TICK):
            if isinstance(key.data, Worker) and not key.data.read(time.monotonic()):
                self._selector.unregister(key.fileobj)  # the process ends
        if self._wakeup is not None:
            for number in self._wakeup.take():
                self._handle(number)
        if self._reload and not self._stopping:
            self._reload = self._waits_for_reload = False
            self._backoff.reset()
            for worker in self._workers:
                self._stop(worker)

    # -- workers ---------------------------------------------------------------------------------

    def _start(self, now: float) -> Worker:
        worker = Worker(self._target, self._argument, self._descriptors, now)
        if self._settings.lifetime is not None:
            # Not all at the same time.
            worker.max_age = self._settings.lifetime * random.uniform(1.0, 1.1)
        self._workers.append(worker)
        self._selector.register(worker.control, selectors.EVENT_READ, worker)
        log.debug("worker %d started", worker.pid)
        return worker

    def _stop(self, worker: Worker) -> None:
        """Have a worker finish what it does, and end."""
        if worker.state == STOPPING:
            return
        worker.state = STOPPING
        worker.pinged_at = None
        if self._settings.stop_timeout is not None:
            worker.deadline = time.monotonic() + self._settings.stop_timeout + GRACE
        worker.send_signal(signal.SIGTERM)

    def _look_at(self, worker: Worker, now: float) -> None:
        status = worker.process.poll()
        if status is not None:
            self._ended(worker, status, now)
            return
        if worker.deadline is not None and now >= worker.deadline:
            log.warning("worker %d does not stop: killing it", worker.pid)
            worker.send_signal(signal.SIGKILL)
            worker.deadline = None
        if worker.state != RUNNING:
            return
        self._ever_ran = True
        if worker.wants_replacement:
            worker.wants_replacement = False
            self._outdate(worker, "has had its requests")
        elif worker.max_age is not None and now - worker.started_at >= worker.max_age:
            worker.max_age = None
            self._outdate(worker, "has reached its age")
        self._ping(worker, now)

    def _ping(self, worker: Worker, now: float) -> None:
        limit = self._settings.ping_timeout
        if limit is None:
            return
        if worker.pinged_at is None:
            if now - worker.heard_at >= min(1.0, limit):
                worker.ping(now)
        elif now - worker.pinged_at >= limit:
            log.error("worker %d hangs for %g s: killing it", worker.pid, limit)
            worker.pinged_at = None
            worker.heard_at = now
            worker.send_signal(signal.SIGKILL)

    def _ended(self, worker: Worker, status: int, now: float) -> None:
        """Remove a worker that has ended, and see what that means."""
        self._workers.remove(worker)
        if worker.control.fileno() in self._selector.get_map():
            self._selector.unregister(worker.control)
        worker.close()
        was_stopping = worker.state == STOPPING
        predecessor = next((each for each in self._workers if each.successor is worker), None)
        if predecessor is not None:
            predecessor.successor = None
        if self._stopping or was_stopping:
            return
        if predecessor is not None:
            log.error("a new worker failed to start: the others go on with what they have")
            self._outdated.clear()
            return
        ran = worker.state == RUNNING
        if status == STARTUP_FAILURE and not ran and self._persistent:
            log.error("waiting for a change of the sources")
            self._waits_for_reload = True
            return
        if status == STARTUP_FAILURE and not self._ever_ran:
            self._stop_all()
            self._status = STARTUP_FAILURE
            return
        delay = self._backoff.died(now, now - worker.started_at)
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        when = f"in {delay:g} s" if delay else "now"
        log.error("worker %d ended %s: starting another one %s", worker.pid, how, when)

    def _start_missing(self, now: float) -> None:
        successors = {id(each.successor) for each in self._workers if each.successor is not None}
        working = [w for w in self._workers if w.state != STOPPING and id(w) not in successors]
        if self._persistent and len(working) < len(self._workers):
            return  # the old code ends first
        missing = self._count - len(working)
        if missing <= 0 or now < self._backoff.due or self._waits_for_reload:
            return
        for _ in range(missing):
            self._start(now)

    def _tell_ready(self) -> None:
        running = [worker for worker in self._workers if worker.state == RUNNING]
        if self._on_ready is not None and len(running) >= self._count:
            on_ready, self._on_ready = self._on_ready, None
            on_ready()

    # -- replacement -----------------------------------------------------------------------------

    def _outdate(self, worker: Worker, why: str) -> None:
        """Have a worker replaced, after those that wait for that already."""
        if worker not in self._outdated and worker.successor is None:
            log.info("worker %d %s: replacing it", worker.pid, why)
            self._outdated.append(worker)

    def _replace_next(self, now: float) -> None:
        """Go on with the replacement of workers: the old one stops when the new one works."""
        for worker in self._workers:
            if worker.successor is not None:
                if worker.successor.state != RUNNING:
                    return
                worker.successor = None
                self._stop(worker)
        while self._outdated:
            worker = self._outdated.popleft()
            if worker in self._workers and worker.state != STOPPING:
                worker.successor = self._start(now)
                return

    def _watch_memory(self, now: float) -> None:
        limit = self._settings.max_rss
        if limit is None or now < self._memory_due:
            return
        self._memory_due = now + MEMORY_TICK
        for worker in self._workers:
            if worker.state == RUNNING and worker.successor is None:
                size = resident(worker.pid)
                if size is not None and size > limit:
                    self._outdate(worker, f"has {size:,} bytes of memory")

    # -- signals ---------------------------------------------------------------------------------

    def _handle(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping:
                self._end_at_once(number)
            self._stop_all()
        elif number == signal.SIGHUP:
            log.info("replacing all workers")
            self._backoff.reset()
            self._outdated.extend(
                w for w in self._workers if w.state == RUNNING and w not in self._outdated
            )
        elif number == signal.SIGTTIN:
            self._count += 1
        elif number == signal.SIGTTOU and self._count > 1:
            self._count -= 1
            running = [w for w in self._workers if w.state != STOPPING and w.successor is None]
            if len(running) > self._count:
                self._stop(running[0])
        elif number == signal.SIGQUIT:
            self._end_at_once(number)

    def _stop_all(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self._on_stop is not None:
            self._on_stop()
        for worker in self._workers:
            self._stop(worker)

    def _end_at_once(self, number: int) -> None:
        self._stop_all()
        self._status = 128 + number
        for worker in self._workers:
            worker.send_signal(signal.SIGKILL)
