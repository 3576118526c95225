"""From frames to partial scores: every metric on every cell, in worker processes."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from megbench.core.clip import Cell
from megbench.core.contracts import Metric, Partial, Status
from megbench.core.errors import BenchError, CellFailed, Unavailable, clause, plural
from megbench.core.files.cache import CellRecord, digest, read_json, read_kept, whole_archive, write_kept, write_text
from megbench.core.files.hashes import states
from megbench.core.frames import Frames, read_frames
from megbench.core.processors import usable
from megbench.core.provenance import module_of, recipe
from megbench.core.weights import external_weights
from megbench.core.worker import Lane
from megbench.engine.dispatch import CELL_LIMIT_S, LOCAL, perform
from megbench.engine.runner import Job, cell_folder
from megbench.engine.speeds import MANY_FRAMES, keep_speeds, measuring

Look = Callable[[Cell, Frames, Path], Any]
Partials = dict[str, dict[str, Partial]]


@dataclass(frozen=True)
class Scorer:
    """Everything that scoring needs besides the cells.

    metrics: the classes of the metrics. look: the function that prepares a cell and its output for the metrics. The
    other fields are as in megbench.engine.runner.Settings.
    """

    metrics: Sequence[Callable[[], Metric]]
    look: Look
    store: Path
    workers: int
    engine: str = LOCAL
    limit_s: float = CELL_LIMIT_S


@dataclass(frozen=True)
class _Task:
    """One output to measure: the frames in `folder`, and the keys of the metrics to compute."""

    job: Job
    folder: Path
    n_frames: int
    keys: dict[str, str]


def score(run: Path, jobs: Sequence[Job], records: dict[str, CellRecord], scorer: Scorer) -> tuple[Partials, bool]:
    """Measure every finished cell with every metric, and keep the partial scores in the store and in the run.

    Return the partial scores by "label/cell" and metric, and whether anything was measured or changed.
    """
    partials, measured = measure_all(run, jobs, records, scorer)
    changed = _keep_partials(run, jobs, partials, {metric.name: metric.version for metric in _made(scorer)})
    return partials, changed or measured


def measure_all(
    run: Path, jobs: Sequence[Job], records: dict[str, CellRecord], scorer: Scorer
) -> tuple[Partials, bool]:
    """Measure as `score` does, but write only to the store, and return whether anything was measured."""
    metrics = _made(scorer)
    without = {metric.name: reason for metric in metrics if (reason := lacking(metric))}
    able = {metric.name: (metric, _deciding(metric, scorer)) for metric in metrics if metric.name not in without}
    partials: Partials = {place(job): {} for job in jobs}
    todo: list[_Task] = []
    for job in jobs:
        record = records[job.key]
        if record.status != "ok":
            status: Status = "missing" if record.status == "missing" else "failed"
            partials[place(job)] = {metric.name: Partial(status, record.reason) for metric in metrics}
            continue
        keys = {
            name: partial_key(metric, deciding, job.cell, record.content) for name, (metric, deciding) in able.items()
        }
        found = {name: partial for name, key in keys.items() if (partial := _read_partial(scorer.store, key))}
        partials[place(job)] = found
        found |= {name: Partial("unavailable", reason) for name, reason in without.items()}
        missing = {name: key for name, key in keys.items() if name not in found}
        if missing:
            todo.append(_Task(job, cell_folder(run, job).resolve(), record.n_frames, missing))
    began = time.monotonic()
    for task, measured in _measured(todo, scorer):
        partials[place(task.job)] |= measured
    frames = sum(task.n_frames for task in todo if len(task.keys) == len(able))
    if frames >= MANY_FRAMES:
        seconds = (time.monotonic() - began) * min(scorer.workers, usable())
        keep_speeds(scorer.store, {measuring(list(able)): seconds / frames})
    return partials, bool(todo)


def _made(scorer: Scorer) -> list[Metric]:
    return [make() for make in scorer.metrics]


def _deciding(metric: Metric, scorer: Scorer) -> list[Any]:
    """Return what determines a metric's results in every cell.

    This is its version, code, packages and weights, and the code and packages of `look`.
    """
    weights = [external_weights.require(name) for name in getattr(metric, "weights", ())]
    return [metric.version, recipe(type(metric).__module__), recipe(module_of(scorer.look)), states(weights)]


def deciding_all(scorer: Scorer) -> list[list[Any]]:
    """Return the name of each metric, with what determines its results in every cell or why it cannot be computed."""
    made = _made(scorer)
    return [[metric.name, lacking(metric) or _deciding(metric, scorer)] for metric in made]


def lacking(metric: Metric | Callable[[], Metric]) -> str:
    """Return why a metric cannot be computed on this machine, or "" if it can.

    The weights that it names in `weights` may be missing or wrong; most metrics have no such attribute. A reason that
    its `missing` returns counts, too, unless the metric has `sources`: these files may exist for some cells only.
    """
    for name in getattr(metric, "weights", ()):
        try:
            external_weights.require(name)
        except BenchError as error:
            return str(error)
    return "" if hasattr(metric, "sources") else _missing(metric)


def unready(metric: Metric | Callable[[], Metric]) -> str:
    """Return what a metric lacks, or what must be done before it can compute anything; "" if it is ready."""
    return lacking(metric) or _missing(metric)


def _missing(metric: Metric | Callable[[], Metric]) -> str:
    return str(getattr(metric, "missing", str)())


def place(job: Job) -> str:
    """Return the key of a job's partial scores in `Partials`."""
    return f"{job.row.label}/{job.cell.name}"


def partial_key(metric: Metric, deciding: Sequence[Any], cell: Cell, output: str) -> str:
    """Return the hash of everything that determines a partial score.

    deciding: the result of `_deciding`. output: the hash of the frames that are compared with the cell's clips. Other
    files that the metric reads count with their current contents, or as None if they are missing.
    """
    clips = {"driver": cell.driver, "reference": cell.reference, "truth": cell.truth}
    compared = {role: clip.state() if clip else None for role, clip in clips.items()}
    sources = states(metric.sources(cell, output)) if hasattr(metric, "sources") else []
    return digest([metric.name, *deciding, output, cell.template.content, compared, sources])


def _partial_path(store: Path, key: str) -> Path:
    return store / "partials" / key[:2] / f"{key}.json"


def _read_partial(store: Path, key: str) -> Partial | None:
    values = read_kept(_partial_path(store, key))
    try:
        partial = Partial(**values) if values else None
    except TypeError:
        return None
    # Distances between sets need the features of clips, whose files in the store may have been deleted or damaged.
    return partial if partial and all(whole_archive(Path(file)) for file in partial.files.values()) else None


@dataclass(frozen=True)
class _Measurer:
    """The work of a worker process that measures. All metrics of an output share the features computed for its cell."""

    scorer: Scorer

    def __call__(self) -> Callable[[_Task], dict[str, Partial]]:
        metrics = {metric.name: metric for metric in (make() for make in self.scorer.metrics)}
        store = self.scorer.store

        def do(task: _Task) -> dict[str, Partial]:
            # In the meantime, another run or a cluster worker that was lost afterwards may have measured the output.
            found = {name: partial for name, key in task.keys.items() if (partial := _read_partial(store, key))}
            missing = {name: key for name, key in task.keys.items() if name not in found}
            return found | (measured(task, missing) if missing else {})

        def measured(task: _Task, keys: dict[str, str]) -> dict[str, Partial]:
            frames = read_frames(task.folder / "frames", task.n_frames)
            seen = self.scorer.look(task.job.cell, frames, store / "features")
            new = {}
            for name, key in keys.items():
                try:
                    new[name] = measure(metrics[name], task.job.cell, seen)
                    write_kept(_partial_path(store, key), vars(new[name]))
                except Unavailable as error:
                    new[name] = Partial("unavailable", str(error))
                    if hasattr(metrics[name], "sources"):  # the key will change once the missing file exists
                        write_kept(_partial_path(store, key), vars(new[name]))
                except Exception as error:
                    # A failure of one metric is not stored and does not affect the other metrics.
                    new[name] = Partial("failed", f"{name} failed with {type(error).__name__}: {clause(str(error))}")
            return new

        return do


def measure(metric: Metric, cell: Cell, seen: Any) -> Partial:
    """Return the partial score of one metric in one cell. A number that is not finite becomes None with a reason."""
    try:
        partial = metric.measure(cell, seen)
    except CellFailed as error:
        return Partial("failed", str(error))
    if unknown := unlisted(metric, partial):
        return Partial("failed", f"{metric.name} returned a value of {unknown[0]!r}, which its `figures` do not list")
    if (partial.series or len(partial.frames)) and (fault := misplaced(partial, len(seen.output.frames))):
        return Partial("failed", f"{metric.name} {fault}")
    values = {name: finite(value) for name, value in partial.values.items()}
    series = {name: [finite(value) for value in curve] for name, curve in partial.series.items()}
    sums = {name: [float(value) for value in numbers] for name, numbers in partial.sums.items()}
    lost = [name for name, value in partial.values.items() if value is not None and values[name] is None]
    reasons = {**partial.reasons, **dict.fromkeys(lost, "not a finite number")}
    frames = [int(frame) for frame in partial.frames]
    return Partial(partial.status, partial.reason, values, sums, series, reasons, partial.files, frames)  # type: ignore[arg-type]


def unlisted(metric: Metric, partial: Partial) -> list[str]:
    """Return the names of values that a metric's `figures` do not list."""
    return sorted(partial.values.keys() - {figure.name for figure in metric.figures})


def misplaced(partial: Partial, n_frames: int) -> str:
    """Return what is wrong with the frame numbers of a partial score's curves; "" if they are correct."""
    named = len(partial.frames)
    for frame in partial.frames:
        if not isinstance(frame, Integral) or isinstance(frame, bool):
            return f"names frame {frame} in Partial.frames, which is not a whole number"
        if not 0 <= frame < n_frames:
            return f"names frame {frame} in Partial.frames, but the output has only {plural(n_frames, 'frame')}"
    for before, after in itertools.pairwise(partial.frames):
        if after <= before:
            return f"names frame {after} after frame {before} in Partial.frames: they must ascend without repeats"
    wrong = {name: len(curve) for name, curve in partial.series.items() if len(curve) != (named or n_frames)}
    if not wrong:
        return ""
    name, length = next(iter(wrong.items()))
    told = f"returned a curve {name!r} of {plural(length, 'value')} for"
    if named:
        return f"{told} {plural(named, 'frame')} in Partial.frames"
    return f"{told} {plural(n_frames, 'frame')}: list its frames in Partial.frames"


def finite(value: float | None) -> float | None:
    """Return a number as a float, or None if it is absent, infinite or not a number."""
    return float(value) if value is not None and math.isfinite(value) else None


def _measured(tasks: Sequence[_Task], scorer: Scorer) -> Iterator[tuple[_Task, dict[str, Partial]]]:
    """Measure in worker processes; yield each task with its partial scores by metric.

    All rows of a cell go to one worker, and the cells of one driver are spread out. A driver or a truth is analysed
    only once; after that, the result is found in the store.
    """

    def place(task: _Task) -> tuple[str, str]:
        return task.job.cell.template.name, task.job.cell.driver.name

    by_cell = [list(group) for _, group in itertools.groupby(sorted(tasks, key=place), place)]
    lanes = [Lane("scoring", _Measurer(scorer), by_cell)]
    for outcome in perform(lanes, scorer.engine, scorer.workers, "Measuring", scorer.limit_s):
        if outcome.result is None:
            failed = Partial("failed", f"the metric failed: {outcome.reason}")
            yield outcome.item, dict.fromkeys(outcome.item.keys, failed)
        else:
            yield outcome.item, outcome.result


def _keep_partials(run: Path, jobs: Sequence[Job], partials: Partials, versions: dict[str, str]) -> bool:
    """Write each cell's partial scores into the run unless they are already there; return whether any were written."""
    changed = False
    for job in jobs:
        path = run / "partials" / job.row.label / f"{job.cell.name}.json"
        kept = {
            name: {"version": versions[name], **vars(partial)} for name, partial in sorted(partials[place(job)].items())
        }
        if read_json(path) != kept:
            write_text(path, json.dumps(kept, allow_nan=False), lasting=False)
            changed = True
    return changed


def failures(jobs: Sequence[Job], records: dict[str, CellRecord], partials: Partials) -> list[str]:
    """Return a line for every metric that failed on existing frames."""
    lines = []
    for job in jobs:
        if records[job.key].status != "ok":
            continue
        failed = {name: partial.reason for name, partial in partials[place(job)].items() if partial.status == "failed"}
        lines += [f"{name} of {job.row.label} on {job.cell.name}: {reason}" for name, reason in failed.items()]
    return lines


def metric_facts(make: Callable[[], Metric]) -> dict[str, Any]:
    """Return a metric's facts for run.json."""
    metric = make()
    figures = [dataclasses.asdict(figure) for figure in metric.figures]
    description = (inspect.getdoc(make) or "").partition("\n")[0]
    facts = {"name": metric.name, "version": metric.version, "description": description, "figures": figures}
    return {**facts, "recipe": recipe(type(metric).__module__)}
