"""The sharpness of a run's templates and drivers, for comparison with that of outputs."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from megbench.reports.run_facts import CellFacts

if TYPE_CHECKING:
    from megbench.reports.run_files import FinishedRun

# A template with less than this share of its drivers' sharpness is called soft.
SOFT_SHARE = 0.5


def sharpness_of(run: FinishedRun, cell: CellFacts, role: str) -> float | None:
    """Return the variance of the Laplacian in the face of a cell's "template" or "driver", or None if not measured."""
    found = (run.of_cell(method.label, cell, f"{role}_sharpness").value for method in run.facts.methods)
    return next((value for value in found if value is not None), None)


def soft_templates(run: FinishedRun) -> str:
    """Return which templates are much softer than their drivers, with the consequence; "" if there are none."""
    values: dict[str, dict[str, float]] = {"template": {}, "driver": {}}
    for cell in run.facts.cells:
        for role, of_role in values.items():
            if (value := sharpness_of(run, cell, role)) is not None:
                of_role.setdefault(getattr(cell, role), value)
    drivers = sorted(values["driver"].values())
    soft = {
        name: value
        for name, value in values["template"].items()
        if drivers and value < SOFT_SHARE * statistics.median(drivers)
    }
    if not soft:
        return ""
    listed = ", ".join(f"{name} has {value:.0f}" for name, value in soft.items())
    reach = f"{drivers[0]:.0f} to {drivers[-1]:.0f}" if len(drivers) > 1 else f"{drivers[0]:.0f}"
    return (
        f"By the variance of the Laplacian in the face, {listed}; the drivers have {reach}. Such a template was"
        " enlarged or smoothed, so anything drawn on it looks grainy in comparison. Therefore also compare the outputs'"
        " sharpness with the driver's."
    )
