"""Test a method or a metric against its contract and report line by line. A plug-in may raise any exception."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from megbench.core.clip import Cell
from megbench.core.errors import BenchError, CellFailed, Unavailable, clause, plural
from megbench.core.generator import Generator
from megbench.core.provenance import module_of

if TYPE_CHECKING:
    from megbench.core.contracts import Metric, Partial
    from megbench.core.frames import Frames

# The first word of a line. The line reports a passed test, a fault, something that may be intended or ("") a mere fact.
Verdict = Literal["ok", "FAULT", "WARN", ""]
Line = tuple[Verdict, str]
# The tolerance for the value that a figure states for a still face, relative to that value's distance from the ideal.
STILL_ENOUGH = 0.05


def _in_lines(attempt: Callable[[Any, Any], Iterator[Line]]) -> Callable[[Any, Any], Iterator[Line]]:
    """Wrap a generator of lines so that an exception in the plug-in (the first argument) becomes the last line."""

    @functools.wraps(attempt)
    def lines(plugin: Any, given: Any) -> Iterator[Line]:
        try:
            yield from attempt(plugin, given)
        except BenchError:
            raise
        except Exception as error:  # a plug-in's own code may raise any exception
            yield "FAULT", raised(error, plugin)

    return lines


def raised(error: Exception, plugin: Callable[..., Any]) -> str:
    """Return an exception in one line: its class, its message, and the plug-in's innermost line in the traceback.

    plugin: the callable that creates the method or metric, either its class or a functools.partial.
    """
    made_of = [module_of(plugin)]
    while isinstance(plugin, functools.partial):
        made_of += [part.model for part in plugin.args if isinstance(part, Generator)]
        plugin = plugin.func
    # For a generator from a plug-in, the plug-in's own modules matter, not those of the suite that run it.
    tops = {module.partition(".")[0] for module in made_of}
    modules = [sys.modules[top] for top in (tops - {"megbench"} or tops) if top in sys.modules]
    roots = [place for module in modules for place in (*getattr(module, "__path__", ()), module.__file__) if place]
    steps = traceback.extract_tb(error.__traceback__)
    own = [step for step in steps if any(Path(step.filename).is_relative_to(root) for root in roots)]
    last = (own or steps)[-1]
    return f"{type(error).__name__}: {clause(str(error))} ({last.filename}:{last.lineno}, in {last.name})"


@_in_lines
def method_lines(make: Callable[[], Any], cells: Sequence[Cell]) -> Iterator[Line]:
    """Test a method: its attributes, a stable identity, frames of the right shape, and the same frames every time."""
    from megbench.engine.plugins import method_faults
    from megbench.engine.runner import make_ready

    method = make()
    faults = list(method_faults(method))
    yield from _contract_lines(faults)
    if faults:
        return
    yield _identity(method.identity(), make().identity())
    make_ready(method, "cpu")
    for cell in filter(None, (cells[0], _of_another_length(method, cells))):
        try:
            yield from _frames_lines(method, cell)
        except CellFailed as error:
            yield "", f"{cell.name}: {error}"
        except BenchError as error:
            yield "FAULT", f"{cell.name}: {error}"
        except Exception as error:
            yield "FAULT", f"{cell.name}: {raised(error, make)}"


def _of_another_length(method: Any, cells: Sequence[Cell]) -> Cell | None:
    """Return a cell whose driver has another number of frames than the first cell's, or None if there is none.

    The driver may also be the first cell's foil.
    """
    from megbench.engine.runner import handed_the_cell

    first = cells[0]
    others = list(cells)
    if first.foil and not handed_the_cell(method):
        others.append(Cell(first.protocol, first.foil, first.template, reference=first.foil))
    return next((cell for cell in others if cell.driver.n_frames != first.driver.n_frames), None)


def _frames_lines(method: Any, cell: Cell) -> Iterator[Line]:
    """Run a prepared method twice on a cell and test both outputs."""
    from megbench.core.frames import check_frames

    frames = _made(method, cell)
    check_frames(frames, "Output")
    count, wanted = len(frames), cell.driver.n_frames
    shape = f"{cell.name}: {plural(count, 'frame')} where the driver has {wanted}, {frames.shape[1:]}, uint8"
    yield _verdict(count == wanted), shape
    again = np.array_equal(frames, _made(method, cell))
    yield _verdict(again), f"{cell.name}: a second run gives {'the same frames' if again else 'different frames'}"


def _verdict(good: bool) -> Verdict:
    return "ok" if good else "FAULT"


def _contract_lines(faults: Sequence[str]) -> Iterator[Line]:
    yield from (("FAULT", fault) for fault in faults)
    if not faults:
        yield "ok", "it has everything that the contract requires"


def _made(method: Any, cell: Cell) -> Frames:
    """Return a cell's frames as in a run, where the libraries' random generators are seeded with the cell's name."""
    from megbench.engine.runner import frames_of, seed_libraries

    seed_libraries(0, cell.name)
    return frames_of(method, cell)


def _identity(first: Any, second: Any) -> Line:
    try:
        texts = [json.dumps(each, sort_keys=True, allow_nan=False) for each in (first, second)]
    except (TypeError, ValueError) as error:
        return "FAULT", f"its identity does not consist of JSON values: {error}"
    same = texts[0] == texts[1]
    return _verdict(same), f"two instances have {'the same identity' if same else 'different identities'}"


@_in_lines
def metric_lines(kind: Callable[[], Metric], cell: Cell) -> Iterator[Line]:
    """Test a metric: its attributes, its values for perfect, still, black and very short outputs, and its pooling."""
    from megbench.engine.plugins import metric_faults

    faults = list(metric_faults(kind))
    yield from _contract_lines(faults)
    if faults:
        return
    metric = kind()
    perfect = (cell.truth or cell.reference).frames()
    still = np.repeat(cell.template.image[None], len(perfect), axis=0)
    outputs = {"perfect": perfect, "still": still, "black": np.zeros_like(perfect), "one frame": perfect[:1]}
    with TemporaryDirectory() as store:  # for features that a metric compares as a set
        yield from _measured_lines(metric, cell, outputs, Path(store))


def _measured_lines(metric: Metric, cell: Cell, outputs: Mapping[str, Frames], store: Path) -> Iterator[Line]:
    from megbench.faces.features import Seen

    partials: dict[str, Partial] = {}
    for what, frames in outputs.items():
        try:
            partial = metric.measure(cell, Seen(cell, frames, store / what))
        except (CellFailed, Unavailable) as error:
            yield "", f"{what}: no score, {error}"
            continue
        except Exception as error:
            yield "FAULT", f"{what}: {raised(error, type(metric))}"
            continue
        partials[what] = partial
        yield from _partial_lines(metric, what, partial)
        if what == "perfect":
            again = metric.measure(cell, Seen(cell, frames, store / "again"))
            yield _verdict(again.values == partial.values), "perfect: measured twice"
    if "perfect" in partials and "still" in partials:
        yield from _still_lines(metric, partials["perfect"].values, partials["still"].values)
    yield from _pooling_lines(metric, list(partials.values()))


def _still_lines(
    metric: Metric, perfect: Mapping[str, float | None], still: Mapping[str, float | None]
) -> Iterator[Line]:
    """Warn if a figure's value for a still face differs from its `still`, or is no worse than a perfect output's.

    A figure whose `still` equals its ideal is a guard, which accepts a still face on purpose.
    """
    for figure in metric.figures:
        best, value = perfect.get(figure.name), still.get(figure.name)
        if figure.ideal is None or value is None:
            continue
        values = f"{figure.name} is {value:.3g} for a still face"
        if figure.still is not None and abs(value - figure.still) > STILL_ENOUGH * (figure.distance(figure.still) or 1):
            yield "WARN", f"{values}, but its `still` is {figure.still:g}"
        if best is not None and figure.still != figure.ideal and figure.distance(value) <= figure.distance(best):
            than = f"the perfect output's {best:.3g}"
            nearer = "no further from" if figure.distance(value) == figure.distance(best) else "nearer to"
            remedy = f"measure what moves, or set still={figure.ideal:g} if it is only a guard"
            yield "WARN", f"{values}, {nearer} its ideal {figure.ideal:g} than {than}: {remedy}"


def _partial_lines(metric: Metric, what: str, partial: Partial) -> Iterator[Line]:
    from megbench.engine.scoring import unlisted

    figures = {figure.name: figure for figure in metric.figures}
    if unknown := unlisted(metric, partial):
        yield "FAULT", f"{what}: it has values of {', '.join(unknown)}, which `figures` does not list"
    for name, value in partial.values.items():
        if name not in figures:
            continue
        low, high = figures[name].bounds
        if value is not None and not ((low is None or value >= low) and (high is None or value <= high)):
            yield "FAULT", f"{what}: {name} is {value:g}, outside its bounds {low} to {high}"
    shown = [f"{name} {value:.3g}" for name, value in partial.values.items() if value is not None]
    yield "", f"{what}: {', '.join(shown[:6]) or partial.reason or partial.status}{' ...' if len(shown) > 6 else ''}"


def _pooling_lines(metric: Metric, partials: Sequence[Partial]) -> Iterator[Line]:
    from megbench.core.combine import combined

    for what, given in (("no cell", []), ("all of these cells", list(partials))):
        try:
            scores, turned = (
                {score.figure: score.value for score in combined(metric, order)} for order in (given, given[::-1])
            )
        except Exception as error:
            yield "FAULT", f"pooled over {what}: {raised(error, type(metric))}"
            continue
        yield "ok", f"pooled over {what}: a score for every figure"
        same = all(_near(value, turned[name]) for name, value in scores.items())
        yield _verdict(same), f"pooled over {what}: {'the same' if same else 'a different value'} in another order"


def _near(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return bool(np.isclose(first, second, rtol=1e-9, atol=1e-12, equal_nan=True))
