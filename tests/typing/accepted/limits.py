"""Limits, and copies of them."""

from dataclasses import replace
from typing import assert_type

import cno

STRICT = cno.Limits(max_concurrent_streams=10, body_timeout=5.0, write_stall_timeout=None)
LOOSE = replace(STRICT, max_header_list_size=1_000_000)
assert_type(LOOSE, cno.Limits)
assert_type(LOOSE.max_concurrent_streams, int | None)
