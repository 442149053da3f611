"""The type of the settings that an application passes.

A leaf. Stays interpreted: mypyc drops the docstring and the annotations of such a class.
"""

from typing import TypedDict


class SettingsDict(TypedDict, total=False):
    """Settings to announce, by name. A setting that is missing or None keeps its value."""

    header_table_size: int | None
    enable_push: int | None
    max_concurrent_streams: int | None
    initial_window_size: int | None
    max_frame_size: int | None
    max_header_list_size: int | None
    enable_connect_protocol: int | None
