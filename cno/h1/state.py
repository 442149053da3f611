"""What only HTTP/1.1 has to remember about a connection. A leaf: knows no connection."""

from mypy_extensions import mypyc_attr


@mypyc_attr(acyclic=True)
class Http1:
    """Parsing and ordering state of an HTTP/1.1 connection."""
