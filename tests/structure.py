"""The tables of `test_structure.py`: the layers, and today's exceptions from the rules.

An exception has a name, a figure where the rule counts something, and a reason. A figure may fall,
never rise. An exception that is not needed any more makes the test fail.
"""

# Who may import whom: a module imports what is above it, or what is in the same part of its layer.
# A name stands for the module or package and all that is below it, unless a longer name covers
# that; with a dot at its end, for what is below only.
LAYERS = (
    ("compiled_function", "const", "date", "enums", "settings_dict", "stats", "strict", "timeouts"),
    ("errors", "limits"),
    ("hpack", "settings", "headers", "budget", "priority"),
    # Traces stand beside the connections: they read the bytes themselves.
    ("counts",),
    ("trace",),
    ("h1.head", "h1.body", "h1.sent", "h2.frames", "h2.field_rules"),
    ("h1.parse",),
    ("h1.lenient", "h1.target"),
    ("h1.state", "h2.state"),
    ("core",),
    ("streams",),
    ("h1", "h2"),
    ("drive",),
    ("engine",),
    # asyncio: what knows no connection; the parts of one, and the connection; those of servers and
    # of clients; what makes and what keeps connections; the public names.
    (
        "raw",
        "aio.end_reasons",
        "aio.errors",
        "aio.waiters",
        "aio.hosts",
        "aio.tls",
        "aio.arguments",
    ),
    ("aio.connection.durations", "aio.connection.lifecycle", "aio.connection.transports"),
    ("aio.fields", "aio.log", "aio.server.proxy_header"),
    (
        "aio.channel",
        "aio.client.urls",
        "aio.server.signals",
        "aio.connection.pings",
        "aio.connection.body",
        "aio.file_range",
        "aio.client.happy_eyeballs",
        "aio.client.unread_input",
        "aio.client.pending",
        "aio.coroutine_functions",
    ),
    ("aio.connection.stream_state",),
    ("aio.connection.pending_write",),
    ("aio.connection.state",),
    ("aio.connection.reasons", "aio.connection.send_buffer"),
    ("aio.connection.send_queue",),
    ("aio.connection.bdp",),
    (
        "aio.connection.bugs",
        "aio.connection.progress",
        "aio.connection.truncation",
    ),
    ("aio.connection.stream_timeouts",),
    ("aio.connection.timeouts",),
    ("aio.connection.intake",),
    ("aio.connection.ending",),
    ("aio.connection.leftover", "aio.connection.opening", "aio.connection.room"),
    ("aio.connection.after_input", "aio.connection.exchanges"),
    ("aio.sources", "aio.client.unclaimed"),
    ("aio.client.request_observer",),
    ("aio.client.request_spec",),
    ("aio.client.connect_errors", "aio.client.forward_proxy", "aio.client.proxy_environment"),
    ("pool",),
    ("aio.connection.stats",),
    ("aio.connection.protocol",),
    ("aio.connection.exchange",),
    ("aio.incoming", "aio.tunnel"),
    ("aio.connection.sendfile",),
    ("aio.connection.writing",),
    ("aio.client.response_state", "aio.server.request_state"),
    # What a request uses to become a WebSocket; what connects is below.
    ("websocket.errors", "websocket.options"),
    ("websocket.wire", "websocket.inbox", "websocket.pings"),
    ("websocket.frames", "websocket.writer"),
    ("websocket.socket",),
    ("websocket.handshake",),
    ("aio.client.state", "aio.server.state"),
    (
        "aio.client.liveness",
        "aio.client.pushes",
        "aio.client.request_queue",
        "aio.client.response_timeouts",
        "aio.client.retry_rules",
        "aio.client.upload",
    ),
    (
        "aio.client.graceful_close",
        "aio.client.request_watch",
        "aio.client.request_writer",
        "aio.client.responses",
    ),
    # The folders themselves, which import nothing.
    ("aio.client", "aio.connection", "aio.server"),
    ("aio.forwarding", "aio.stacks"),
    ("aio.client.sending", "aio.server.failures", "aio.server.ranks", "aio.server.respond"),
    ("aio.client.events", "aio.client.tunnels"),
    ("aio.server.outcome", "aio.server.response_writer", "aio.server.retirement"),
    ("aio.server.response_stream", "aio.server.shutdown"),
    ("aio.server.handlers",),
    ("aio.server.connection",),
    ("aio.client.connection", "aio.client.upgrade_refused"),
    ("aio.server.proxy_protocol", "aio.server.response_hook", "aio.server.traced"),
    ("aio.client.proxy",),
    ("aio.client.traced",),
    ("aio.client.connect",),
    ("aio.client.requesting",),
    ("aio.server.listener", "aio.client.pooled"),
    ("aio.serving",),
    ("aio.running",),
    # A pool: what is being made, what there is, what is sent again.
    ("aio.client.dialing",),
    ("aio.connection_pool",),
    ("aio.retrying",),
    ("websocket.client",),
    ("websocket.opening",),
    ("aio.pool",),
    ("aio.public",),
    ("aio",),
    ("testing",),
    ("sync",),
    ("websocket",),
    ("workers",),
    ("asgi",),
    ("uvicorn", "gunicorn", "django", "prometheus"),
    ("adapters",),
    ("httpx", "httpx2", "requests"),
    ("cli", "examples"),
)

# A client raises this error, which has a response for the application, which has its client: they
# name each other, so they belong in one module. But classes of errors stay interpreted (see
# setup.py): in a compiled module, even one with `native_class=False` refuses subclasses of it.
IN_A_CIRCLE = {
    "aio.client.connection",
    "aio.client.upgrade_refused",
}

# Neither checked nor counted in what derives from them.
COUNTED_APART = {
    "core.Core": "all the state of a connection, and no behaviour",
    "engine.Engine": "all the verbs of the API, each a short method, and no state beyond Core's",
    "cli.fetch.GetOptions": "every option is a field, as in its table",
    "asgi.server.config.Config": "every option is a field, so that one table shows them all",
    "asgi.server.run_options.RunOptions": "as Config, for type checkers",
    "limits.Limits": "every bound is a field, so that one list shows them all",
}

# Lines of code and fields of classes that have more than others may, their bases counted.
LARGE_CLASSES = {
    "h1.state.Http1": (0, 41, "as Core: the state of one protocol, and no behaviour"),
    "h2.state.Http2": (0, 62, "as Core: the state of one protocol, and no behaviour"),
}

# Who writes fields that another module declares, all of them or those named, and why.
WRITERS: tuple[tuple[set[str], str, set[str], str], ...] = (
    (
        {"streams", "drive", "engine", "h1", "h2"},
        "core",
        set(),
        "core has the state of a connection, and no behaviour; these are the behaviour",
    ),
    (
        {"core", "engine", "h2"},
        "settings",
        set(),
        "whoever announces or receives settings fills such a record",
    ),
    (
        {"streams"},
        "h2.state",
        {"header_bytes", "small_used", "wider", "recv_credit", "block", "data_seen"},
        "the end of a stream, or of a connection, gives back what HTTP/2 has counted for it",
    ),
    ({"engine"}, "h2.state", {"replies"}, "replies are counted from one drain to the next"),
    ({"h2"}, "h1.state", {"upgraded"}, "HTTP/1.1 hands over the request that asked for h2c"),
    ({"h2"}, "hpack.decoder", {"max_list_size"}, "SETTINGS change it"),
    ({"h2"}, "budget", {"left"}, "a whole message fills the bucket of empty frames"),
    (
        {"aio.connection"},
        "aio.connection.state",
        set(),
        "as core: the records of one connection, and no behaviour",
    ),
    (
        {"aio.connection"},
        "aio.connection.stream_state",
        set(),
        "as aio.connection.state: the record of one stream",
    ),
    (
        {"aio.connection"},
        "aio.connection.pending_write",
        set(),
        "as aio.connection.state: the record of one write",
    ),
    (
        {"aio.connection"},
        "aio.connection.lifecycle",
        {
            "connected_at",
            "drain_since",
            "peer_end",
            "loss",
            "cause",
            "hung_up",
            "timed_out",
            "closed_waiter",
        },
        "what has happened to a connection. `fire` alone writes its phase, `close_by` its mode",
    ),
    (
        {"aio.connection.stream_timeouts"},
        "aio.connection.body",
        {"waiting_since", "fed_seen"},
        "the timer notes what it has seen of a body",
    ),
    (
        {"aio.server"},
        "aio.connection.body",
        {"awaited"},
        "a body waits for a 100 (Continue) until its request is answered",
    ),
    (
        {"aio.server.connection"},
        "aio.connection.stream_state",
        {"_ended"},
        "a stream that is reset with the input that opened it ends at once",
    ),
    (
        {"aio.client.request_watch"},
        "aio.connection.stream_state",
        {"_error_delivered"},
        "who waits for a response gets the error of its time limit",
    ),
    ({"aio.retrying"}, "aio.client.request_spec", {"source"}, "a retry reads the body anew"),
    (
        {"aio.connection.opening", "aio.client.proxy"},
        "core",
        {"scheme", "disallow_h2_prior_knowledge"},
        "public settings of an engine, which depend on TLS",
    ),
    ({"aio.connection.intake"}, "h2.state", {"pause_at"}, "frames of one iteration are bounded"),
    (
        {"aio"},
        "errors",
        {"limit", "rule", "_connection"},
        "who raises an error may add the reason that another one had",
    ),
    ({"aio"}, "aio.errors", {"retryable"}, "as those of errors"),
    (
        {"aio.server"},
        "aio.server.state",
        set(),
        "as aio.connection.state: the handlers of one connection, and no behaviour",
    ),
    (
        {"aio.server"},
        "aio.server.request_state",
        set(),
        "the state of one request; the server starts its handler, which writes its response",
    ),
    (
        {"aio.client"},
        "aio.client.state",
        set(),
        "as aio.server.state: the requests of one connection, and no behaviour",
    ),
    (
        {"aio.client"},
        "aio.client.response_state",
        set(),
        "the state of one response and its upload; the connection receives and sends them",
    ),
    ({"aio.tls"}, "h1.compose", {"options"}, "that is a field of ssl.SSLContext"),
)

# How many such fields the modules of a package write beyond that, all told. (cli: the type of a
# tarfile.TarInfo. requests: its responses have no constructor with arguments.)
FOREIGN_WRITES = {"adapters": 5, "cli": 1, "requests": 9, "sync": 7}

# Private names of asyncio and others that the package uses all the same.
PRIVATE_NAMES = {
    "_exit": "`os._exit`: a worker without a parent, or a server stopped twice, ends now",
    "_SSLProtocolTransport": "cpython#113214, in the Pythons that have that error and in no others",
    "_force_close": "as _SSLProtocolTransport",
}

CONNECTION = {"Core", "Engine", "Connection", "Server", "Client"}
# What a docstring may say that its module never knows, and the names it then does not import.
UNKNOWN = {
    "connection": CONNECTION,
    "connections": CONNECTION,
    "request": {"Request"},
    "requests": {"Request"},
    "response": {"Response"},
    "responses": {"Response"},
    "socket": {"socket"},
    "sockets": {"socket"},
    "transports": {"Transport", "BaseTransport"},
    "tasks": {"Task", "create_task"},
    "file": {"io", "os", "pathlib"},
    "header field": {"Headers"},
    "comes in": {"recv", "intake", "drive"},
}

# What is imported in spite of that, with the reason.
KNOWN_ALL_THE_SAME = {
    ("aio.connection.body", "Engine"): "to give credit back (`consume`), as its docstring says",
    ("aio.hosts", "socket"): "to parse addresses (`inet_pton`); it opens none",
    ("aio.server.proxy_header", "socket"): "to read addresses (`inet_ntop`); it opens none",
}
