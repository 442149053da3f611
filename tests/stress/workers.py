"""The workers of `cno serve` under load: what a signal, a crash and a cancelled request cost.

    python -m tests.stress.workers --times 10 --requests 1000000
    python -m tests.stress.workers --only kill,stop

Each check prints its figures. Exits with 1 if one fails. It needs Linux, and h2load for `kill`.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import cno
from tests.peers import require
from tests.processes import PATIENCE
from tests.serve.load import Load
from tests.serve.server import Served, alive, children, eventually, serving, start, wait_for_log

QUIET = ("--no-access-log", "--workers", "2")
#: MiB by which a worker may grow after the first tenth of the requests.
GROWTH = 4.0
#: Of the requests, every so many are cancelled.
CANCELLED = 20
WIDTH = 50  # requests at once


def protocol(http2: bool) -> str:
    return "HTTP/2" if http2 else "HTTP/1.1"


def sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    count = 0
    for each in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{each}").startswith("socket:")
        except OSError:
            pass  # closed meanwhile
    return count


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


# -- a worker is killed under h2load ---------------------------------------------------------------


def all_serving(served: Served) -> set[int]:
    """Wait until each worker has answered; return them."""
    pids, seen = served.pids(), set[int]()

    def seen_all() -> bool:
        seen.add(served.ask()["pid"])
        return seen == pids

    eventually(seen_all)
    time.sleep(0.2)  # the workers see the ends of these connections
    return pids


def kill(http2: bool, times: int, _: int) -> list[str]:
    """`kill -9` of a worker loses the requests of its own connections, and no others."""
    problems = []
    clients, each = 20, 1_000
    for _ in range(times):
        with serving(*QUIET) as served:
            pids = all_serving(served)
            idle = {pid: sockets(pid) for pid in pids}
            command = [require("h2load"), "-n", str(clients * each), "-c", str(clients), "-m", "5"]
            command += [] if http2 else ["--h1"]
            load = subprocess.Popen([*command, served.url], stdout=subprocess.PIPE, text=True)
            # What is not accepted yet would end with the worker as well.
            while load.poll() is None and sum(map(sockets, pids)) < sum(idle.values()) + clients:
                time.sleep(0.005)
            counts = {pid: sockets(pid) - idle[pid] for pid in pids}
            victim = max(pids, key=counts.__getitem__)
            own = counts[victim]
            os.kill(victim, signal.SIGKILL)
            out, _err = load.communicate(timeout=PATIENCE)
            eventually(lambda: len(served.pids()) == 2)
            found = re.search(r"(\d+) succeeded", out)
            succeeded = int(found[1]) if found else 0
            wanted = (clients - own) * each
            print(f"  {succeeded} succeeded; {clients - own} connections of others: {wanted}")
            if not own:
                problems.append("the load was over before a worker was killed")
            if succeeded < wanted:
                problems.append(f"{wanted - succeeded} requests of other workers were lost")
    return problems


# -- signals lose nothing --------------------------------------------------------------------------


def under_load(served: Served, http2: bool, step: Callable[[Load], Awaitable[None]]) -> Load:
    async def main() -> Load:
        async with Load(served.url, http2=http2, clients=8) as load:
            await load.wait(200)
            await step(load)
        return load

    return asyncio.run(main())


def stop(http2: bool, times: int, _: int) -> list[str]:
    """SIGTERM loses no request."""
    problems = []
    answered = 0
    for turn in range(times):
        with serving("--no-access-log", "--workers", str(1 + turn % 2)) as served:

            async def step(load: Load, pid: int = served.pid) -> None:
                load.finish()
                os.kill(pid, signal.SIGTERM)

            load = under_load(served, http2, step)
            served.running.wait()
        answered += load.answered
        problems += load.lost
    print(f"  {times} times, {answered} requests answered, {len(problems)} lost")
    return problems


def hangup(http2: bool, times: int, _: int) -> list[str]:
    """SIGHUP replaces all workers, and loses no request."""
    problems = []
    answered = 0
    with serving(*QUIET) as served:
        for _ in range(times):

            async def step(load: Load) -> None:
                before = served.pids()
                os.kill(served.pid, signal.SIGHUP)
                async with asyncio.timeout(PATIENCE):
                    while before & served.pids() or len(served.pids()) != 2:
                        await load.wait(1)

            load = under_load(served, http2, step)
            answered += load.answered
            problems += load.lost
    print(f"  {times} times, {answered} requests answered, {len(problems)} lost")
    return problems


# -- memory ----------------------------------------------------------------------------------------


def memory(http2: bool, _: int, requests: int) -> list[str]:
    """A worker does not grow while one request of twenty is cancelled."""
    with serving("--no-access-log", app="tests.asgi.behaviour.app:app") as served:
        pid = served.pid
        first, last = asyncio.run(ask_and_cancel(served.url, http2, requests, pid))
    print(f"  {requests} requests: {first:.1f} MiB after a tenth, {last:.1f} MiB at the end")
    return [f"grew by {last - first:.1f} MiB"] if last - first > GROWTH else []


async def ask_and_cancel(url: str, http2: bool, requests: int, pid: int) -> tuple[float, float]:
    first = 0.0
    done = 0

    async with cno.Pool(force_http2=http2) as pool:

        async def ask() -> None:
            nonlocal done, first
            while done < requests:
                done += 1
                if done == requests // 10:
                    first = resident(pid)
                if done % CANCELLED:
                    response = await pool.request("GET", url + "/plain")
                    await response.read()
                    continue
                asking = asyncio.ensure_future(pool.request("GET", url + "/gone"))
                await asyncio.sleep(0)
                if done % 2:
                    asking.cancel()
                    await asyncio.wait((asking,))
                else:
                    (await asking).cancel()

        await asyncio.gather(*(ask() for _ in range(WIDTH)))
        return first, resident(pid)


# -- processes -------------------------------------------------------------------------------------


def crash(_: bool, times: int, __: int) -> list[str]:
    """Workers that die at once are started again less and less often."""
    app = "tests.serve.apps:crashes"
    with start("--port", "0", "--workers", "2", "--lifespan", "on", app=app) as running:
        wait_for_log(running, "ended by signal 9")
        time.sleep(times)
        deaths = sum("ended by signal 9" in line for line in running.err)
        running.process.terminate()
        status = running.wait()
    print(f"  2 workers died {deaths} times in {times} s; SIGTERM: status {status}")
    return [f"{deaths} deaths in {times} s"] if deaths > 6 + 2 * times else []


def orphans(_: bool, times: int, __: int) -> list[str]:
    """No worker outlives its parent."""
    worst = 0.0
    for turn in range(times):
        with start("--port", "0", *QUIET) as running:
            wait_for_log(running, "Listening")
            pids = children(running.process.pid)
            running.process.kill()
            running.process.wait(PATIENCE)
            began = time.monotonic()
            while any(alive(pid) for pid in pids):
                if time.monotonic() > began + PATIENCE:
                    return [f"a worker outlives its parent, in turn {turn}"]
                time.sleep(0.01)
            worst = max(worst, time.monotonic() - began)
    print(f"  {times} times; the last worker ended {worst:.2f} s after its parent at most")
    return []


CHECKS: dict[str, Callable[[bool, int, int], list[str]]] = {
    "kill": kill,
    "stop": stop,
    "hangup": hangup,
    "memory": memory,
    "crash": crash,
    "orphans": orphans,
}
#: They know no protocol.
ONCE = ("crash", "orphans")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.workers")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--requests", type=int, default=1_000_000, help="of `memory`")
    parser.add_argument("--only", default="", help=f"of {', '.join(CHECKS)}; by commas")
    options = parser.parse_args()
    failed = False
    for name, check in CHECKS.items():
        if options.only and name not in options.only.split(","):
            continue
        for http2 in (False,) if name in ONCE else (False, True):
            print(name if name in ONCE else f"{name}, {protocol(http2)}", flush=True)
            for problem in check(http2, options.times, options.requests):
                failed = True
                print(f"  FAILED: {problem}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
