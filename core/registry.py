"""Tables of names: "name": "module:Class", loaded only when asked for."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from core.errors import unknown_name


def names(kind: str, table: Mapping[str, str]) -> list[str]:
    """Return the names in `table` and those of the entry points `megbench.<kind>s` of installed packages."""
    return [*table, *(point.name for point in entry_points(group=f"megbench.{kind}s"))]


def load(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The object called `name` in `table`, else in the entry points `megbench.<kind>s` of installed packages.

    Raises BenchError with "did you mean" for a name that is in neither.
    """
    if name in table:
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(module), attribute)
    plugins = {point.name: point for point in entry_points(group=f"megbench.{kind}s")}
    if name in plugins:
        return plugins[name].load()
    raise unknown_name(kind, name, [*table, *plugins])
