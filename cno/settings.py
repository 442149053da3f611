"""HTTP/2 settings (RFC 9113 section 6.5, RFC 8441, RFC 9218), and the rules for their values.

Knows the numbers and their ranges. Must never know when they take effect: `h2` does.
"""

from typing import Any

from mypy_extensions import i64, mypyc_attr

from cno.const import (
    CNO_RST_FLOW_CONTROL_ERROR,
    CNO_RST_PROTOCOL_ERROR,
    CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL,
    CNO_SETTINGS_ENABLE_PUSH,
    CNO_SETTINGS_HEADER_TABLE_SIZE,
    CNO_SETTINGS_INITIAL_WINDOW_SIZE,
    CNO_SETTINGS_MAX_CONCURRENT_STREAMS,
    CNO_SETTINGS_MAX_FRAME_SIZE,
    CNO_SETTINGS_MAX_HEADER_LIST_SIZE,
    CNO_SETTINGS_NO_RFC7540_PRIORITIES,
    DEFAULT_HEADER_TABLE_SIZE,
    DEFAULT_WINDOW,
    MAX_MAX_FRAME_SIZE,
    MAX_U32,
    MAX_WINDOW,
    MIN_MAX_FRAME_SIZE,
)
from cno.errors import ConnectionFault, UsageError
from cno.settings_dict import SettingsDict as SettingsDict
from cno.strict import typed


@mypyc_attr(acyclic=True)
class Settings:
    """The settings of one side. Public attributes are read-only and begin with the RFC's defaults.

    Sizes are in bytes. "Unlimited" is 2**32 - 1, the largest value of the wire format.
    """

    def __init__(self) -> None:
        self._header_table_size: i64 = DEFAULT_HEADER_TABLE_SIZE
        self._enable_push: i64 = 1
        self._max_concurrent_streams: i64 = MAX_U32
        self._initial_window_size: i64 = DEFAULT_WINDOW
        self._max_frame_size: i64 = MIN_MAX_FRAME_SIZE
        self._max_header_list_size: i64 = MAX_U32
        self._enable_connect_protocol: i64 = 0
        self._no_rfc7540_priorities: i64 = 0

    @property
    def header_table_size(self) -> int:
        return self._header_table_size

    @property
    def enable_push(self) -> bool:
        return self._enable_push != 0

    @property
    def max_concurrent_streams(self) -> int:
        return self._max_concurrent_streams

    @property
    def initial_window_size(self) -> int:
        return self._initial_window_size

    @property
    def max_frame_size(self) -> int:
        return self._max_frame_size

    @property
    def max_header_list_size(self) -> int:
        return self._max_header_list_size

    @property
    def enable_connect_protocol(self) -> bool:
        return self._enable_connect_protocol != 0

    @property
    def no_rfc7540_priorities(self) -> bool:
        return self._no_rfc7540_priorities != 0

    def __repr__(self) -> str:
        values = ", ".join(f"{NAMES[i]}={self.get(i)}" for i in ALL_IDS)
        return f"Settings({values})"

    def get(self, key: i64) -> i64:
        """Return the value of the setting with this identifier; -1 if it is unknown."""
        if key == CNO_SETTINGS_HEADER_TABLE_SIZE:
            return self._header_table_size
        if key == CNO_SETTINGS_ENABLE_PUSH:
            return self._enable_push
        if key == CNO_SETTINGS_MAX_CONCURRENT_STREAMS:
            return self._max_concurrent_streams
        if key == CNO_SETTINGS_INITIAL_WINDOW_SIZE:
            return self._initial_window_size
        if key == CNO_SETTINGS_MAX_FRAME_SIZE:
            return self._max_frame_size
        if key == CNO_SETTINGS_MAX_HEADER_LIST_SIZE:
            return self._max_header_list_size
        if key == CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL:
            return self._enable_connect_protocol
        if key == CNO_SETTINGS_NO_RFC7540_PRIORITIES:
            return self._no_rfc7540_priorities
        return -1

    def set(self, key: i64, value: i64) -> None:
        """Store a checked value. An unknown identifier is ignored."""
        # > An endpoint that receives a SETTINGS frame with any unknown or unsupported identifier
        # > MUST ignore that setting.  (RFC 9113 6.5.2)
        if key == CNO_SETTINGS_HEADER_TABLE_SIZE:
            self._header_table_size = value
        elif key == CNO_SETTINGS_ENABLE_PUSH:
            self._enable_push = value
        elif key == CNO_SETTINGS_MAX_CONCURRENT_STREAMS:
            self._max_concurrent_streams = value
        elif key == CNO_SETTINGS_INITIAL_WINDOW_SIZE:
            self._initial_window_size = value
        elif key == CNO_SETTINGS_MAX_FRAME_SIZE:
            self._max_frame_size = value
        elif key == CNO_SETTINGS_MAX_HEADER_LIST_SIZE:
            self._max_header_list_size = value
        elif key == CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL:
            self._enable_connect_protocol = value
        elif key == CNO_SETTINGS_NO_RFC7540_PRIORITIES:
            self._no_rfc7540_priorities = value

    def copy(self) -> "Settings":
        """Return an independent copy."""
        other = Settings()
        for key in ALL_IDS:
            other.set(key, self.get(key))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, ([int(self.get(key)) for key in ALL_IDS],)


def rebuild(values: list[int]) -> Settings:
    """Return settings with these values, in the order of `ALL_IDS`, for `copy` and `pickle`."""
    settings = Settings()
    for key, value in zip(ALL_IDS, values, strict=True):
        settings.set(key, value)
    return settings


typed(Settings)

IDS = (
    CNO_SETTINGS_HEADER_TABLE_SIZE,
    CNO_SETTINGS_ENABLE_PUSH,
    CNO_SETTINGS_MAX_CONCURRENT_STREAMS,
    CNO_SETTINGS_INITIAL_WINDOW_SIZE,
    CNO_SETTINGS_MAX_FRAME_SIZE,
    CNO_SETTINGS_MAX_HEADER_LIST_SIZE,
    CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL,
)

#: The same, with the settings that are sent once, in the first SETTINGS (RFC 9218 2.1).
ALL_IDS = (*IDS, CNO_SETTINGS_NO_RFC7540_PRIORITIES)

NAMES = {
    CNO_SETTINGS_HEADER_TABLE_SIZE: "header_table_size",
    CNO_SETTINGS_ENABLE_PUSH: "enable_push",
    CNO_SETTINGS_MAX_CONCURRENT_STREAMS: "max_concurrent_streams",
    CNO_SETTINGS_INITIAL_WINDOW_SIZE: "initial_window_size",
    CNO_SETTINGS_MAX_FRAME_SIZE: "max_frame_size",
    CNO_SETTINGS_MAX_HEADER_LIST_SIZE: "max_header_list_size",
    CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL: "enable_connect_protocol",
    CNO_SETTINGS_NO_RFC7540_PRIORITIES: "no_rfc7540_priorities",
}


def check(key: i64, value: i64) -> None:
    """Raise ConnectionFault unless this setting may have this value (RFC 9113 6.5.2)."""
    if key == CNO_SETTINGS_ENABLE_PUSH:
        # > Any value other than 0 or 1 MUST be treated as a connection error (Section 5.4.1) of
        # > type PROTOCOL_ERROR.
        if value != 0 and value != 1:
            raise _fault("ENABLE_PUSH must be 0 or 1")
    elif key == CNO_SETTINGS_INITIAL_WINDOW_SIZE:
        # > Values above the maximum flow-control window size of 2^31-1 MUST be treated as a
        # > connection error (Section 5.4.1) of type FLOW_CONTROL_ERROR.
        if value > MAX_WINDOW:
            raise ConnectionFault(
                CNO_RST_FLOW_CONTROL_ERROR,
                "INITIAL_WINDOW_SIZE above 2^31-1",
                "RFC 9113 6.5.2",
            )
    elif key == CNO_SETTINGS_MAX_FRAME_SIZE:
        # > Values outside this range MUST be treated as a connection error (Section 5.4.1) of
        # > type PROTOCOL_ERROR.
        if value < MIN_MAX_FRAME_SIZE or value > MAX_MAX_FRAME_SIZE:
            raise _fault("MAX_FRAME_SIZE outside 2^14..2^24-1")
    elif key == CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL:
        # RFC 8441 section 3: the value is 0 or 1.
        if value != 0 and value != 1:
            raise _fault("ENABLE_CONNECT_PROTOCOL must be 0 or 1", "RFC 8441 3")
    elif key == CNO_SETTINGS_NO_RFC7540_PRIORITIES:
        # > The value of SETTINGS_NO_RFC7540_PRIORITIES MUST be 0 or 1. Any value other than 0 or 1
        # > MUST be treated as a connection error of type PROTOCOL_ERROR.   (RFC 9218 2.1)
        if value != 0 and value != 1:
            raise _fault("NO_RFC7540_PRIORITIES must be 0 or 1", "RFC 9218 2.1")


def check_own(key: int, value: object, server: bool) -> None:
    """Raise TypeError or UsageError unless this side may announce this value."""
    name = NAMES[key]
    if not isinstance(value, int):
        raise TypeError(f"the setting {name} cannot be {value!r}")
    if value < 0 or value > MAX_U32:
        raise UsageError(f"{name}={value} does not fit a setting", rule="RFC 9113 6.5.1")
    try:
        check(key, int(value))
    except ConnectionFault as fault:
        raise UsageError(fault.text, rule=fault.rule) from None
    if key == CNO_SETTINGS_ENABLE_PUSH and server and value:
        # > A server MUST NOT explicitly set this value to 1.   (RFC 9113 6.5.2)
        raise UsageError("a server cannot take pushes", rule="RFC 9113 6.5.2")


def check_dict(given: object, server: bool) -> None:
    """Raise TypeError or UsageError unless `configure` of a new connection takes these settings."""
    if given is None:
        return
    if not isinstance(given, dict):
        raise TypeError(f"settings must be a dict, not {type(given).__name__}")
    for name, value in given.items():
        found = [key for key in IDS if NAMES[key] == name]
        if not found:
            known = ", ".join([NAMES[key] for key in IDS])
            raise TypeError(f"there is no setting {name!r}, only {known}")
        if value is not None:
            check_own(found[0], value, server)


def _fault(text: str, rule: str = "RFC 9113 6.5.2") -> ConnectionFault:
    return ConnectionFault(CNO_RST_PROTOCOL_ERROR, text, rule)


def encode(settings: Settings, known: Settings) -> bytes:
    """Return the payload of a SETTINGS frame: the values that the peer does not know, by id."""
    payload = bytearray()
    for key in ALL_IDS:
        value = settings.get(key)
        if value != known.get(key):
            payload += int(key).to_bytes(2, "big") + int(value).to_bytes(4, "big")
    return bytes(payload)
