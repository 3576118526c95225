"""`bench.py selfcheck`: test every metric on ground-truth clips that are deliberately degraded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megbench.core.errors import BenchError
from megbench.core.files.working_folder import STORE

if TYPE_CHECKING:
    from megbench.clips.synthetic.degraded import Answer, Variant
    from megbench.core.clip import Cell
    from megbench.core.contracts import Partial
    from megbench.metrics.sensitivity import Values, Worth
    from megbench.metrics.true_courses import Courses

# The saved outcome, which reports show (megbench.reports.selfcheck reads it).
KEPT = Path(__file__).parent.parent / "reports" / "selfcheck.json"
FIRMLY = 0.95
# Laws hold for means over cells; a single cell may deviate.
FEWEST = 2
# The minimum share of ground-truth clips in which the expression must be spotted: 16 of 18.
SPOTS = 16 / 18
# The largest permitted range of agreement over scales of .25 and more.
BLIND = 0.05
BLENDSHAPE = "au_blendshape"
# Units whose coefficients must follow the true intensity at least this well; AU07 and AU17 are only printed.
FOLLOWED, FOLLOWS = ("AU01", "AU02", "AU04", "AU05", "AU10", "AU12", "AU15"), 0.7


@dataclass(frozen=True)
class Law:
    """A property that the headline figures must have. found: the measured result. holds: whether they have it."""

    text: str
    found: str
    holds: bool


def selfcheck(
    cells: Annotated[int, typer.Option(min=1, max=9, help="Number of demo cells, each with a different driver.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    keep: Annotated[bool, typer.Option("--keep", help="Save the outcome for the reports.")] = False,
) -> None:
    """Test the metrics: degrade ground-truth clips step by step, and see how each metric responds."""
    from megbench.core.files.cache import write_json
    from megbench.metrics.sensitivity import worth

    if keep and cells < FEWEST:
        raise BenchError(f"--keep with --cells {cells}: one cell proves nothing. Use {FEWEST} cells or more.")
    found, versions = measure_all(cells, workers)
    judged = {figure: judgement for figure, values in found.items() if (judgement := worth(figure, values))}
    for judgement in judged.values():
        print(f"{judgement.figure}: {judgement.line()}")
        print("    " + ", ".join(f"{name} {_signed(rho)}" for name, rho in judgement.correlations.items()))
    courses = measure_courses()
    for name, (_, units) in courses.items():
        told = ", ".join(f"{unit} {value:.2f} ({drivers})" for unit, (value, drivers) in units.items())
        print(f"{name}, median correlation with the true intensity (drivers that have the unit): {told}")
    laws = [*check_laws(found, judged), *course_laws(courses)]
    for law in laws:
        verdict = "holds" if law.holds else "BROKEN" if cells >= FEWEST else "not in this cell"
        print(f"{verdict}: {law.text} ({law.found})")
    if cells < FEWEST:
        print(f"One cell proves nothing, whether a law holds in it or not. Use --cells {FEWEST} or more (default 3).")
        raise typer.Exit
    if keep:
        write_json(KEPT, outcome(cells, judged, versions, laws, courses))
        print(f"Saved in {KEPT}.")
    raise typer.Exit(0 if all(law.holds for law in laws) else 1)


def measure_all(count: int, workers: int) -> tuple[dict[str, Values], dict[str, tuple[str, str]]]:
    """Return every figure on every variant over `count` demo cells, and the metric and version of each figure."""
    from megbench.clips.synthetic.degraded import variants
    from megbench.core.combine import combined
    from megbench.core.progress import track
    from megbench.core.worker import Lane, work
    from megbench.protocols.demo import Demo

    protocol = Demo(STORE.resolve() / "clips")
    everything = protocol.cells()
    chosen = chosen_cells(everything, count)
    makers = checked_metrics()
    # Two batches per cell, so that two workers have equal work.
    tasks = [[(cell, protocol.answer(cell), v) for v in variants()[half::2]] for cell in chosen for half in (0, 1)]
    lane = Lane("selfcheck", _Checker(makers, STORE.resolve() / "features"), tasks)
    partials: dict[Variant, list[dict[str, Partial]]] = {variant: [] for variant in variants()}
    for done in track(work([lane], workers), "Measuring variants", "clip", sum(map(len, tasks))):
        if done.result is None:
            raise RuntimeError(f"{done.item[2]}: {done.reason}\n{done.traceback}")
        partials[done.item[2]].append(done.result)
    metrics = [make() for make in makers]
    values: dict[str, dict[Variant, float]] = {}
    for metric in metrics:
        for variant, measured in partials.items():
            for score in combined(metric, [each[metric.name] for each in measured]):
                if score.value is not None:
                    values.setdefault(score.figure, {})[variant] = score.value
    versions = {figure.name: (metric.name, metric.version) for metric in metrics for figure in metric.figures}
    return {figure: values[figure] for figure in versions if figure in values}, versions


def checked_metrics() -> list[Callable[[], Any]]:
    """Return the default metrics and those of CHECKED_TOO that this machine can compute.

    Print which of CHECKED_TOO it cannot compute.
    """
    from megbench.core.progress import note
    from megbench.core.registry import load
    from megbench.engine.scoring import lacking
    from megbench.metrics import CHECKED_TOO, METRICS, ON_REQUEST

    makers = {name: load("metric", name, METRICS) for name in METRICS if name not in ON_REQUEST or name in CHECKED_TOO}
    for name in CHECKED_TOO:
        if reason := lacking(makers[name]):
            note(f"{name} is left out: {reason}")
            del makers[name]
    return [make for make in makers.values() if not lacking(make)]


def measure_courses() -> dict[str, tuple[str, Courses]]:
    """Return, for each detector of action units, its version and how well its units follow those of the demo's drivers.

    The true units of these drivers are known.
    """
    from megbench.metrics.au_scores import AuAgreement
    from megbench.metrics.true_courses import true_courses
    from megbench.protocols.demo import Demo

    cells = Demo(STORE.resolve() / "clips").cells()
    detectors = [metric for make in checked_metrics() if isinstance(metric := make(), AuAgreement)]
    cache = STORE.resolve() / "features"
    return {metric.name: (metric.version, true_courses(metric, cells, cache)) for metric in detectors}


def course_laws(courses: dict[str, tuple[str, Courses]]) -> Iterator[Law]:
    """Yield the law for blendshapes and the units that they represent, if these were measured."""
    if BLENDSHAPE in courses:
        _, units = courses[BLENDSHAPE]
        found = {unit: units[unit][0] for unit in FOLLOWED if unit in units}
        shown = ", ".join(f"{unit} {value:.2f}" for unit, value in found.items()) or "no driver has one"
        holds = len(found) == len(FOLLOWED) and min(found.values()) >= FOLLOWS
        yield Law(f"{BLENDSHAPE} follows {', '.join(FOLLOWED)} with r of {FOLLOWS} or more", shown, holds)


def chosen_cells(cells: Sequence[Cell], count: int) -> list[Cell]:
    """Return `count` cells, each with a different driver, that cycle through styles, emotions and templates."""
    drivers = list(dict.fromkeys(cell.driver.name for cell in cells))
    step = len(cells) // len(drivers)
    order = sorted(range(len(drivers)), key=lambda k: (k % 4, k))  # 0, 4, 8 differ in style and emotion
    return [cells[step * k + place % step] for place, k in enumerate(order[:count])]


@dataclass(frozen=True)
class _Checker:
    """The work of a worker process: make a variant and measure it with all metrics."""

    makers: Sequence[Callable[[], Any]]
    features: Path

    def __call__(self) -> Callable[[tuple[Cell, Answer, Variant]], dict[str, Partial]]:
        from megbench.engine.scoring import measure
        from megbench.faces.features import Seen

        metrics = [make() for make in self.makers]

        def do(task: tuple[Cell, Answer, Variant]) -> dict[str, Partial]:
            cell, answer, variant = task
            seen = Seen(cell, answer.frames(variant), self.features)
            return {metric.name: measure(metric, cell, seen) for metric in metrics}

        return do


def check_laws(found: dict[str, Values], judged: dict[str, Worth]) -> Iterator[Law]:
    """Yield the laws that the headline figures must obey on these variants."""
    from megbench.metrics.sensitivity import UNHARMED, series_of

    def follows(figure: str, series: str, sign: int, text: str) -> Law:
        rho = judged[figure].correlations.get(series)
        return Law(f"{figure} {text}", f"Spearman {_signed(rho)}", rho is not None and sign * rho >= FIRMLY)

    yield follows("gain", "scale", 1, "rises with scale up to 1")
    yield follows("error", "scale", -1, "falls with scale up to 1")
    yield follows("error", "over", 1, "rises from scale 1 to 1.5")
    for figure in ("agreement", "strain_agreement"):
        scales = {**series_of(found[figure], "scale"), **series_of(found[figure], "over")}
        present = [value for level, value in scales.items() if level >= 0.25]
        reach = max(present) - min(present)
        blind = reach <= BLIND and "amplitude" in judged[figure].blind
        yield Law(f"{figure} stays within {BLIND} from scale .25 on: blind to amplitude", f"range {reach:.3f}", blind)
        yield follows(figure, "delay", -1, "falls with delay")
        yield follows(figure, "jitter", -1, "falls with unsteady timing")
        ordered = sorted(found[figure], key=lambda variant: found[figure][variant])
        # Scale 0 is a still face too.
        lowest = [name for name, level in ordered if (name, level) != ("scale", 0.0)][:3]
        wanted = {"still", "wrong_driver", "reversed"}
        yield Law(f"{figure}: still, wrong_driver and reversed agree least", ", ".join(lowest), set(lowest) == wanted)
    for figure in ("timing_error", "onset_shift", "apex_shift"):
        yield follows(figure, "delay", 1, "rises with delay")
    recall = [found["spotting_recall"].get(variant) for variant in (UNHARMED, ("still", 0.0))]
    finds = recall[0] is not None and recall[0] >= SPOTS and recall[1] == 0
    told = " and ".join("none" if value is None else f"{value:.2f}" for value in recall)
    yield Law("spotting_recall: the ground truth is spotted, a still face is not", told, finds)
    yield follows("au_flow_icc", "scale", 1, "falls as the scale falls")
    yield follows("au_flow_icc", "leak", -1, "falls with motion elsewhere")


def outcome(
    cells: int,
    judged: dict[str, Worth],
    versions: dict[str, tuple[str, str]],
    laws: Sequence[Law],
    courses: dict[str, tuple[str, Courses]],
) -> dict[str, Any]:
    """Return the outcome as JSON values."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cells": cells,
        "laws": [dataclasses.asdict(law) for law in laws],
        "courses": {name: {"version": version, "units": units} for name, (version, units) in courses.items()},
        "figures": {
            name: {
                "metric": versions[name][0],
                "version": versions[name][1],
                "line": judgement.line(),
                "correlations": {
                    key: None if rho is None else round(rho, 3) for key, rho in judgement.correlations.items()
                },
                "values": judgement.values,
            }
            for name, judgement in judged.items()
        },
    }


def _signed(rho: float | None) -> str:
    return "constant" if rho is None else f"{rho:+.2f}"
