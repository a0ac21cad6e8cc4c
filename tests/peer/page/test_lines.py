"""What the page says in Korean of the device's lines and answers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PEER = Path(__file__).parents[3] / "peer"


def kinds_in(path: Path) -> set[str]:
    """Return the kinds of the lines that a module makes."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    made = [call.args[1] for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("KnownLine", "said")]
    return {str(kind.value) for kind in made if isinstance(kind, ast.Constant)}


def test_every_kind_of_line_can_be_said_in_korean() -> None:
    kinds = set[str]().union(*map(kinds_in, PEER.rglob("*.py")))
    words = (PEER / "page" / "static" / "lines.js").read_text(encoding="utf-8")
    known = {*re.findall(r"^  (\w+): ", words, re.MULTILINE), "round"}
    assert len(kinds) > 40 and kinds <= known
