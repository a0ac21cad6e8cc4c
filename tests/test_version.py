"""The version that is installed: the newest one that the changelog speaks of."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def test_the_changelog_speaks_of_the_version_that_is_installed() -> None:
    changelog, setup = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "setup.py"))
    newest = re.search(r"^## \[([0-9.]+)\]", changelog, re.MULTILINE)
    installed = re.search(r'^    version="([0-9.]+)"', setup, re.MULTILINE)
    assert newest is not None and installed is not None and newest[1] == installed[1]
