"""Tables of names: "name": "module:Class", loaded only when asked for."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from typing import Any

from megbench.core.errors import unknown_name


def names(kind: str, table: Mapping[str, str]) -> list[str]:
    """Return the names in `table` and those of the entry points `megbench.<kind>s` of installed packages."""
    return [*table, *(point.name for point in _plugins(kind))]


def load(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The object called `name` in `table`, else in the entry points `megbench.<kind>s` of installed packages.

    Raises BenchError with "did you mean" for a name that is in neither.
    """
    if name in table:
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in _plugins(kind):
        if point.name == name:
            return point.load()
    raise unknown_name(kind, name, names(kind, table))


def _plugins(kind: str) -> EntryPoints:
    return entry_points(group=f"megbench.{kind}s")
