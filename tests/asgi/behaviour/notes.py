"""What the application got in each case, by the case's name."""

from typing import Any

NOTES: dict[str, Any] = {}
