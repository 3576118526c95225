"""Explain how a number was computed: its inputs, intermediate results, definition and version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from megbench.core.errors import BenchError, check_choice, plural
from megbench.core.figures import Figure
from megbench.core.files.cache import read_json
from megbench.reports.headlines import figure_facts
from megbench.reports.run_facts import CellFacts, MetricFacts
from megbench.reports.run_files import FinishedRun


def explanation(run: FinishedRun, label: str, figure: str, cell: str) -> str:
    """Return text that explains how `figure` of row `label` was computed in `cell`.

    Raise BenchError for a row, figure or cell that the run does not have.
    """
    check_choice("row of this run:", label, [method.label for method in run.facts.methods])
    check_choice("figure of this run:", figure, run.figures)
    cells = {each.name: each for each in run.facts.cells}
    place = cells[check_choice("cell of this run:", cell, cells)]
    metric, facts = run.figures[figure]
    found = run.of_cell(label, place, figure)
    value = f"{found.value:.6g}" if found.value is not None else f"absent: {found.reason or found.status}"
    kept = _kept(run, label, place, metric.name)
    parts = [
        [f"{figure} of {label} on {cell}: {value}"],
        _definition(metric, facts, kept),
        _inputs(run, label, place, facts.target),
        _beside(metric, facts, kept),
        _over_all(run, label, figure),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _kept(run: FinishedRun, label: str, cell: CellFacts, metric: str) -> dict[str, Any]:
    """Return what the metric stored for the cell. Raise BenchError if it stored nothing."""
    path = run.folder / "partials" / label / f"{cell.name}.json"
    kept = (read_json(path) or {}).get(metric)
    if not isinstance(kept, dict):
        raise BenchError(f"{path} contains nothing from {metric}. Rerun the command that created this run.")
    return kept


def _definition(metric: MetricFacts, figure: Figure, kept: dict[str, Any]) -> list[str]:
    return [
        f"{figure.title}: {figure.description}",
        f"  {'; '.join(figure_facts(figure))}",
        f"  {metric.name}, version {kept.get('version', metric.version)}: {metric.description}",
    ]


def _inputs(run: FinishedRun, label: str, cell: CellFacts, target: str) -> list[str]:
    """Return the clips from which the figure was computed, with their paths."""
    output = run.output_frames(label, cell)
    record = read_json(output.parent / "cell.json") or {}
    lines = [
        "Inputs",
        f"  output: {output}, {plural(cell.n_frames, 'frame')}, content {str(record.get('content', '?'))[:12]}",
    ]
    if target == "driver":
        lines.append(f"  driver: {run.driver_frames(cell)}")
    if target == "truth" and cell.has_truth:
        lines.append(f"  truth: {run.truth_frames(cell)}")
    if target == "template":
        lines.append(f"  template: {run.template_picture(cell)}")
    return lines


def _beside(metric: MetricFacts, figure: Figure, kept: dict[str, Any]) -> list[str]:
    """Return a metric's intermediate results: sums, curves, and its other figures for this target, even absent ones."""
    values, reasons = kept.get("values") or {}, kept.get("reasons") or {}
    lines = [
        f"  sums for pooling, {name}: {', '.join(f'{value:.6g}' for value in sums)}"
        for name, sums in (kept.get("sums") or {}).items()
    ]
    for name, curve in (kept.get("series") or {}).items():
        values = [float("nan") if value is None else value for value in curve]
        lines.append(f"  {name}: {_curve(values, kept.get('frames') or range(len(values)))}")
    for other in metric.figures:
        if other.name == figure.name or other.target != figure.target or other.name not in values:
            continue
        value = values[other.name]
        lines.append(f"  {other.name}: {reasons.get(other.name, 'absent') if value is None else f'{value:.6g}'}")
    return [f"Intermediate results of {metric.name}", *lines] if lines else []


def _curve(curve: list[float], frames: Sequence[int]) -> str:
    values = np.asarray(curve, float)
    if np.isnan(values).all():
        return "absent in every frame"
    peak = int(np.nanargmax(values))
    low, high = np.nanmin(values), values[peak]
    return f"{plural(len(values), 'frame')}, {low:.4g} to {high:.4g}, highest in frame {frames[peak]}"


def _over_all(run: FinishedRun, label: str, figure: str) -> list[str]:
    found = run.combined(label, figure)
    if found.value is None:
        return [f"Over all cells: absent ({found.reason or found.status})"]
    if found.n_scored is None or found.n_cells is None:
        return [f"Over all cells: {found.value:.6g}"]
    return [f"Over all cells: {found.value:.6g}, {found.n_scored} of {plural(found.n_cells, 'cell')}"]
