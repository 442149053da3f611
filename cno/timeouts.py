"""`Timeout`: the time limits of one request, by phase. Knows numbers only.

Stays interpreted: mypyc compiles no dataclass whose fields are keywords.
"""

from dataclasses import KW_ONLY, dataclass, fields


@dataclass(frozen=True, slots=True)
class Timeout:
    """The time limits of one request, in seconds: `pool.request(..., timeout=Timeout(read=5))`.

    None: as in `cno.Limits`; `math.inf`: no limit. In place of the record, a number is `total`. The
    error is a TimeoutError whose `limit` names the field, as in `timeout.read`.
    """

    #: From the call to the end of the response, retries included.
    total: float | None = None
    _: KW_ONLY
    #: While a connection is being made, including TLS and proxies.
    connect: float | None = None
    #: While all connections are in use, or the server allows no more requests.
    pool: float | None = None
    #: While the server takes nothing of the request's body.
    write: float | None = None
    #: While the server sends nothing: no response, or no more of a body that you wait for.
    read: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{each.name} cannot be {value!r}")
            if not value > 0:
                raise ValueError(f"{each.name}={value} is not above 0")


def as_timeout(value: object) -> Timeout | None:
    """Return the argument `timeout` as a record, or None. Raises TypeError, ValueError."""
    if value is None or isinstance(value, Timeout):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a timeout is seconds or a cno.Timeout, not {type(value).__name__}")
    return Timeout(float(value))
