"""The settings that an application asks for, as a dictionary: a type, and nothing else.

A leaf. Stays interpreted: mypyc keeps neither the docstring nor the annotations of such a class.
"""

from typing import TypedDict


class SettingsDict(TypedDict, total=False):
    """Settings to announce, by name; what is left out, or None, stays as it is."""

    header_table_size: int | None
    enable_push: int | None
    max_concurrent_streams: int | None
    initial_window_size: int | None
    max_frame_size: int | None
    max_header_list_size: int | None
    enable_connect_protocol: int | None
