"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from tests.cli.commands import Here
from tests.processes import Pair, certificate


@pytest.fixture
def here(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here(capsysbinary, tmp_path)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return certificate(tmp_path)
