"""The architecture: the floors of the house and its rooms, and how large anything in it may be.

A room imports from itself and from the floors below it. Imports inside functions and for type checkers count as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

# From the roof to the ground. Below the roof, rooms on one floor do not know each other.
HOUSE = """
    tests, benchmarks
    peer.__main__
    peer.asking
    peer.command_line
    peer.training, bootstrap
    peer.outer, peer.joining, peer.doctor
    peer.network
    peer.state, peer.inner
    peer.page
    peer.swarm, peer.device
    peer.wire_knocking, peer.wire_asking
    peer.wire_household
    peer.wire
    peer.__init__
    minigpt
    data, tokenizer
    data.atomic, data.private, data.terminal
"""
FLOORS = [line.strip().split(", ") for line in HOUSE.strip().splitlines()]
HEIGHT = {room: -number for number, rooms in enumerate(FLOORS) for room in rooms}
ROOF = FLOORS[0]  # from where everything may be seen
BUILDINGS = sorted({room.partition(".")[0] for room in HEIGHT})
# What else of a floor below stays shut, but for one door: settings are read without loading what prepares data.
DOORS = {("minigpt", "data"): "data.options"}
# Messages and settings are as long as what they say; whatever else they are is checked where they are read.
LISTS_OF_FIELDS = {"peer.wire", "minigpt.settings"}

MOST_LINES = 500  # of a file
MOST_FUNCTION_LINES = 60
MOST_ATTRIBUTES = 20
REASON = "# attributes: "  # in the line of a class that has more; the reason follows


class Module:
    """A file of the house: its name, its lines and its syntax tree."""

    def __init__(self, path: Path, root: Path):
        parts = path.relative_to(root).with_suffix("").parts
        self.path = path.relative_to(root)
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.lines = path.read_text(encoding="utf-8").splitlines()
        self.tree = ast.parse("\n".join(self.lines))
        is_a_building = len(parts) == 2 and parts[-1] == "__init__"  # which is a floor of its own in `peer`
        full_name = ".".join(parts) if is_a_building else self.name
        self.room = max((room for room in HEIGHT if is_within(full_name, room)), key=len, default="")

    def imports(self) -> Iterator[tuple[int, str]]:
        """Yield the line and the full name of all that is imported."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def read_house(root: Path) -> dict[str, Module]:
    """Return every module of the house below `root`, by name."""
    paths = (path for building in BUILDINGS for path in sorted((root / building).rglob("*.py")))
    modules = (Module(path, root) for path in paths if path.relative_to(root).parts[:2] != ("data", "raw"))
    return {module.name: module for module in modules}


def imported(module: Module, house: dict[str, Module]) -> list[tuple[int, Module]]:
    """Return the line and the module of each import that stays in the house."""
    named = ((line, house.get(name) or house.get(name.rpartition(".")[0])) for line, name in module.imports())
    return list(dict.fromkeys((line, other) for line, other in named if other is not None and other is not module))


def imports_upward(house: dict[str, Module]) -> Iterator[str]:
    for module in house.values():
        if not module.room:
            yield f"{module.path} is in no room: add its room to HOUSE in tests/test_architecture.py"
            continue
        for line, name in module.imports():
            if name.startswith("."):
                yield f"{module.path}:{line} imports {name}: import by the full name"
        for line, other in imported(module, house):
            found, door = f"{module.path}:{line} imports {other.name}", DOORS.get((module.room, other.room))
            if module.room in ROOF or other.room == module.room:
                continue
            if HEIGHT.get(other.room, 0) >= HEIGHT[module.room]:
                yield f"{found}, which is not below {module.room}: move what both need down, or hand over what it needs"
            elif door is not None and other.name != door:
                yield f"{found}: {module.room} may use nothing of {other.room} but {door}"


def circles(house: dict[str, Module]) -> Iterator[str]:
    graph = {name: {other.name for _, other in imported(module, house)} for name, module in house.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"{' <- '.join(error.args[1])} import each other: move what both need to a module that imports neither"


def long_files(house: dict[str, Module]) -> Iterator[str]:
    for module in house.values():
        if len(module.lines) > MOST_LINES:
            yield f"{module.path} has {len(module.lines)} lines: split it by subject into files of {MOST_LINES} at most"


def long_functions(house: dict[str, Module]) -> Iterator[str]:
    for module in house.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MOST_FUNCTION_LINES:
                    yield (
                        f"{module.path}:{node.lineno} {node.name} has {length} lines: "
                        f"take steps of it out into functions; {MOST_FUNCTION_LINES} are a screen"
                    )


def large_classes(house: dict[str, Module]) -> Iterator[str]:
    for module in house.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and module.name not in LISTS_OF_FIELDS:
                count, line = len(attributes(node)), module.lines[node.lineno - 1]
                if count > MOST_ATTRIBUTES and not line.partition(REASON)[2].strip():
                    yield (
                        f"{module.path}:{node.lineno} {node.name} has {count} attributes: give those that change "
                        f"together to a class of their own, or say '{REASON}why' in the line of the class"
                    )


def attributes(node: ast.ClassDef) -> set[str]:
    """Return the names that are assigned on self, and the fields of a dataclass or a pydantic model."""
    fields = {ast.unparse(item.target) for item in node.body if isinstance(item, ast.AnnAssign)}
    stored = (item for item in ast.walk(node) if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store))
    return fields | {item.attr for item in stored if ast.unparse(item.value) == "self"}


def silent_packages(house: dict[str, Module]) -> Iterator[str]:
    for module in house.values():
        if module.path.name == "__init__.py" and module.room != "tests":
            docstring = ast.get_docstring(module.tree) or ""
            if len(re.findall(r"[.:!?](?=\s|$)", docstring)) < 2:
                yield f"{module.path} says too little: what is in here, and what must never come in? Two sentences"


Rule = Callable[[dict[str, Module]], Iterator[str]]
RULES: list[Rule] = [imports_upward, circles, long_files, long_functions, large_classes, silent_packages]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def house() -> dict[str, Module]:
    return read_house(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_the_house_is_in_order(house: dict[str, Module], rule: Rule) -> None:
    findings = list(rule(house))
    assert not findings, "\n" + "\n".join(findings)


def statements(count: int) -> str:
    return "    x = 1\n" * count


MANY = "".join(f"        self.a{number} = {number}\n" for number in range(21))
PLANTED = {
    "an import upward": ({"peer/swarm/a.py": "from peer.network import b", "peer/network/b.py": ""}, imports_upward),
    "one inside a function": ({"minigpt/a.py": "def f():\n    import peer.wire", "peer/wire.py": ""}, imports_upward),
    "one for type checkers": (
        {"data/a.py": "if TYPE_CHECKING:\n    from minigpt.b import C", "minigpt/b.py": ""},
        imports_upward,
    ),
    "one across a floor": ({"peer/outer/a.py": "import peer.joining.b", "peer/joining/b.py": ""}, imports_upward),
    "one through no door": ({"minigpt/a.py": "from data import b", "data/b.py": ""}, imports_upward),
    "one of the tests": ({"peer/state/a.py": "from tests.lan import Lan", "tests/lan.py": ""}, imports_upward),
    "a relative one": ({"peer/state/a.py": "from .. import wire", "peer/wire.py": ""}, imports_upward),
    "a room that nobody knows": ({"peer/cellar/a.py": ""}, imports_upward),
    "a circle": ({"data/a.py": "from data.b import c", "data/b.py": "def f():\n    import data.a"}, circles),
    "a file of 501 lines": ({"tests/test_a.py": "\n" * 501}, long_files),
    "a function of 61 lines": ({"data/a.py": "def f():\n" + statements(60)}, long_functions),
    "a class of 21 attributes": ({"data/a.py": "class A:\n    def f(self):\n" + MANY}, large_classes),
    "one sentence": ({"data/__init__.py": '"""All about data."""'}, silent_packages),
}
ALLOWED = {
    "an import downward": {"peer/network/b.py": "from peer.swarm import a", "peer/swarm/a.py": ""},
    "one by the door": {"minigpt/a.py": "from data.options import O", "data/options.py": ""},
    "the building": {"peer/__init__.py": '"""One. Two."""\nimport minigpt', "minigpt/__init__.py": '"""One. Two."""'},
    "a file of 500 lines": {"data/a.py": "\n" * 500},
    "a function of 60 lines": {"data/a.py": "def f():\n" + statements(59)},
    "a reason": {"data/a.py": f"class A:  {REASON}why\n    def f(self):\n{MANY}"},
}


def build(root: Path, files: dict[str, str]) -> dict[str, Module]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return read_house(root)


@pytest.mark.parametrize(("files", "rule"), PLANTED.values(), ids=PLANTED)
def test_what_is_out_of_order_is_found_by_its_rule_alone(tmp_path: Path, files: dict[str, str], rule: Rule) -> None:
    house = build(tmp_path, files)
    assert [kind for kind in RULES if list(kind(house))] == [rule]
    assert len(list(rule(house))) == 1


@pytest.mark.parametrize("files", ALLOWED.values(), ids=ALLOWED)
def test_what_is_in_order_is_left_alone(tmp_path: Path, files: dict[str, str]) -> None:
    house = build(tmp_path, files)
    assert [finding for rule in RULES for finding in rule(house)] == []
