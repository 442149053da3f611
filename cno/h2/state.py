"""What only HTTP/2 has to remember about a connection. A leaf: knows no connection."""

from mypy_extensions import i64, mypyc_attr


@mypyc_attr(acyclic=True)
class Http2:
    """Frame, window and settings state of an HTTP/2 connection."""

    def __init__(self) -> None:
        self.recv_credit: i64 = 0
