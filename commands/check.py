"""`bench.py check`: try a method or a metric against its contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
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
from megbench.core.errors import BenchError, CellFailed, Unavailable, unknown_name
from megbench.core.tables.spreadsheet_text import printable

if TYPE_CHECKING:
    from megbench.core.clip import Cell
    from megbench.core.contracts import Metric, Partial
    from megbench.core.frames import Frames

# A line of the list, and whether it is as it should be; None for what is only to be read.
Line = tuple[bool | None, str]


def check(
    name: Annotated[str, typer.Argument(help="A method (name@variant:key=value) or a metric.")],
    protocol: ProtocolOption = "demo",
    drivers: DriversOption = None,
    templates: TemplatesOption = None,
    data: DataOption = None,
    portraits: PortraitsOption = None,
    face: FaceOption = "",
) -> None:
    """Try a method or a metric against its contract, on the first cells of a protocol; exit code 1 for a fault."""
    source = make_protocol(protocol, folders(drivers, templates, data, portraits), face)
    make = _lines_of(name)
    cells = [cell for cell in source.cells() if not cell.problem]
    if not cells:
        raise BenchError(f"Protocol {protocol} has no usable cell. Say which clips to try it on.")
    faults = 0
    for good, text in make(cells):
        faults += good is False
        print(printable(f"{ {True: 'ok   ', False: 'FAULT', None: '     '}[good] } {text}"))
    print(f"{name}: {faults or 'no'} fault{'' if faults == 1 else 's'}")
    raise typer.Exit(1 if faults else 0)


def _lines_of(name: str) -> Callable[[Sequence[Cell]], Iterator[Line]]:
    """Return what tries the method or metric of that name. Raise BenchError if there is none."""
    from megbench.core.registry import load, names
    from megbench.methods import make_method, method_names, parse_label
    from megbench.metrics import METRICS

    if name in names("metric", METRICS):
        kind = load("metric", name, METRICS)
        return lambda cells: metric_lines(kind, cells[0])
    label = parse_label(name)
    if label.name not in method_names():
        raise unknown_name("method or metric", label.name, [*method_names(), *names("metric", METRICS)])
    maker = make_method(label.name)
    return lambda cells: method_lines(lambda: maker(label.variant, label.options), cells)


def method_lines(make: Callable[[], Any], cells: Sequence[Cell]) -> Iterator[Line]:
    """Try a method: its attributes, a stable identity, frames of the right shape, the same ones twice."""
    from megbench.core.frames import check_frames
    from megbench.engine.plugins import method_faults
    from megbench.engine.runner import make_ready

    method = make()
    faults = list(method_faults(method))
    yield from _contract_lines(faults)
    if faults:
        return
    yield _identity(method.identity(), make().identity())
    make_ready(method, "cpu")
    first = cells[0]
    other = next((cell for cell in cells if cell.driver.n_frames != first.driver.n_frames), None)
    for cell in filter(None, (first, other)):
        try:
            frames = _made(method, cell)
            check_frames(frames, "Output")
        except (CellFailed, BenchError) as error:
            yield None if isinstance(error, CellFailed) else False, f"{cell.name}: {error}"
            continue
        count = len(frames)
        wanted = cell.driver.n_frames
        yield count == wanted, f"{cell.name}: {count} frames where the driver has {wanted}, {frames.shape[1:]}, uint8"
        again = np.array_equal(frames, _made(method, cell))
        yield again, f"{cell.name}: a second time {'the same frames' if again else 'other frames'}"


def _contract_lines(faults: Sequence[str]) -> Iterator[Line]:
    yield from ((False, fault) for fault in faults)
    if not faults:
        yield True, "it has what the contract asks for"


def _made(method: Any, cell: Cell) -> Frames:
    """Return the frames of a cell as a run makes them, with the libraries' random generators at the cell's own seed."""
    from megbench.engine.runner import frames_of, seed_libraries

    seed_libraries(0, cell.name)
    return frames_of(method, cell)


def _identity(first: Any, second: Any) -> Line:
    try:
        texts = [json.dumps(each, sort_keys=True, allow_nan=False) for each in (first, second)]
    except (TypeError, ValueError) as error:
        return False, f"its identity is not of JSON values: {error}"
    same = texts[0] == texts[1]
    return same, "two instances have the same identity" if same else "two instances have different identities"


def metric_lines(kind: Callable[[], Metric], cell: Cell) -> Iterator[Line]:
    """Try a metric: its attributes, then on a perfect, a still, a black and a very short output, and its pooling."""
    from megbench.engine.plugins import metric_faults
    from megbench.faces.features import Seen

    faults = list(metric_faults(kind))
    yield from _contract_lines(faults)
    if faults:
        return
    metric = kind()
    perfect = (cell.truth or cell.reference).frames()
    still = np.repeat(cell.template.image[None], len(perfect), axis=0)
    outputs = {"perfect": perfect, "still": still, "black": np.zeros_like(perfect), "one frame": perfect[:1]}
    partials = []
    for what, frames in outputs.items():
        try:
            partial = metric.measure(cell, Seen(cell, frames, None))
        except (CellFailed, Unavailable) as error:
            yield None, f"{what}: no score, {error}"
            continue
        except Exception as error:
            yield False, f"{what}: {type(error).__name__}: {error}"
            continue
        partials.append(partial)
        yield from _partial_lines(metric, what, partial)
        if what == "perfect":
            again = metric.measure(cell, Seen(cell, frames, None))
            yield again.values == partial.values, "perfect: measured twice"
    yield from _pooling_lines(metric, partials)


def _partial_lines(metric: Metric, what: str, partial: Partial) -> Iterator[Line]:
    from megbench.engine.scoring import unlisted

    figures = {figure.name: figure for figure in metric.figures}
    if unknown := unlisted(metric, partial):
        yield False, f"{what}: values of {', '.join(unknown)}, which `figures` does not list"
    for name, value in partial.values.items():
        if name not in figures:
            continue
        low, high = figures[name].bounds
        if value is not None and not ((low is None or value >= low) and (high is None or value <= high)):
            yield False, f"{what}: {name} is {value:g}, outside of its bounds {low} to {high}"
    shown = [f"{name} {value:.3g}" for name, value in partial.values.items() if value is not None]
    yield None, f"{what}: {', '.join(shown[:6]) or partial.reason or partial.status}{' ...' if len(shown) > 6 else ''}"


def _pooling_lines(metric: Metric, partials: Sequence[Partial]) -> Iterator[Line]:
    from megbench.core.combine import combined

    for what, given in (("no cell", []), ("all of these cells", list(partials))):
        try:
            scores, turned = (
                {score.figure: score.value for score in combined(metric, order)} for order in (given, given[::-1])
            )
        except Exception as error:
            yield False, f"pooled over {what}: {type(error).__name__}: {error}"
            continue
        yield True, f"pooled over {what}: a score of every figure"
        same = all(_near(value, turned[name]) for name, value in scores.items())
        yield same, f"pooled over {what}: {'the same' if same else 'another value'} in another order"


def _near(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return bool(np.isclose(first, second, rtol=1e-9, atol=1e-12, equal_nan=True))
