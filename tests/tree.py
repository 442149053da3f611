"""Where the files under test are: the package as installed, the rest as checked out.

`.ci/run` tests an installed package in a copy of the tree without `cno/`, so that nothing else can
be imported. A wheel holds the sources as well.
"""

from pathlib import Path

import cno

#: Holds setup.py, pyproject.toml, tests/ and the documents.
ROOT = Path(__file__).resolve().parent.parent

#: Holds the sources of `cno`, and its extensions if there are any.
PACKAGE = Path(cno.__file__).resolve().parent


def source_tree(target: Path) -> Path:
    """Put together under `target` what a checkout holds, as far as building the package goes."""
    from shutil import copy2, copytree, ignore_patterns

    target.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "mypy.ini", "MANIFEST.in", "README.md", "LICENSE"):
        copy2(ROOT / name, target / name)
    for name in ("stubs", "tests", "benchmarks", "docs", ".ci"):
        if (ROOT / name).is_dir():
            copytree(ROOT / name, target / name, ignore=ignore_patterns("__pycache__", ".*_cache"))
    leftovers = ignore_patterns("__pycache__", ".*_cache", "*.so", "*.pyd")
    copytree(PACKAGE, target / "cno", ignore=leftovers)
    return target
