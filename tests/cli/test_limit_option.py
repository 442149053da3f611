"""`--limit NAME=VALUE` of `cno serve` and `cno get`."""

import dataclasses
from pathlib import Path

import pytest

from cno.cli.app import run_app
from cno.cli.limit_option import limits_from
from cno.limits import Limits
from tests.processes import cno, serving


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("max_body_size=1000000", "max_body_size", 1_000_000),
        ("max-body-size=64k", "max_body_size", 65_536),
        ("max_body_size = 2M", "max_body_size", 2_097_152),
        ("max_pushes=none", "max_pushes", None),
        ("header_timeout=2.5", "header_timeout", 2.5),
        ("header_timeout=off", "header_timeout", None),
        ("glitch_rate=100", "glitch_rate", 100.0),
        ("allow_bare_lf=yes", "allow_bare_lf", True),
        ("allow_bare_lf=0", "allow_bare_lf", False),
    ],
)
def test_what_is_typed_is_meant(text: str, name: str, value: object) -> None:
    base = Limits(max_pushes=7)
    assert limits_from([text], base) == dataclasses.replace(base, **{name: value})  # type: ignore[arg-type]  # of any field


def test_several_and_the_last_one_counts() -> None:
    found = limits_from(["max_pushes=1", "max_pipelined=2", "max_pushes=3"], Limits())
    assert (found.max_pushes, found.max_pipelined) == (3, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_pushes", "should be NAME=VALUE"),
        ("max_pushs=1", "there is no limit 'max_pushs'"),
        ("max_pushes=many", "max_pushes cannot be 'many'"),
        ("max_pushes=", "max_pushes cannot be ''"),
        ("max_pushes=-1", "max_pushes=-1 is not in 0 to"),
        ("max_pushes=1.5", "max_pushes cannot be '1.5'"),
        ("max_frame_size=none", "max_frame_size cannot be switched off"),
        ("max_frame_size=1", "max_frame_size=1 is not in 16,384 to"),
        ("allow_bare_lf=none", "allow_bare_lf cannot be 'none'"),
        ("allow_bare_lf=maybe", "allow_bare_lf cannot be 'maybe'"),
    ],
)
@pytest.mark.parametrize("command", [["serve"], ["get", "http://127.0.0.1:1/"]])
def test_what_is_not_understood(
    command: list[str], text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app([*command, "--limit", text]) == 2
    assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("command", ["serve", "get"])
def test_help_lists_them(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--limit NAME=VALUE" in out
    for field in dataclasses.fields(Limits):
        assert field.name in out


def test_they_reach_the_connections(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("x" * 5_000)
    with serving(tmp_path, "--limit", "max_header_list_size=2000") as served:
        url = f"{served.url}page"
        assert len(cno("get", url).stdout) == 5_000
        big = cno("get", "--http2", "-f", "-H", f"x: {'y' * 1_900}", url)
        assert big.status != 0
        small = cno("get", "--limit", "max_body_size=4k", url)
        assert small.status == 63 and len(small.stdout) < 5_000
