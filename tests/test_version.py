"""The version that is installed: the newest one that the changelog speaks of."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def test_the_changelog_speaks_of_the_version_that_is_installed() -> None:
    changelog, setup = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "setup.py"))
    newest = re.search(r"^## \[([0-9.]+)\]", changelog, re.MULTILINE)
    installed = re.search(r'^    version="([0-9.]+)"', setup, re.MULTILINE)
    assert newest is not None and installed is not None and newest[1] == installed[1]


def test_the_documentation_names_no_version_of_the_protocol() -> None:
    """Such a number is forgotten where the version is raised; the changelog alone says which one came with what."""
    for name in ("how-it-works.md", "how-it-works.ko.md"):
        text = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
        _, section = re.split(r"\n## (?:Versions|버전)[^\n]*\n", text)
        section = section.partition("\n## ")[0]
        assert "`PROTOCOL_VERSION` in `peer/wire.py`" in section or "`peer/wire.py`의 `PROTOCOL_VERSION`" in section
        assert re.search(r"[0-9]", section.replace("192.168.0.23", "")) is None, section
