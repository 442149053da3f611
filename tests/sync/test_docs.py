"""The examples of docs/sync.md run as they are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.aio.lab import HTTP1, Lab, hello
from tests.sync.kit import serving
from tests.tree import ROOT

TEXT = ROOT.joinpath("docs/sync.md").read_text("utf-8")
EXAMPLES: list[str] = re.findall(r"^```python\n(.+?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(lab: Lab, tmp_path: Path, number: int) -> None:
    with serving(lab, HTTP1, hello) as url:
        code = EXAMPLES[number].replace("http://127.0.0.1:8000", url)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
