"""Tables of names, "name": "module:Class", whose classes are imported only when requested."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any

from megbench.core.errors import BenchError, clause, unknown_name


def names(kind: str, table: Iterable[str]) -> list[str]:
    """Return the names in `table` and those of the entry points `megbench.<kind>s` of installed packages."""
    return list(dict.fromkeys([*table, *(point.name for point in _plugins(kind))]))


def ignored(kind: str, taken: Iterable[str]) -> list[tuple[str, str]]:
    """Return, for each plug-in that `load` never returns because its name is taken, its name and a line of warning.

    taken: the suite's own names. A name is also taken if an earlier plug-in has it.
    """
    owners = dict.fromkeys(taken, "MEG-Bench itself")
    lines = []
    for point in _plugins(kind):
        if point.name in owners:
            text = (
                f"The {kind} {point.name} of {_package(point)} is ignored: {owners[point.name]} already has that name."
            )
            lines.append((point.name, f"{text} Rename it in the plug-in."))
        else:
            owners[point.name] = _package(point)
    return lines


def load(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """Return the object called `name` in `table` or, failing that, in the entry points `megbench.<kind>s`.

    Raise BenchError for an unknown name, with the nearest known one, and for a plug-in that cannot be imported.
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
        raise BenchError(
            f"The {kind} {point.name} of {_package(point)} cannot be imported from {point.value}"
            f" ({type(error).__name__}: {clause(error)}). Fix or uninstall the package."
        ) from None


def _package(point: EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else "a package"


def _plugins(kind: str) -> EntryPoints:
    return entry_points(group=f"megbench.{kind}s")
