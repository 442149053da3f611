"""The example of docs/httpx.md runs as it is."""

import re
import subprocess
import sys

import pytest

from tests.aio.lab import HTTP1, Lab, hello
from tests.tree import ROOT

TEXT = ROOT.joinpath("docs/httpx.md").read_text("utf-8")


@pytest.mark.slow
def test_example(lab: Lab) -> None:
    (example,) = re.findall(r"^```python\n(.+?)^```", TEXT, re.DOTALL | re.MULTILINE)

    async def main() -> str:
        import asyncio

        async with lab.serving(HTTP1, hello) as url:
            code = example.replace("http://127.0.0.1:8000", url)
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            return str(done.stdout)

    assert lab.run(main()) == "200 HTTP/1.1\n"
