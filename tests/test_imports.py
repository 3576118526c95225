"""The house's table of rooms: who may import whom. Nobody walks back."""

import ast
from pathlib import Path

import pytest
from megbench.core.source_code import imports_of

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "core": set(),
    "nets": {"core"},  # the contracts: what a trainer shared by two rooms yields
    "faces": {"core"},
    "training": {"baselines", "nets", "core"},  # the table of generators; megbench.nets.fast
    "reports": {"core"},
    "clips": {"core", "faces"},
    "fpfomm": {"nets", "faces", "core"},
    "baselines": {"nets", "faces", "core"},
    "metrics": {"faces", "core"},
    "taught": {"fpfomm", "baselines", "nets", "training", "clips", "faces", "core"},
    "methods": {"taught", "fpfomm", "baselines", "nets", "faces", "core"},
    "protocols": {"clips", "core"},
}
MAY_IMPORT["commands"] = set(MAY_IMPORT)  # the roof: commands join rooms


def imported_modules(tree):
    """Names of all modules that a source imports or may mean, also inside functions."""
    return {name for names in imports_of(tree) for name in names}


def sources(room):
    return sorted((ROOT / room).rglob("*.py"))


def reached(module, found=None):
    """Names of the modules of ours that a module imports, directly or not, also inside functions."""
    found = set() if found is None else found
    base = ROOT.joinpath(*module.split("."))
    path = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
    if path and module not in found:
        found.add(module)
        for name in imported_modules(ast.parse(path.read_bytes())):
            reached(name, found)
    return found


def rooms_imported(tree):
    return {name.partition(".")[0] for name in imported_modules(tree)} & set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_from_rooms_below_it(room):
    assert sources(room), f"{room}/ is empty"
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in sources(room)
        for other in rooms_imported(ast.parse(path.read_bytes())) - MAY_IMPORT[room] - {room}
    ]
    assert wrong == []


def test_no_room_imports_the_command_line_or_the_tests():
    for room in MAY_IMPORT:
        for path in sources(room):
            heads = {name.partition(".")[0] for name in imported_modules(ast.parse(path.read_bytes()))}
            assert not heads & ({"bench", "tests"} | ({"commands"} - {room})), path


def test_the_walk_sees_every_form_of_import():
    forms = (
        "import megbench.core.clip\nfrom faces import flow\ndef late():\n    from megbench.nets.blocks import Block\n"
    )
    assert rooms_imported(ast.parse(forms)) == {"core", "faces", "nets"}


def test_relative_imports_are_not_used():
    for room in MAY_IMPORT:
        for path in sources(room):
            tree = ast.parse(path.read_bytes())
            assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)), path
