"""The cache of what was read."""

from pathlib import Path

import data
from data.texts.cache import code_files


def test_code_among_the_exports_is_no_code_of_ours(tmp_path: Path) -> None:
    """The folder data holds the package and, beside it, the user's files: none of them makes all be read again."""
    ours = ("__init__.py", "prepare.py", "formats/__init__.py", "formats/tables.py")
    for name in (*ours, "raw/group/sent.py", "raw/sent.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert code_files(tmp_path) == sorted(tmp_path / name for name in ours)


def test_all_of_our_code_counts() -> None:
    package = Path(data.__file__).parent
    rooms = {path.parent.name for path in code_files(package)}
    assert rooms == {package.name, "formats", "masking", "texts"}
