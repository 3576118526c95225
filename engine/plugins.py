"""Check before anything runs that a loaded method or metric fulfils its contract (megbench.core.contracts)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from megbench.core.contracts import Figure
from megbench.core.errors import BenchError, check_choice
from megbench.core.files.names import check_name


def check_metric(name: str, kind: Any) -> None:
    """Raise BenchError if the class of the metric `name` does not satisfy megbench.core.contracts.Metric."""
    _refuse("metric", name, metric_faults(kind))


def check_method(name: str, method: Any) -> None:
    """Raise BenchError if an instance of the method `name` satisfies neither Method nor Control."""
    _refuse("method", name, method_faults(method))


def check_options(name: str, maker: Any, options: Mapping[str, str]) -> None:
    """Raise BenchError for an option that the method `name` does not accept, if the method's class lists options."""
    if (taken := getattr(maker, "options", None)) is not None:
        for option in options:
            check_choice(f"option of {name}:", option, taken)


def _refuse(what: str, name: str, faults: Iterator[str]) -> None:
    if found := list(faults):
        raise BenchError(f"The {what} {name} cannot be used: {'; '.join(found)}. See docs/extend.md.")


def metric_faults(kind: Any) -> Iterator[str]:
    """Yield the faults of a metric's class, each as a clause."""
    for attribute in ("name", "version"):
        value = getattr(kind, attribute, None)
        if not isinstance(value, str) or not value:
            yield f"`{attribute}` must be a non-empty string, not {value!r}"
    yield from _lacking(kind, ("measure",))
    figures = getattr(kind, "figures", None)
    if not isinstance(figures, tuple | list) or not figures:
        yield "`figures` must list at least one megbench.core.contracts.Figure"
        return
    if strange := [figure for figure in figures if not isinstance(figure, Figure)]:
        yield f"`figures` must contain megbench.core.contracts.Figure, not {type(strange[0]).__name__}"
        return
    names = [figure.name for figure in figures]
    if twice := sorted({figure for figure in names if names.count(figure) > 1}):
        yield f"`figures` lists {twice[0]} twice"
    headed: dict[tuple[str, str], str] = {}
    for figure in figures:
        if (other := headed.setdefault((figure.group, figure.label), figure.name)) != figure.name:
            yield f"{other} and {figure.name} share the short title {figure.label!r}, so tables cannot distinguish them"
    if any(figure.pooling != "mean" for figure in figures):
        yield from _lacking(kind, ("combine",))
    elif callable(getattr(kind, "combine", None)):
        yield 'its `combine` would never be called, because all its figures have the `pooling` "mean"'
    for figure in figures:
        yield from _figure_faults(figure)


def _figure_faults(figure: Figure) -> Iterator[str]:
    """Yield the faults of a single figure."""
    try:
        check_name("figure", figure.name)
    except BenchError as error:
        yield str(error).rstrip(".")
    low, high = figure.bounds
    for what, value in (("ideal", figure.ideal), ("still", figure.still)):
        if value is not None and not ((low is None or value >= low) and (high is None or value <= high)):
            yield f"`{what}` of {figure.name} is {value:g}, outside its bounds {low} to {high}"
    if figure.heat_map and not figure.has_heat_map:
        yield f"{figure.name} has a heat map, which needs an `ideal` and a different value for `still`"


def method_faults(method: Any) -> Iterator[str]:
    """Yield the faults of an instance of a method, each as a clause."""
    for attribute, kind in (("name", str), ("variant", str), ("is_control", bool)):
        value = getattr(method, attribute, None)
        if not isinstance(value, kind):
            yield f"`{attribute}` must be of type {kind.__name__}, not {value!r}"
    yield from _lacking(method, ("identity",))
    if callable(getattr(method, "animate_cell", None)):
        return
    yield from _lacking(method, ("prepare", "animate"))


def _lacking(thing: Any, functions: tuple[str, ...]) -> Iterator[str]:
    for function in functions:
        if not callable(getattr(thing, function, None)):
            yield f"it has no function `{function}`"
