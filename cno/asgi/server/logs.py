"""Logging of a server: its level, its colours, or the configuration in a file.

Knows `logging`. Must never know what is logged.
"""

import json
import logging
import logging.config
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from cno.asgi.server.config import Config
from cno.asgi.server.errors import StartupError

#: A level below DEBUG, as in uvicorn.
TRACE: Final = 5
NAMES: Final = {"trace": TRACE}

#: Escape sequences of a terminal by level.
COLORS: Final = {10: "36", 20: "32", 30: "33", 40: "31", 50: "1;31"}


class Formatter(logging.Formatter):
    """`INFO:     text`, the level in its colour if there are colours."""

    def __init__(self, colors: bool) -> None:
        super().__init__("%(message)s")
        self._colors = colors

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname
        space = " " * max(1, 9 - len(level))
        if self._colors and record.levelno in COLORS:
            level = f"\x1b[{COLORS[record.levelno]}m{level}\x1b[0m"
        return f"{level}:{space}{super().format(record)}"


def use_colors(config: Config, file: Any) -> bool:
    """Return whether to write colours to a file."""
    return config.use_colors if config.use_colors is not None else bool(file.isatty())


def configure(config: Config) -> None:
    """Configure logging. Raises StartupError."""
    logging.addLevelName(TRACE, "TRACE")
    root = logging.getLogger("cno")
    if config.log_config is not None:
        try:
            from_file(config.log_config)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise StartupError(f"--log-config {config.log_config}: {error}") from None
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Formatter(use_colors(config, sys.stderr)))
        root.handlers = [handler]
        root.propagate = False
    root.setLevel(NAMES.get(config.log_level) or config.log_level.upper())


def from_file(path: str) -> None:
    """Configure logging by a file, whose format its name tells."""
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        from_dict(json.loads(Path(path).read_text("utf-8")))
    elif suffix == ".toml":
        from_dict(tomllib.loads(Path(path).read_text("utf-8")))
    elif suffix in (".yaml", ".yml"):
        yaml = import_module("yaml")  # PyYAML, which users of such files install
        from_dict(yaml.safe_load(Path(path).read_text("utf-8")))
    else:
        logging.config.fileConfig(path, disable_existing_loggers=False)


def from_dict(found: Any) -> None:
    """Configure logging; loggers that exist already stay as they are unless it says otherwise."""
    if not isinstance(found, dict):
        raise ValueError("is no table")
    logging.config.dictConfig({"disable_existing_loggers": False, **found})
