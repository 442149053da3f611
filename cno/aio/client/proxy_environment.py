"""Proxies that environment variables name: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`.

Takes a mapping and the URL of a request, and returns the proxy. Must never know a connection.

No standard defines these variables. Where curl, Go and Python agree, this module does the same;
where they differ, it follows curl. The docstrings below name the differences.
"""

import os
from collections.abc import Mapping
from typing import Any

from cno.aio.client.urls import Target
from cno.aio.hosts import host_name, ip_address, is_address, port_of, without_dot


class ProxyEnvironment:
    """The proxies that a set of environment variables names, as they were when this was made.

    A variable in lower case takes precedence. An empty variable counts as not set. `HTTP_PROXY` in
    upper case is ignored where `REQUEST_METHOD` is set: in a CGI program the client of the server
    chooses its value, by a header field named `Proxy`.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        found = os.environ if variables is None else variables
        # Names are case-insensitive on Windows, so the client sets both variants there.
        in_cgi = "REQUEST_METHOD" in found
        http = "" if in_cgi and os.name == "nt" else found.get("http_proxy", "")
        if not http and not in_cgi:
            http = found.get("HTTP_PROXY", "")
        any_scheme = either(found, "all_proxy")
        self._urls = {
            "http": http or any_scheme,
            "https": either(found, "https_proxy") or any_scheme,
        }
        self._no_proxy = parse_no_proxy(either(found, "no_proxy"))
        self._proxies: dict[str, Target] = {}

    def proxy_for(self, target: Target) -> Target | None:
        """Return the proxy for requests to the host of `target`; None: connect directly.

        Raises ValueError if the value of the variable is not the URL of a proxy.
        """
        url = self._urls[target.scheme].strip()
        if not url:
            return None
        for each in self._no_proxy:
            if each.matches(target.host, target.port):
                return None
        proxy = self._proxies.get(url)
        if proxy is None:
            # curl and Go accept host and port without a scheme.
            proxy = parse_proxy(url if "://" in url else f"http://{url}")
            self._proxies[url] = proxy
        return proxy


def either(variables: Mapping[str, str], name: str) -> str:
    """Return the value of a variable, in lower case or else in upper case; "" if not set."""
    return variables.get(name, "") or variables.get(name.upper(), "")


def parse_proxy(url: str) -> Target:
    """Return the proxy that a URL names. Raises ValueError unless it is http: or https:."""
    proxy = Target(url)
    if proxy.force_http2:
        raise ValueError("a proxy's URL must begin with http:// or https://")
    return proxy


class NoProxyEntry:
    """An entry of `NO_PROXY`: hosts to connect to directly.

    `network` is an object of `ipaddress`, or None for a name. A name matches itself, unless
    `is_suffix_only` (`*.name`), and all its subdomains. `port` 0 matches every port.
    """

    def __init__(self, network: Any, name: str, is_suffix_only: bool, port: int) -> None:
        self._network = network
        self._name = name
        self._is_suffix_only = is_suffix_only
        self._port = port

    def matches(self, host: str, port: int) -> bool:
        """Return whether the entry covers a host (`hosts.Host.address`) and port."""
        if self._port not in (0, port):
            return False
        if self._name == "*":
            return True
        if is_address(host):
            return self._network is not None and ip_address(host) in self._network
        if self._network is not None:
            return False
        name = without_dot(host)
        return name.endswith("." + self._name) or (name == self._name and not self._is_suffix_only)


def parse_no_proxy(text: str) -> list[NoProxyEntry]:
    """Return the entries of a `NO_PROXY` variable, which commas or blanks separate.

    An entry is `*` (all hosts), an address or a network (`10.0.0.0/8`, `fd00::/8`), or a name. A
    dot before a name has no meaning, as in curl and Python (in Go, it excludes the name itself).
    `*.` before a name excludes the name itself, as in Go. Names and addresses may have a port.
    Malformed entries are ignored. Loopback addresses need an entry too (in Go, they do not).
    """
    entries = text.replace(",", " ").split()
    parsed = [parse_entry(entry) for entry in entries]
    return [each for each in parsed if each is not None]


def parse_entry(entry: str) -> NoProxyEntry | None:
    """Return one entry; None if it is malformed."""
    import ipaddress

    network: Any = None
    try:
        network = ipaddress.ip_network(unbracketed(entry), strict=False)
    except ValueError:
        pass
    if network is not None:
        return NoProxyEntry(network, "", False, 0)
    name, port = entry, 0
    try:
        before, colon, digits = entry.rpartition(":")
        if colon:
            name, port = unbracketed(before), port_of(digits) or 0
        if is_address(name):
            return NoProxyEntry(ipaddress.ip_network(name), "", False, port)
        if name == "*":
            return NoProxyEntry(None, name, False, port)
        plain = without_dot(host_name(name.removeprefix("*.").removeprefix(".")))
    except ValueError:
        return None
    return NoProxyEntry(None, plain, name.startswith("*."), port)


def unbracketed(text: str) -> str:
    """Return the text without a pair of brackets around it."""
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1]
    return text
