"""Tables of names: "name": "module:Class", loaded only when asked for."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any

from megbench.core.errors import BenchError, clause, unknown_name


def names(kind: str, table: Mapping[str, str]) -> list[str]:
    """Return the names in `table` and those of the entry points `megbench.<kind>s` of installed packages."""
    return [*table, *(point.name for point in _plugins(kind))]


def load(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """Return the object called `name` in `table`, else in the entry points `megbench.<kind>s` of installed packages.

    Raise BenchError with "did you mean" for a name that is in neither, and for a plug-in that cannot be imported.
    """
    if name in table:
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in _plugins(kind):
        if point.name == name:
            return _imported(kind, point)
    raise unknown_name(kind, name, names(kind, table))


def _imported(kind: str, point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # a plug-in's own code may raise anything
        package = f"the package {point.dist.name}" if point.dist else "a package"
        raise BenchError(
            f"The {kind} {point.name} of {package} cannot be imported from {point.value}"
            f" ({type(error).__name__}: {clause(error)}). Mend the package or uninstall it."
        ) from None


def _plugins(kind: str) -> EntryPoints:
    return entry_points(group=f"megbench.{kind}s")
