"""Metrics of servers and pools for Prometheus, by the package prometheus_client: `cno[prometheus]`.

Knows counts of connections, and responses. Must never know a connection. Stays interpreted: the
package need not be there to build.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.asgi import make_asgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cno.aio import Request
from cno.stats import ConnectionStats
from cno.trace import Counters

#: Methods with a label of their own. A client may send any other: it counts as `other`.
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Any]],
        Callable[[Any], Awaitable[None]],
    ],
    Awaitable[None],
]


class Watched(Protocol):
    """A `Listener` or a `Pool`."""

    def stats(self) -> list[ConnectionStats]: ...


class Metrics(Collector):
    """Counts servers and pools, and shows the counts.

        metrics = Metrics()
        server = cno.serve(handler, host, port, trace=metrics.servers, on_response=metrics.count)
        pool = cno.Pool(trace=metrics.clients)

    `metrics.handle` is a handler that answers with the text that Prometheus reads, `metrics.app` an
    ASGI application that does so. `registry` is yours, or a new one.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        #: The `trace` of servers, and that of pools.
        self.servers = Counters()
        self.clients = Counters()
        self._watched: list[Watched] = []
        self._responses = Counter(
            "cno_responses",
            "Responses of handlers, by status; 0: the client had gone before.",
            ("method", "code"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cno_response_seconds",
            "Seconds from the head of a request until its handler had returned.",
            ("method",),
            registry=self.registry,
        )
        self._octets = Counter(
            "cno_response_bytes",
            "Bytes of the bodies of responses.",
            registry=self.registry,
        )
        self.registry.register(self)
        self.app: App = make_asgi_app(self.registry)

    def count(self, request: Request, code: int, size: int, seconds: float) -> None:
        """Count a response: the argument `on_response` of `cno.serve`."""
        method = request.method if request.method in METHODS else "other"
        self._responses.labels(method, str(code)).inc()
        self._seconds.labels(method).observe(seconds)
        self._octets.inc(size)

    def watch(self, *servers_and_pools: Watched) -> None:
        """Show the streams and limits of a listener's or pool's connections, too."""
        self._watched += servers_and_pools

    async def handle(self, request: Request) -> None:
        """Answer a request with the metrics."""
        if request.method not in ("GET", "HEAD"):
            await request.respond(405, [("allow", "GET, HEAD")])
            return
        encode, content_type = choose_encoder(request.header("accept", ""))
        headers = [("content-type", content_type), ("cache-control", "no-store")]
        await request.respond(200, headers, encode(self.registry))

    # -- what prometheus_client asks ---------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """Yield the counts of connections."""
        opened = CounterMetricFamily("cno_connections", "Connections so far.", labels=("role",))
        now = GaugeMetricFamily("cno_connections_open", "Open connections.", labels=("role",))
        octets = family("cno_connection_bytes", "Bytes of connections, without TLS.")
        frames = family("cno_frames", "HTTP/2 frames.", "type")
        resets = family("cno_stream_resets", "RST_STREAM frames, by error code.", "code")
        goaways = family("cno_goaways", "GOAWAY frames, by error code.", "code")
        for role, counters in (("server", self.servers), ("client", self.clients)):
            opened.add_metric((role,), counters.opened)
            now.add_metric((role,), counters.connections)
            for direction, counts in (("sent", counters.sent()), ("received", counters.received())):
                octets.add_metric((role, direction), int(counts.octets))
                add_all(frames, role, direction, counts.frames_by_type())
                add_all(resets, role, direction, counts.resets_by_code())
                add_all(goaways, role, direction, counts.goaways_by_code())
        yield from (opened, now, octets, frames, resets, goaways)
        yield from self._of_watched()

    def _of_watched(self) -> Iterable[Metric]:
        found = [each for watched in self._watched for each in watched.stats()]
        streams = GaugeMetricFamily("cno_streams_open", "Open streams.", labels=("role",))
        blocked = GaugeMetricFamily(
            "cno_streams_blocked", "Streams whose output waits for the peer.", labels=("role",)
        )
        limits = GaugeMetricFamily(
            "cno_limit_used",
            "The largest share of a budget against abuse that a connection has spent.",
            labels=("role", "limit"),
        )
        for role, is_server in (("server", True), ("client", False)):
            ours = [each for each in found if each.is_server == is_server]
            streams.add_metric((role,), sum(each.streams_open for each in ours))
            blocked.add_metric((role,), sum(each.blocked_streams for each in ours))
            shares: dict[str, float] = {}
            for each in ours:
                for name, share in each.limits_near.items():
                    shares[name] = max(share, shares.get(name, 0.0))
            for name, share in sorted(shares.items()):
                limits.add_metric((role, name), share)
        return (streams, blocked, limits)


def family(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """Return an empty metric with the labels `role`, `direction` and others."""
    return CounterMetricFamily(name, text, labels=("role", "direction", *labels))


def add_all(metric: CounterMetricFamily, role: str, direction: str, counts: dict[str, int]) -> None:
    for label, count in counts.items():
        metric.add_metric((role, direction, label), count)
