"""Errors, from the special to the general."""

from typing import assert_type

import cno


async def fetch(pool: cno.Pool) -> None:
    try:
        await pool.request("GET", "http://cno.test/")
    except cno.ProxyError as error:
        assert_type(error.content, bytes)
    except cno.ConnectTimeoutError as error:
        assert_type(error.limit, str)
    except (cno.ConnectError, cno.StreamError, cno.ConnectionLostError) as error:
        assert_type(error.retryable, bool)
    except TimeoutError:
        raise
    except cno.ConnectionError as error:
        assert_type((error.stream, error.code, error.rule), tuple[int, int, str])
