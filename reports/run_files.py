"""A finished run as reports see it: run.json, scores.csv, partials and frame folders, read-only."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from megbench.core.errors import BenchError, clause
from megbench.core.figures import GROUPS, Figure
from megbench.core.files.cache import read_json
from megbench.engine.run_folder import MOTION_FOLDER
from megbench.reports.run_facts import CellFacts, MethodFacts, MetricFacts, read_facts

LABELS = [
    "method",
    "scope",
    "group",
    "driver",
    "template",
    "database",
    "emotion",
    "metric",
    "figure",
    "status",
    "reason",
    "warning",
]
COUNTS = ["n_scored", "n_cells"]


@dataclass(frozen=True)
class Found:
    """One score as read: a value, with a warning if any, or None with the reason."""

    value: float | None
    status: str
    reason: str
    n_scored: int | None = None
    n_cells: int | None = None
    warning: str = ""


@dataclass(frozen=True)
class Series:
    """A metric's curves of one cell over time: "<what>_<role>", NaN for absent values, at `frames` (() for all)."""

    curves: Mapping[str, list[float]] = field(default_factory=dict)
    frames: tuple[int, ...] = ()

    def of(self, role: str) -> dict[str, list[float]]:
        """Return the curves of a role ("output", "driver", "truth") by what they show, or {} if there are none."""
        ending = f"_{role}"
        return {n.removesuffix(ending): curve for n, curve in self.curves.items() if curve and n.endswith(ending)}


NOT_SCORED = Found(None, "unavailable", "not scored in this run")


class FinishedRun:
    """A run folder opened for reading. Raise BenchError naming the file that is missing or invalid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = read_facts(folder / "run.json")
        self.scores = _read_scores(folder / "scores.csv")

    @property
    def methods(self) -> tuple[MethodFacts, ...]:
        """The rows that are not controls, in the run's order."""
        return tuple(method for method in self.facts.methods if not method.is_control)

    @property
    def controls(self) -> tuple[MethodFacts, ...]:
        """The rows that are controls, in the run's order."""
        return tuple(method for method in self.facts.methods if method.is_control)

    @functools.cached_property
    def named_metrics(self) -> tuple[MetricFacts, ...]:
        """The metrics that `--metrics` named, or () for a run with the defaults."""
        named = self.facts.request.get("named_metrics")
        return tuple(metric for metric in self.facts.metrics if isinstance(named, list) and metric.name in named)

    @functools.cached_property
    def figures(self) -> dict[str, tuple[MetricFacts, Figure]]:
        """Every figure of the run by name; the first of several figures with the same name."""
        table: dict[str, tuple[MetricFacts, Figure]] = {}
        for metric in self.facts.metrics:
            for figure in metric.figures:
                table.setdefault(figure.name, (metric, figure))
        return table

    @functools.cached_property
    def detectors(self) -> dict[str, str]:
        """The metrics that read action units, each with its detector's name, in the order of their columns."""
        places = {group: place for place, group in enumerate(GROUPS)}
        found = {
            metric.name: (min(places.get(figure.group, len(places)) for figure in own), own[0].detector)
            for metric in self.facts.metrics
            if (own := [figure for figure in metric.figures if figure.detector])
        }
        return {name: word for name, (_, word) in sorted(found.items(), key=lambda item: item[1][0])}

    @functools.cached_property
    def _index(self) -> dict[tuple[str, ...], Found]:
        rows: dict[tuple[str, ...], Found] = {}
        texts = zip(*(self.scores[name] for name in LABELS), strict=True)
        numbers = self.scores[["value", *COUNTS]].to_numpy().tolist()
        for row, (value, scored, cells) in zip(texts, numbers, strict=True):
            facts = dict(zip(LABELS, row, strict=True))
            place = (facts["driver"], facts["template"]) if facts["scope"] == "cell" else (facts["group"], "")
            rows[(facts["method"], facts["scope"], *place, facts["metric"], facts["figure"])] = Found(
                None if math.isnan(value) else value,
                facts["status"],
                facts["reason"],
                None if math.isnan(scored) else int(scored),
                None if math.isnan(cells) else int(cells),
                facts["warning"],
            )
        return rows

    def combined(self, label: str, figure: str, scope: str = "all", group: str = "") -> Found:
        """Return a figure over all cells (`scope` "all") or over one database, emotion or template."""
        return self._find(label, (scope, group, ""), figure)

    def of_cell(self, label: str, cell: CellFacts, figure: str) -> Found:
        """Return a figure of one cell."""
        return self._find(label, ("cell", cell.driver, cell.template), figure)

    def _find(self, label: str, place: tuple[str, str, str], figure: str) -> Found:
        if figure not in self.figures:
            return NOT_SCORED
        return self._index.get((label, *place, self.figures[figure][0].name, figure), NOT_SCORED)

    def over_all(self, label: str, metric: MetricFacts, figure: Figure) -> Found:
        """Return the given figure of a metric over all cells.

        The metric must be given because a figure's name alone may be ambiguous.
        """
        return self._index.get((label, "all", "", "", metric.name, figure.name), NOT_SCORED)

    def cell_values(self, label: str, figure: str) -> list[float]:
        """Return the values of one figure in all cells that have one."""
        found = (self.of_cell(label, cell, figure).value for cell in self.facts.cells)
        return [value for value in found if value is not None]

    def groups(self, scope: str) -> list[str]:
        """Return the groups of a scope ("database", "emotion", "template") in the order of the cells."""
        return list(dict.fromkeys(getattr(cell, scope) for cell in self.facts.cells))

    def series(self, label: str, cell: CellFacts) -> dict[str, Series]:
        """Return the curves over frames that each metric saved for one cell, or {} if there are none."""
        try:
            partials = read_json(self._inside("partials", label, f"{cell.name}.json")) or {}
            found = {metric: _series(partial) for metric, partial in partials.items()}
            return {metric: series for metric, series in found.items() if series.curves}
        except (ValueError, TypeError, AttributeError):
            return {}

    def sums(self, label: str, cell: CellFacts) -> dict[str, dict[str, list[float]]]:
        """Return the sums for pooling that each metric saved for one cell, by metric and role; {} if there are none."""
        try:
            partials = read_json(self._inside("partials", label, f"{cell.name}.json")) or {}
            kept = {metric: partial.get("sums") or {} for metric, partial in partials.items()}
            return {m: {role: [float(v) for v in of] for role, of in sums.items()} for m, sums in kept.items() if sums}
        except (ValueError, TypeError, AttributeError):
            return {}

    def failure(self, label: str, cell: CellFacts) -> str | None:
        """Return why a cell has no frames, or None if it has them."""
        record = self.record(label, cell)
        if not record:
            return "not done: the run was stopped before this cell"
        return None if record.get("status") == "ok" else str(record.get("reason") or "failed without a reason")

    def content(self, label: str, cell: CellFacts) -> str:
        """Return the hash of an output's frames, or "" if there are none."""
        return str(self.record(label, cell).get("content") or "")

    def supplied(self, label: str, cell: CellFacts) -> bool:
        """Return whether everything that a cell needs from elsewhere was available."""
        return self.record(label, cell).get("status") != "missing"

    def record(self, label: str, cell: CellFacts) -> dict[str, Any]:
        """Return the run's record of an output (megbench.core.files.cache.CellRecord), or {} if there is none."""
        record = read_json(self._inside("cells", label, cell.name) / "cell.json")
        return record if isinstance(record, dict) else {}

    def output_frames(self, label: str, cell: CellFacts) -> Path:
        """Return the frame folder of a method's output."""
        return self._inside("cells", label, cell.name, "frames")

    def driver_frames(self, cell: CellFacts) -> Path:
        """Return the frame folder of the cell's driver."""
        return self._inside("inputs", "drivers", cell.driver, "frames")

    def truth_frames(self, cell: CellFacts) -> Path:
        """Return the frame folder of the cell's truth, which exists only if `has_truth`."""
        return self._inside("inputs", "truth", cell.name, "frames")

    def template_picture(self, cell: CellFacts) -> Path:
        """Return the path of the cell's template."""
        return self._inside("inputs", "templates", f"{cell.template}.png")

    def motion_of(self, frames: Path) -> Path:
        """Return the path of a clip's motion, given its frame folder. There is no file if scoring did not need it."""
        place = frames.parent.relative_to(self.folder)
        return self._inside(MOTION_FOLDER, *place.parts[:-1], f"{place.name}.npz")

    def _inside(self, *parts: str) -> Path:
        """Return a path under the run folder. Raise BenchError if a name in run.json points outside."""
        path = self.folder.joinpath(*parts)
        if not path.resolve().is_relative_to(self.folder.resolve()) or any("/" in part for part in parts):
            raise BenchError(
                f"{self.folder / 'run.json'}: the name {'/'.join(parts)!r} points outside the run's folder."
                " Rerun the command that created this run."
            )
        return path


def _series(partial: Mapping[str, Any]) -> Series:
    """Return the curves of a partial score. Raise ValueError or TypeError if they are invalid."""
    frames = tuple(int(frame) for frame in partial.get("frames") or ())
    curves = partial.get("series") or {}
    read = {name: [math.nan if v is None else float(v) for v in curve] for name, curve in curves.items()}
    return Series({name: curve for name, curve in read.items() if not frames or len(curve) == len(frames)}, frames)


def _read_scores(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(LABELS, "str"),
            keep_default_na=False,
            na_values={"value": [""], **{c: [""] for c in COUNTS}},
        )
        table[["value", *COUNTS]] = table[["value", *COUNTS]].astype("float64")
        return table[[*LABELS, "value", *COUNTS]]
    except FileNotFoundError:
        raise BenchError(
            f"{path.parent} is not a finished run: it has no {path.name}. Rerun the command that created it, which"
            " continues where it stopped."
        ) from None
    except OSError as error:
        raise BenchError(
            f"{path} cannot be read ({error.strerror}). Rerun the command that created this run."
        ) from None
    except (KeyError, ValueError) as error:
        raise BenchError(
            f"{path} is not a table of scores ({clause(error)}). Rerun the command that created this run."
        ) from None
