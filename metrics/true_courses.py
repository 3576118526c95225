"""Measure how well a detector's units follow, over time, the intensities from which the drivers were rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from megbench.core.clip import Cell, KnownMotion
from megbench.faces.features import SeenClip
from megbench.metrics.au_scores import AuAgreement, Tracks, members, pcc

# Median correlation and number of drivers, by unit.
Courses = Mapping[str, tuple[float, int]]


def true_courses(metric: AuAgreement, cells: Sequence[Cell], cache: Path | None) -> Courses:
    """Return each unit's median correlation over time with the true intensity, over the drivers that contain the unit.

    cells: the cells of rendered drivers; each driver is analysed once. Units that occur in no driver are left out.
    """
    found: dict[str, list[float]] = {}
    for cell in {cell.driver.name: cell for cell in cells}.values():
        driver, known = cell.driver, cell.driver.known()
        if known is None:
            continue
        tracks = metric.tracks(cell, SeenClip("driver", driver.frames, driver.content, cache))
        for unit, value in _correlations(metric.detector.units, tracks, known):
            found.setdefault(unit, []).append(value)
    return {unit: (round(median(found[unit]), 3), len(found[unit])) for unit in metric.detector.units if unit in found}


def _correlations(units: Sequence[str], tracks: Tracks, known: KnownMotion) -> Iterable[tuple[str, float]]:
    """Yield the correlation of each unit that occurs in the clip; a constant track follows nothing and counts as 0."""
    seen = ~np.isnan(tracks).any(1)
    for k, unit in enumerate(units):
        own = [column for column, name in enumerate(known.action_units) if name in members(unit)]
        intensity = known.au_intensity[:, own].sum(1).astype(np.float64)
        if np.ptp(intensity[seen]) > 0:
            yield unit, pcc(tracks[seen, k], intensity[seen]) or 0.0
