"""The style sheets and scripts of our pages, which stand in the pages themselves.

Knows files of this package, and how a policy allows one script. Must never know a page.
"""

import base64
import hashlib
from pathlib import Path


def read_asset(name: str) -> str:
    """Return the text of a style sheet or a script."""
    return Path(__file__).with_name("page_files").joinpath(name).read_text("utf-8")


def hashed(script: str) -> str:
    """Return the source of a Content-Security-Policy that allows this script alone."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"
