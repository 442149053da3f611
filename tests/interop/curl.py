"""curl, over each protocol, in clear text and over TLS, and its report of an exchange."""

import json
from typing import Any

from tests.peers import require
from tests.processes import Pair, Result, run

# Name of the way -> options, the version that must come out, whether over TLS.
WAYS: dict[str, tuple[list[str], str, bool]] = {
    "HTTP/1.1": (["--http1.1"], "1.1", False),
    "prior knowledge": (["--http2-prior-knowledge"], "2", False),
    "ALPN": (["--http2"], "2", True),
    "HTTP/1.1 over TLS": (["--http1.1"], "1.1", True),
}

# curl 7.88 cannot use a connection of prior knowledge twice, no matter whose.
REUSING = sorted(WAYS.keys() - {"prior knowledge"})


class Way:
    """curl, one of the ways to reach us."""

    def __init__(self, name: str, clear: str, secure: str, pair: Pair) -> None:
        self._options, self.version, over_tls = WAYS[name]
        self._options = [*self._options, "--cacert", str(pair.authority)]
        self.url = secure if over_tls else clear
        self._curl = require("curl")

    def __call__(self, path: str, *options: str) -> Result:
        common = ["-sS", "--max-time", "50", "--path-as-is", *self._options]
        return run(self._curl, *common, *options, self.url + path, timeout=60)

    def ask(self, path: str, *options: str) -> tuple[dict[str, Any], bytes]:
        """What curl knows of the response (with its headers as "fields"), and the body."""
        result = self(path, *options, "-w", "%{stderr}%{json}\n%{header_json}\n")
        assert result.status == 0, result.stderr
        line, _, fields = result.stderr.partition("\n")
        about: dict[str, Any] = json.loads(line)
        assert about["http_version"] == self.version
        about["fields"] = {k: v[0] for k, v in json.loads(fields).items()}
        return about, result.stdout
