"""Extract from a source file what goes into keys: the code that may change a number, and the modules it imports."""

from __future__ import annotations

import ast
import functools
import hashlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from megbench.core.files.hashes import file_hash
from megbench.core.files.memo import memo

# An entry of a table of names (megbench.core.registry). The object that it names is keyed by its own code.
NAMED = re.compile(r"[\w.]+:\w+")
# Names of classes and functions that make an error from text, and the modules from which they are imported.
MAKERS = {"BenchError", "CellFailed", "Unavailable", "WrongSetting", "unknown_name"}
ERRORS = ("megbench.core.errors", "megbench")


@dataclass(frozen=True)
class Source:
    """A source file.

    code: a hash of everything that may change a number. imports: for each import, the modules that it may mean, in the
    order in which they are tried. data: the packages whose files are read although they are not imported.
    """

    code: str
    imports: tuple[tuple[str, ...], ...]
    data: frozenset[str]


@functools.cache
def read_source(path: Path) -> Source:
    """Return everything in a source file that may change a number.

    Docstrings, error texts, types and tables of names are left out. In a compiled module, every byte counts. The result
    is remembered across processes for as long as the file's bytes stay the same.
    """
    found = file_hash(path)
    if path.suffix != ".py":
        return Source(found, (), frozenset())
    log, key = memo("sources"), f"{_reader()} {found} {path}"
    kept = log.get(key)
    if kept is None:
        read = _parse(path)
        kept = [read.code, read.imports, sorted(read.data)]
        log.put(key, kept)
        log.save()
    code, imports, data = kept
    return Source(code, tuple(tuple(choices) for choices in imports), frozenset(data))


@functools.cache
def _reader() -> str:
    """Return what determines how a source file is read: this file and the version of Python."""
    return f"{file_hash(__file__)} {platform.python_version()}"


def _parse(path: Path) -> Source:
    tree = ast.parse(path.read_bytes())
    tree = _Deciding(set(_makers(tree))).visit(tree)
    code = hashlib.blake2b(ast.dump(tree).encode(), digest_size=16).hexdigest()
    return Source(code, tuple(imports_of(tree, path)), frozenset(_data(tree)))


class _Deciding(ast.NodeTransformer):
    """A transformer that removes from a syntax tree everything that cannot change a number. makers: see `_makers`."""

    def __init__(self, makers: set[str]) -> None:
        self.makers = makers

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop docstrings, including those of attributes."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Keep the type of the error that is raised, but not its text."""
        if isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []
        return ast.Raise(node.exc, None)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Keep the condition, but not the message."""
        return ast.Assert(self.visit(node.test), None)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Drop the text of an error that is created here and raised elsewhere."""
        if isinstance(node.func, ast.Name) and node.func.id in self.makers:
            return ast.Call(node.func, [], [])
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST]:
        """Drop code that only the type checker reads."""
        if (getattr(node.test, "id", None) or getattr(node.test, "attr", None)) == "TYPE_CHECKING":
            visited = (self.visit(other) for other in node.orelse)
            return [other for other in visited if other is not None]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Drop tables of names."""
        return None if _is_table(node.value) else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Drop tables of names."""
        return None if _is_table(node.value) else self.generic_visit(node)


def _makers(tree: ast.AST) -> Iterator[str]:
    """Yield the names under which a source file imports MAKERS."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ERRORS:
            yield from (alias.asname or alias.name for alias in node.names if alias.name in MAKERS)


def _is_table(value: ast.AST | None) -> bool:
    """Return whether a value is a table of names: a dict whose values are all strings of the form "module:Class"."""
    texts = [getattr(item, "value", None) for item in value.values] if isinstance(value, ast.Dict) else []
    return bool(texts) and all(isinstance(text, str) and NAMED.fullmatch(text) for text in texts)


def imports_of(tree: ast.AST, path: Path | None = None) -> Iterator[tuple[str, ...]]:
    """Yield, for each import, the modules that it may mean: for `from a import b`, a.b and then a.

    Relative imports count only if the file's `path` is given.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (not node.level or path):
            module = _absolute(node, path) if node.level and path else node.module or ""
            yield from ((f"{module}.{alias.name}", module) for alias in node.names)


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the absolute name of the module that a relative import means; `path` is the file that contains it."""
    folder, packages = path.parent, list[str]()
    while (folder / "__init__.py").is_file():
        packages.insert(0, folder.name)
        folder = folder.parent
    return ".".join([*packages[: len(packages) + 1 - node.level], *([node.module] if node.module else [])])


def _data(tree: ast.AST) -> Iterator[str]:
    """Yield the packages that the code looks up with `find_spec("package")` to read their files."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "find_spec":
            yield from (item.value for item in node.args if isinstance(getattr(item, "value", None), str))  # type: ignore[attr-defined]
