"""Which connection a request gets, who waits, when to dial and to close: over random histories.

A driver without I/O makes up what happens to connections, and carries out what the store decides.
"""

import threading
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cno.pool.connection import Alarm, Decision, Dial, Origin, PooledConnection, Waiter
from cno.pool.decide import DIAL_PAUSE, MAX_HTTP1_ONLY
from cno.pool.store import ConnectionStore

KEEPALIVE = 10.0


class Fake(PooledConnection):
    """A connection of a test; `streams` is how many requests it takes at once."""

    def __init__(self, origin: Origin, is_http2: bool, streams: int) -> None:
        super().__init__(origin, is_http2)
        self.streams = streams
        self.requests = 0
        self.used = False
        self.ended = False
        self.full = False
        self.told_http1 = False

    def is_open(self) -> bool:
        return not self.ended

    def is_busy(self) -> bool:
        return self.requests > 0

    def is_unused(self) -> bool:
        return not self.used

    def slots(self) -> int:
        return 0 if self.full else self.streams - self.requests if self.is_http2 else 1

    def requires_http1(self) -> bool:
        return self.told_http1

    def why_closed(self) -> str:
        return "closed at once"


class Driver:
    """Carries out decisions, and checks each of them."""

    def __init__(self, total: int | None, per_origin: int | None) -> None:
        self.now = 1.0
        self.total = 1 << 30 if total is None else total
        self.per_origin = 1 << 30 if per_origin is None else per_origin
        self.store = ConnectionStore(total, per_origin, KEEPALIVE, lambda: self.now)
        self.dials: list[Dial] = []
        self.connections: list[Fake] = []
        self.waiting: list[Waiter] = []
        self.granted: list[Waiter] = []  # that have not used their connection yet
        self.failed: list[Waiter] = []
        self.alarm = 0.0

    def origin(self, name: str, http2: bool | None = None) -> Origin:
        origin = self.store.find(name)
        if origin is None:
            origin = Origin(name, None, http2)
            self.store.add(origin)
        return origin

    def perform(self) -> None:
        while decisions := self.store.take():
            for decision in decisions:
                self.carry_out(decision)

    def carry_out(self, decision: Decision) -> None:
        if isinstance(decision, Dial):
            self.dials.append(decision)
        elif isinstance(decision, Waiter):
            self.waiting.remove(decision)
            if decision.connection is None:
                assert decision.failed
                self.failed.append(decision)
            else:
                self.check_turn(decision)
                self.granted.append(decision)
        elif isinstance(decision, Alarm):
            assert decision.at >= self.now
            self.alarm = decision.at
        else:
            assert isinstance(decision, Fake)
            assert decision.is_retired and decision.reserved == 0
            assert not decision.ended or not decision.is_usable()
            decision.ended = True

    def check_turn(self, waiter: Waiter) -> None:
        """Nobody who came before would have taken this connection."""
        connection = waiter.connection
        assert isinstance(connection, Fake)
        self.check_given(connection)
        for other in self.waiting:
            if other.origin is waiter.origin and not waiter.goes_first and not other.unused_only:
                assert other.goes_first is False
                assert other.ticket > waiter.ticket

    def check_given(self, connection: Fake) -> None:
        """A connection that a request gets takes it."""
        assert connection.is_usable() and not connection.is_closed
        assert connection.reserved >= 1
        if connection.is_http2:
            assert connection.requests + connection.reserved <= connection.streams
        else:
            assert (connection.requests, connection.reserved) == (0, 1)

    # -- what a driver does ----------------------------------------------------------------------

    def request(self, origin: Origin, unused_only: bool = False, first: bool = False) -> Any:
        """Ask for a connection: a connection, or a waiter."""
        connection = self.store.pick(origin, unused_only)
        self.perform()
        if connection is not None:
            assert isinstance(connection, Fake)
            self.check_given(connection)
            return connection
        waiter = Waiter(origin, unused_only, first, None)
        self.waiting.append(waiter)
        self.store.wait(waiter)
        self.perform()
        return waiter

    def send(self, connection: Fake) -> None:
        connection.requests += 1
        connection.used = True
        self.store.sent(connection)

    def release(self, connection: Fake) -> None:
        self.store.release(connection)
        self.perform()

    def made(self, dial: Dial, is_http2: bool, streams: int = 3) -> Fake:
        self.dials.remove(dial)
        connection = Fake(dial.origin, is_http2, streams)
        if self.store.made(dial, connection):
            self.connections.append(connection)
        else:
            self.store.failed(dial, "not HTTP/1.1")
        self.perform()
        return connection

    def refused(self, dial: Dial, reason: str | None = "refused") -> None:
        self.dials.remove(dial)
        self.store.failed(dial, reason)
        self.perform()

    def finish(self, connection: Fake) -> None:
        connection.requests -= 1
        self.store.capacity_changed(connection)
        self.perform()

    def lose(self, connection: Fake) -> None:
        connection.ended = True
        connection.requests = 0
        self.connections.remove(connection)
        self.store.lost(connection)
        self.perform()

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while 0.0 < self.alarm <= until:
            self.now = max(self.now, self.alarm)
            self.alarm = 0.0
            self.store.tick()
            self.perform()
        self.now = until

    # -- what always holds -----------------------------------------------------------------------

    def check(self) -> None:
        live = [each for each in self.connections if not each.is_retired]
        assert len(live) + len(self.dials) <= self.total
        names = {each.origin.name for each in live} | {each.origin.name for each in self.dials}
        for name in names:
            mine = [each for each in live if each.origin.name == name]
            dials = [each for each in self.dials if each.origin.name == name]
            if not any(each.is_http2 for each in mine):
                assert len(mine) + len(dials) <= self.per_origin
            assert sum(each.is_http2 for each in mine) <= 1
        assert len({id(each) for each in self.waiting}) == len(self.waiting)
        for waiter in self.waiting:
            self.check_waits(waiter, live)

    def check_waits(self, waiter: Waiter, live: list[Fake]) -> None:
        """A request waits for something that will happen, and not beside a free connection."""
        mine = [each for each in live if each.origin is waiter.origin and each.is_usable()]
        for each in mine:
            suits = not waiter.unused_only or each.is_http2 or each.is_unused()
            # (One that has become free without a word to the store is none of its faults.)
            assert not suits or each.room() <= 0, "a free connection"
        dialing = any(each.origin is waiter.origin for each in self.dials)
        idle = [
            each
            for each in live
            if each.is_usable() and each.is_free() and not (each.is_http2 and each.origin.waiting)
        ]
        full = len(live) + len(self.dials) >= self.total and not idle
        assert mine or dialing or full, "waits for nothing"


NAMES = st.sampled_from(["a", "b", "c"])
BOUND = st.one_of(st.none(), st.integers(1, 4))
PICK = st.integers(0, 1000)


class Histories(RuleBasedStateMachine):
    """Anything may happen, in any order."""

    @initialize(total=BOUND, per_origin=BOUND)
    def begin(self, total: int | None, per_origin: int | None) -> None:
        self.driver = Driver(total, per_origin)

    def open_connections(self) -> list[Fake]:
        return [each for each in self.driver.connections if not each.ended]

    @rule(name=NAMES, unused=st.booleans(), first=st.booleans(), sends=st.booleans())
    def request(self, name: str, unused: bool, first: bool, sends: bool) -> None:
        got = self.driver.request(self.driver.origin(name), unused, first)
        if isinstance(got, Fake):
            if sends:
                self.driver.send(got)
            else:
                self.driver.release(got)

    @precondition(lambda self: self.driver.granted)
    @rule(which=PICK, how=st.sampled_from(["send", "release", "leave", "hold"]), well=st.booleans())
    def go_on(self, which: int, how: str, well: bool) -> None:
        """A request that has waited uses its connection, or not."""
        waiter = self.driver.granted.pop(which % len(self.driver.granted))
        connection = waiter.connection
        assert isinstance(connection, Fake)
        if how == "leave":
            self.driver.store.leave(waiter)
            self.driver.perform()
            return
        is_there = connection in self.driver.connections and connection.is_reserved_alone()
        if how == "hold" and is_there:
            self.driver.store.hold(connection)
            other = self.driver.request(self.driver.origin(connection.origin.name))
            if isinstance(other, Fake):
                assert other is not connection or connection.is_http2
                self.driver.release(other)
            connection.ended = connection.ended or not well
            self.driver.store.inspected(connection, not connection.ended)
            self.driver.perform()
            if connection.ended:
                return
        if how == "release" or connection.ended:
            self.driver.release(connection)
        else:
            self.driver.send(connection)

    @precondition(lambda self: self.driver.waiting)
    @rule(which=PICK)
    def stop_waiting(self, which: int) -> None:
        waiter = self.driver.waiting.pop(which % len(self.driver.waiting))
        self.driver.store.leave(waiter)
        self.driver.perform()

    @precondition(lambda self: self.driver.dials)
    @rule(
        which=PICK, how=st.sampled_from(["1", "2", "fails", "given up"]), streams=st.integers(0, 4)
    )
    def dialed(self, which: int, how: str, streams: int) -> None:
        dial = self.driver.dials[which % len(self.driver.dials)]
        if how in ("1", "2"):
            self.driver.made(dial, how == "2", streams)
        else:
            self.driver.refused(dial, "refused" if how == "fails" else None)

    @precondition(lambda self: any(each.requests for each in self.driver.connections))
    @rule(which=PICK)
    def finish(self, which: int) -> None:
        busy = [each for each in self.driver.connections if each.requests]
        self.driver.finish(busy[which % len(busy)])

    @precondition(lambda self: self.open_connections())
    @rule(
        which=PICK,
        what=st.sampled_from(["ends", "silent", "refuses", "HTTP/1.1", "full", "streams"]),
        streams=st.integers(0, 4),
    )
    def changes(self, which: int, what: str, streams: int) -> None:
        among = self.open_connections()
        connection = among[which % len(among)]
        store = self.driver.store
        if what == "silent":
            store.retire(connection)
        elif what == "refuses":
            store.refuses(connection, "no requests")
        else:
            if what == "ends" or what == "HTTP/1.1":
                connection.ended = True
                connection.told_http1 = what == "HTTP/1.1" and connection.is_http2
            elif what == "full":
                connection.full = not connection.full
            elif connection.is_http2:
                connection.streams = max(streams, connection.requests + connection.reserved)
            store.capacity_changed(connection)
        self.driver.perform()

    @precondition(lambda self: self.driver.connections)
    @rule(which=PICK)
    def lose(self, which: int) -> None:
        connections = self.driver.connections
        self.driver.lose(connections[which % len(connections)])

    @rule(seconds=st.sampled_from([0.05, DIAL_PAUSE, 1.0, KEEPALIVE, 3 * KEEPALIVE]))
    def time_passes(self, seconds: float) -> None:
        self.driver.pass_time(seconds)

    @invariant()
    def check(self) -> None:
        if hasattr(self, "driver"):
            self.driver.check()

    def teardown(self) -> None:
        """Once all is over, nothing is left; closed or not."""
        if not hasattr(self, "driver"):
            return
        driver = self.driver
        while driver.granted or driver.waiting:
            waiters = driver.granted or driver.waiting
            driver.store.leave(waiters.pop())
            driver.perform()
        for dial in list(driver.dials):
            driver.refused(dial)
        for connection in list(driver.connections):
            connection.full = False
            while connection.requests:
                driver.finish(connection)
        driver.pass_time(3 * KEEPALIVE)
        for connection in list(driver.connections):
            assert connection.ended, "idle for too long"
            driver.lose(connection)
        assert not driver.dials
        assert driver.store.is_empty()
        assert all(driver.store.find(name) is None for name in "abc")


def test_histories() -> None:
    # To make a failing history shorter takes minutes.
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    run_state_machine_as_test(
        Histories, settings=settings(stateful_step_count=60, deadline=None, phases=phases)
    )


# -- by hand ---------------------------------------------------------------------------------------


def test_a_pool_needs_room() -> None:
    for total, per_origin in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="room"):
            ConnectionStore(total, per_origin, None)


def test_first_come_first_served() -> None:
    driver = Driver(None, 1)
    origin = driver.origin("a", False)
    waiters = [driver.request(origin) for _ in range(5)]
    assert len(driver.dials) == 1
    connection = driver.made(driver.dials[0], False)
    for waiter in waiters:
        assert driver.granted == [waiter]
        driver.send(connection)
        driver.granted.clear()
        driver.finish(connection)
    assert driver.request(origin) is connection


def test_http2_shares_one_connection() -> None:
    driver = Driver(None, None)
    origin = driver.origin("a")
    waiters = [driver.request(origin) for _ in range(5)]
    assert len(driver.dials) == 1
    connection = driver.made(driver.dials[0], True, streams=3)
    assert driver.granted == waiters[:3]
    for _ in range(3):
        driver.send(connection)
    driver.finish(connection)
    assert driver.granted == waiters[:4]


def test_a_second_http2_connection_is_closed() -> None:
    driver = Driver(None, None)
    origin = driver.origin("a", False)
    for _ in range(2):
        driver.request(origin)
    first, second = list(driver.dials)
    shared = driver.made(first, True)
    assert driver.made(second, True).is_closed
    assert origin.shared is shared and not shared.is_closed


def test_the_connection_that_is_idle_the_longest_makes_room() -> None:
    driver = Driver(2, None)
    connections = {}
    for name in "ab":
        driver.request(driver.origin(name, False))
        connections[name] = driver.made(driver.dials[0], False)
        driver.send(connections[name])
    driver.finish(connections["b"])
    driver.now += 1
    driver.finish(connections["a"])
    driver.request(driver.origin("c", False))
    assert connections["b"].is_closed and not connections["a"].is_closed
    assert [dial.origin.name for dial in driver.dials] == ["c"]


def test_blocked_origins_come_before_later_waiters() -> None:
    driver = Driver(1, None)
    driver.request(driver.origin("a", False))
    connection = driver.made(driver.dials[0], False)
    driver.send(connection)
    driver.request(driver.origin("b", False))
    driver.request(driver.origin("a", False))
    driver.finish(connection)
    assert connection.is_closed
    assert [dial.origin.name for dial in driver.dials] == ["b"]


def test_failing_dials() -> None:
    """They fail one HTTP/1.1 request each, or all of HTTP/2; or the others have to do."""
    driver = Driver(None, None)
    origin = driver.origin("a", False)
    for _ in range(2):
        driver.request(origin)
    driver.refused(driver.dials[0])
    assert len(driver.failed) == 1 and driver.failed[0].reason == "refused"
    connection = driver.made(driver.dials[0], False)
    driver.send(connection)
    driver.request(origin)
    driver.refused(driver.dials[0])
    assert len(driver.failed) == 1
    assert driver.dials == []  # for a while
    driver.pass_time(DIAL_PAUSE * 1.01)
    assert len(driver.dials) == 1
    other = driver.origin("b")
    for _ in range(3):
        driver.request(other)
    driver.refused(driver.dials[-1])
    assert len(driver.failed) == 4


def test_who_needs_an_unused_connection_waits_for_it() -> None:
    """A failed dial fails one waiter; the others still get no used connection."""
    driver = Driver(None, 2)
    origin = driver.origin("a", http2=False)
    first, second, third = (driver.request(origin, unused_only=True) for _ in range(3))
    driver.refused(driver.dials[0])
    assert driver.failed == [first]
    connection = driver.made(driver.dials[0], False)
    assert second.connection is connection
    driver.send(connection)
    driver.finish(connection)
    assert third.connection is None
    other = driver.made(driver.dials[0], False)
    assert third.connection is other


@pytest.mark.parametrize("known", ["by a connection", "by the server"])
def test_who_waited_before_the_protocol_was_known(known: str) -> None:
    """Those that need an unused connection of HTTP/1.1 do not get a used one then either."""
    driver = Driver(None, 1)
    origin = driver.origin("a")
    first, second = (driver.request(origin, unused_only=True) for _ in range(2))
    if known == "by the server":
        driver.store.require_http1(origin)
    connection = driver.made(driver.dials[0], False)
    assert first.connection is connection
    driver.send(connection)
    driver.finish(connection)
    assert second.connection is None
    assert connection.is_retired  # it makes room
    other = driver.made(driver.dials[0], False)
    assert second.connection is other


def test_idle_connections_are_closed_in_time() -> None:
    driver = Driver(None, None)
    origin = driver.origin("a", False)
    driver.request(origin)
    connection = driver.made(driver.dials[0], False)
    driver.send(connection)
    driver.pass_time(2 * KEEPALIVE)
    driver.finish(connection)
    closed = []
    for part in (0.99, 0.02):
        driver.pass_time(KEEPALIVE * part)
        closed.append(connection.is_closed)
    assert closed == [False, True]
    driver.lose(connection)
    assert driver.store.find("a") is None


def test_http1_is_remembered_for_so_many_origins() -> None:
    driver = Driver(None, None)
    for number in range(MAX_HTTP1_ONLY + 1):
        name = str(number)
        driver.request(driver.origin(name))
        driver.store.require_http1(driver.origin(name))
        driver.store.leave(driver.waiting.pop())
        driver.refused(driver.dials[0], None)
        assert driver.store.find(name) is None
    for name, remembered in (("0", False), ("1", True), (str(MAX_HTTP1_ONLY), True)):
        assert driver.origin(name).http1_only is remembered
    driver.request(driver.origin("1"))
    dial = driver.dials[0]
    assert dial.http1_only
    driver.made(dial, True)  # whatever it was offered
    assert driver.failed[0].reason == "not HTTP/1.1"


def test_closing() -> None:
    driver = Driver(1, None)
    driver.request(driver.origin("a", False))
    connection = driver.made(driver.dials[0], False)
    driver.send(connection)
    waiters = [driver.request(driver.origin(name)) for name in "ab"]
    driver.store.close("closed")
    driver.perform()
    assert driver.failed == waiters
    assert [waiter.reason for waiter in waiters] == ["closed"] * 2
    assert not driver.store.is_empty()
    driver.finish(connection)
    assert connection.is_closed
    driver.lose(connection)
    assert driver.store.is_empty()


# -- a driver with threads -------------------------------------------------------------------------


class Blocking:
    """A blocking client: each thread carries out the decisions that its calls lead to."""

    def __init__(self, total: int, per_origin: int) -> None:
        self.lock = threading.RLock()
        self.store = ConnectionStore(total, per_origin, None)
        self.now_open = self.most_open = self.served = 0

    def perform(self) -> None:
        while decisions := self.store.take():
            for decision in decisions:
                if isinstance(decision, Waiter):
                    decision.key.set()
                elif isinstance(decision, Dial):
                    threading.Thread(target=self.dial, args=(decision,)).start()
                elif isinstance(decision, Fake):
                    decision.ended = True
                    self.now_open -= 1
                    self.store.lost(decision)

    def dial(self, dial: Dial) -> None:
        with self.lock:
            self.now_open += 1
            self.most_open = max(self.most_open, self.now_open)
            self.store.made(dial, Fake(dial.origin, dial.origin.name == "2", 4))
            self.perform()

    def connection(self, name: str) -> Fake:
        with self.lock:
            origin = self.store.find(name)
            if origin is None:
                origin = Origin(name, None, None)
                self.store.add(origin)
            found = self.store.pick(origin)
            waiter = Waiter(origin, False, False, threading.Event())
            if found is None:
                self.store.wait(waiter)
            self.perform()
        if found is None:
            assert waiter.key.wait(20)
            found = waiter.connection
        assert isinstance(found, Fake)
        return found

    def request(self, name: str) -> None:
        connection = self.connection(name)
        with self.lock:
            assert connection.is_usable()
            connection.requests += 1
            connection.used = True
            assert connection.requests <= (4 if connection.is_http2 else 1)
            self.store.sent(connection)
        threading.Event().wait(0.0001)
        with self.lock:
            connection.requests -= 1
            self.served += 1
            self.store.capacity_changed(connection)
            self.perform()


def test_threads() -> None:
    client = Blocking(total=4, per_origin=2)

    def work(number: int) -> None:
        for turn in range(50):
            client.request(str((number + turn) % 4))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert client.served == 400
    assert client.most_open <= 4
