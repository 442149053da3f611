"""One blocking client that requests a page again and again, from N threads.

    python -m benchmarks.blocking_clients NAME URL N SECONDS

Runs in a separate process, and prints its measurements as JSON. Each response is read whole. Knows
nothing of the comparison.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.clients import BODY, EXTENSIONS, FIELDS, HEADERS, OTHERS
from benchmarks.lab import Missing, peer

#: Requests once; returns the bytes of the body.
Get = Callable[[], int]


def with_pool(url: str, stack: ExitStack) -> Get:
    from cno import sync

    pool = stack.enter_context(sync.Pool())

    def get() -> int:
        response = pool.request("GET", url, HEADERS)
        assert response.code == 200
        return len(response.read())

    return get


def pool_h2(url: str, stack: ExitStack) -> Get:
    return with_pool(url.replace("http:", "h2c:"), stack)


def with_httpx(url: str, stack: ExitStack, transport: Any, version: str) -> Get:
    client = peer("httpx").Client(transport=transport, headers=OTHERS, timeout=60)
    stack.enter_context(client)

    def get() -> int:
        response = client.get(url)
        assert response.status_code == 200 and response.http_version == version
        return len(response.content)

    return get


def httpx_own(url: str, stack: ExitStack) -> Get:
    transport = peer("httpx").HTTPTransport(http1=False, http2=True)
    return with_httpx(url, stack, transport, "HTTP/2")


def httpx_on_cno(url: str, stack: ExitStack) -> Get:
    import cno.httpx

    return with_httpx(url, stack, cno.httpx.Transport(http1=False), "HTTP/2")


def httpx_on_nothing(url: str, stack: ExitStack) -> Get:
    """httpx with a transport that returns a ready response."""
    httpx = peer("httpx")

    class Body(httpx.SyncByteStream):  # type: ignore[misc,name-defined]  # a peer has no types
        def __iter__(self) -> Iterator[bytes]:
            yield BODY

    class Transport(httpx.BaseTransport):  # type: ignore[misc,name-defined]  # a peer has no types
        def handle_request(self, request: Any) -> Any:
            return httpx.Response(200, headers=FIELDS, stream=Body(), extensions=EXTENSIONS)

    return with_httpx(url, stack, Transport(), "HTTP/2")


def with_requests(url: str, stack: ExitStack, adapter: Any) -> Get:
    session = stack.enter_context(peer("requests").Session())
    session.headers = dict(OTHERS)
    session.trust_env = False
    if adapter is not None:
        session.mount("http://", adapter)

    def get() -> int:
        response = session.get(url)
        assert response.status_code == 200
        return len(response.content)

    return get


def requests_own(url: str, stack: ExitStack) -> Get:
    adapter = peer("requests").adapters.HTTPAdapter(pool_maxsize=100)
    return with_requests(url, stack, adapter)


def requests_on_cno(url: str, stack: ExitStack) -> Get:
    import cno.requests

    return with_requests(url, stack, cno.requests.Adapter(max_idle=100))


def urllib3_own(url: str, stack: ExitStack) -> Get:
    pool = stack.enter_context(peer("urllib3").PoolManager(maxsize=100, headers=OTHERS))

    def get() -> int:
        response = pool.request("GET", url)
        assert response.status == 200
        return len(response.data)

    return get


CLIENTS: Final[dict[str, Callable[[str, ExitStack], Get]]] = {
    "cno.sync": pool_h2,
    "httpx": httpx_own,
    "httpx on cno": httpx_on_cno,
    "httpx on nothing": httpx_on_nothing,
    "cno.sync, HTTP/1.1": with_pool,
    "requests": requests_own,
    "requests on cno": requests_on_cno,
    "urllib3": urllib3_own,
}


def span(get: Get, threads: int, seconds: float) -> list[float]:
    """Request for this long; return the seconds of each."""
    times: list[float] = []
    deadline = time.perf_counter() + seconds

    def work() -> None:
        clock = time.perf_counter
        started = clock()
        while started < deadline:
            get()
            ended = clock()
            times.append(ended - started)
            started = ended

    if threads == 1:
        work()
        return times
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return times


def measure(name: str, url: str, threads: int, seconds: float) -> dict[str, float]:
    with ExitStack() as stack:
        get = CLIENTS[name](url, stack)
        span(get, threads, seconds / 5)
        began, used = time.perf_counter(), time.process_time()
        times = span(get, threads, seconds)
        took, spent = time.perf_counter() - began, time.process_time() - used
    times.sort()
    return {
        "requests": len(times),
        "rate": len(times) / took,
        "cpu": spent / len(times) * 1e6,
        "median": times[len(times) // 2] * 1e3,
        "slow": times[len(times) * 99 // 100] * 1e3,
    }


def main(name: str, url: str, threads: str, seconds: str) -> None:
    try:
        seen: dict[str, Any] = dict(measure(name, url, int(threads), float(seconds)))
    except Missing as reason:
        seen = {"missing": str(reason)}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
