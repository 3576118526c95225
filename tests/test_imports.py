"""A table states which room may import which. Rooms import only from rooms below them, and always via `megbench`."""

import ast
import re
from pathlib import Path

import pytest

import megbench
from megbench.core.source_code import imports_of

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "core": set(),
    "engine": {"core"},
    "experts": {"core"},
    "nets": {"core"},  # contracts: two rooms share the types that a trainer yields
    "faces": {"core"},
    "training": {"baselines", "nets", "core"},  # the table of generators; nets.fast
    "reports": {"engine", "experts", "core"},
    "results": {"reports", "engine", "core"},
    "clips": {"faces", "core"},
    "fpfomm": {"nets", "faces", "core"},
    "baselines": {"nets", "faces", "core"},
    "metrics": {"nets", "faces", "core"},  # fast convolutions for the networks of metrics
    "recognition": {"clips", "faces", "core"},
    "taught": {"fpfomm", "baselines", "nets", "training", "clips", "faces", "core"},
    "methods": {"taught", "fpfomm", "baselines", "nets", "faces", "core"},
    "protocols": {"clips", "core"},
}
MAY_IMPORT["commands"] = set(MAY_IMPORT)  # the top room: commands connect the others
# Above all rooms, for callers from outside the suite: the command line and the functions of `megbench`.
ABOVE = {"megbench.api", "megbench.bench"}


def imported_modules(tree):
    """Return the names of all modules that a source imports or may import, including imports inside functions."""
    return {name for names in imports_of(tree) for name in names}


def sources(room):
    return sorted((ROOT / room).rglob("*.py"))


def parsed(path):
    return ast.parse(path.read_bytes())


def file_of(module):
    """Return the file of one of our modules, or None for any other module."""
    base = ROOT.joinpath(*module.removeprefix("megbench.").split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def reached(module, found=None):
    """Return the names of our modules that a module imports, directly or indirectly, including inside functions."""
    found = set() if found is None else found
    path = file_of(module) if module.startswith("megbench.") else None
    if path and module not in found:
        found.add(module)
        for name in imported_modules(parsed(path)):
            reached(name, found)
    return found


def rooms_imported(tree):
    names = (name.split(".") for name in imported_modules(tree))
    return {name[1] for name in names if name[0] == "megbench" and len(name) > 1} & set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_from_rooms_below_it(room):
    assert sources(room), f"{room}/ is empty"
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in sources(room)
        for other in rooms_imported(parsed(path)) - MAY_IMPORT[room] - {room}
    ]
    assert wrong == []


def test_the_document_has_this_table():
    """docs/architecture.md lists every room with the rooms that it may import."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\w, ]*)\|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    written = {room: set(re.findall(r"\w+", below)) for room, below in rows}
    assert written.pop("commands") == {"all"}
    assert written == {room: below for room, below in MAY_IMPORT.items() if room != "commands"}


def test_no_room_imports_the_command_line_or_the_tests():
    for room in MAY_IMPORT:
        for path in sources(room):
            names = imported_modules(parsed(path))
            assert not {name.partition(".")[0] for name in names} & {"bench", "tests"}, path
            assert not names & ABOVE, path
            assert room == "commands" or "commands" not in rooms_imported(parsed(path)), path


def test_a_module_has_one_name():
    """If a module were imported as both `core.errors` and `megbench.core.errors`, each error would be two classes."""
    for path in [
        ROOT / "bench.py",
        *ROOT.glob("megbench/*.py"),
        *ROOT.glob("tests/**/*.py"),
        *(path for room in MAY_IMPORT for path in sources(room)),
    ]:
        heads = {name.partition(".")[0] for name in imported_modules(parsed(path))}
        assert not heads & set(MAY_IMPORT), path


def test_the_walk_sees_every_form_of_import():
    forms = (
        "import megbench.core.clip\nfrom megbench.faces import flow\n"
        "def late():\n    from megbench.nets.blocks import Block\n    from megbench import metrics\n"
    )
    assert rooms_imported(ast.parse(forms)) == {"core", "faces", "nets", "metrics"}


def test_messages_name_the_command_that_is_there():
    """An installed suite has no bench.py, so messages write `{COMMAND} weights list` (megbench.core.installation)."""
    for path in (path for room in MAY_IMPORT for path in sources(room)):
        if path.name.endswith("_page.py") or path.name == "installation.py":  # documents; COMMAND itself
            continue
        tree = parsed(path)
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)
        assert not [node.value for node in texts if "bench.py" in str(node.value)], path


def test_relative_imports_are_not_used():
    for room in MAY_IMPORT:
        for path in sources(room):
            assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(parsed(path))), path


def test_what_plug_ins_import_is_defined_where_the_package_looks_for_it():
    for name, module in megbench.EXPORTS.items():
        assert getattr(megbench, name).__module__ == module, name
    assert dir(megbench) == sorted(megbench.EXPORTS)
    with pytest.raises(AttributeError, match="no attribute 'Figment'"):
        _ = megbench.Figment


def test_type_checkers_see_every_room():
    assert {path.name for path in (ROOT / "typings" / "megbench").iterdir()} == {*MAY_IMPORT, "__init__.py", "api.py"}
    assert all(path.resolve().parent in (ROOT, ROOT / "megbench") for path in (ROOT / "typings" / "megbench").iterdir())
