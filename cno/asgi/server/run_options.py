"""The keyword arguments of `cno.asgi.run`, for type checkers. `config.Config` says what they mean.

A test compares both.
"""

from typing import TypedDict

from cno.limits import Limits


class RunOptions(TypedDict, total=False):
    """The fields of `Config`, each of which has a default."""

    host: str
    port: int
    uds: str | None
    uds_mode: str | None
    fd: int | None
    bind: tuple[str, ...]
    backlog: int
    factory: bool
    app_dir: str
    lifespan: str
    root_path: str
    env_file: str | None
    reload: bool
    reload_dirs: tuple[str, ...]
    reload_includes: tuple[str, ...]
    reload_excludes: tuple[str, ...]
    reload_delay: float
    workers: int | None
    loop: str
    limit_max_requests: int | None
    limit_max_requests_jitter: int
    worker_max_rss: str | None
    worker_lifetime: float | None
    timeout_worker_healthcheck: float
    timeout_graceful_shutdown: float | None
    limit_concurrency: int | None
    timeout_keep_alive: float | None
    log_config: str | None
    log_level: str
    access_log: bool
    access_log_format: str
    use_colors: bool | None
    proxy_headers: bool
    forwarded_allow_ips: str
    proxy_protocol: bool
    server_header: bool
    date_header: bool
    headers: tuple[str, ...]
    ssl_keyfile: str | None
    ssl_certfile: str | None
    ssl_keyfile_password: str | None
    ssl_version: int
    ssl_cert_reqs: int
    ssl_ca_certs: str | None
    ssl_ciphers: str | None
    ws: str
    ws_max_size: int
    ws_max_queue: int
    ws_ping_interval: float | None
    ws_ping_timeout: float | None
    ws_per_message_deflate: bool
    limits: Limits | None
