from typing import Any

checks: Any
