"""Errors that are about content."""

from typing import assert_type

import cno


async def fetch(response: cno.Response) -> None:
    try:
        await response.raise_for_status().read(limit=10)
    except cno.StatusError as error:
        assert_type((error.code, error.reason), tuple[int, str])
        assert_type(error.headers, list[tuple[str, str]])
    except cno.BodyTooLargeError as error:
        assert_type(error.limit, int)
