"""`bench.py check`: test a method or a metric against its contract."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.commands.options import (
    DataOption,
    DriversOption,
    FaceOption,
    PortraitsOption,
    ProtocolOption,
    TemplatesOption,
    folders,
)
from megbench.commands.request import make_protocol
from megbench.core.errors import BenchError, plural, unknown_name
from megbench.core.progress import say, track

if TYPE_CHECKING:
    from megbench.commands.trials import Line, Verdict
    from megbench.core.clip import Cell
    from megbench.core.contracts import CellSource


def check(
    name: Annotated[
        str, typer.Argument(help="A method (name@variant:key=value), such as fomm, or a metric, such as flicker.")
    ],
    protocol: ProtocolOption = "demo",
    drivers: DriversOption = None,
    templates: TemplatesOption = None,
    data: DataOption = None,
    portraits: PortraitsOption = None,
    face: FaceOption = "",
) -> None:
    """Test a method or metric against its contract on a protocol's first cells; exit with code 1 if it has faults."""
    source = make_protocol(protocol, folders(drivers, templates, data, portraits), face)
    make = _lines_of(name)
    found: Counter[Verdict] = Counter()
    for verdict, text in track(_tested(source, protocol, make), f"Checking {name}", "test"):
        found[verdict] += 1
        say(f"{verdict:5} {text}")
    print(f"{name}: {_counted(found['FAULT'], 'fault')}, {_counted(found['WARN'], 'warning')}")
    raise typer.Exit(1 if found["FAULT"] else 0)


def _tested(source: CellSource, protocol: str, make: Callable[[Sequence[Cell]], Iterator[Line]]) -> Iterator[Line]:
    """Render or prepare a protocol's first cells, then yield the lines of the test on them."""
    cells = [cell for cell in (source.few() if hasattr(source, "few") else source.cells()) if not cell.problem]
    if not cells:
        raise BenchError(
            f"Protocol {protocol} has no usable cells. Choose clips with --protocol, --drivers and --templates."
        )
    yield from make(cells)


def _counted(count: int, thing: str) -> str:
    return plural(count, thing) if count else f"no {thing}s"


def _lines_of(name: str) -> Callable[[Sequence[Cell]], Iterator[Line]]:
    """Return the function that tests the method or metric `name`. Raise BenchError for unknown names or options."""
    from megbench.commands.trials import method_lines, metric_lines
    from megbench.core.registry import load, names
    from megbench.engine.plugins import check_options
    from megbench.methods import method_names, parse_label, row_maker
    from megbench.metrics import METRICS

    if name in names("metric", METRICS):
        kind = load("metric", name, METRICS)
        return lambda cells: metric_lines(kind, cells[0])
    label = parse_label(name)
    if label.name not in method_names():
        raise unknown_name("method or metric", label.name, [*method_names(), *names("metric", METRICS)])
    maker = row_maker(label)
    check_options(label.name, maker, label.options)
    return lambda cells: method_lines(functools.partial(maker, label.variant, label.options), cells)
