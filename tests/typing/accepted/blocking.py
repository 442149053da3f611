"""The blocking client."""

from typing import assert_type

import cno
from cno import sync


def main(url: str) -> None:
    with sync.Pool(timeout=cno.Timeout(connect=3.0)) as pool:
        with pool.request("GET", url, timeout=10) as response:
            assert_type(response, sync.Response)
            assert_type(response.code, int)
    with sync.connect(url) as client:
        assert_type(client, sync.Client)
