"""How sure a run's means are: bootstrap intervals by driver, and which methods cannot be told apart."""

import math

from core.statistics import bootstrap_mean, paired_all, tied_groups
from reports.run_files import Run


def intervals(run: Run, figure: str) -> dict[str, tuple[float, float]]:
    """The 95 % interval of a figure's mean over cells for each row that has one, drivers drawn with all their cells.

    Rows with fewer than two drivers have none, nor has a figure that is summed up otherwise than by its mean.
    """
    found = {}
    for method in run.facts.methods:
        values = _by_cell(run, method.label, figure)
        mean = bootstrap_mean(list(values.values()), [_drivers(run)[cell] for cell in values])
        shown = run.combined(method.label, figure).value
        if mean.low is None or mean.high is None or mean.value is None or shown is None:
            continue
        if math.isclose(mean.value, shown, rel_tol=1e-6, abs_tol=1e-9):
            found[method.label] = (mean.low, mean.high)
    return found


def tied(run: Run, figure: str) -> dict[str, str]:
    """The numbers of each method's tied groups, as "1 2"; {} where fewer than two methods have the figure."""
    values = {method.label: _by_cell(run, method.label, figure) for method in run.methods}
    values = {label: cells for label, cells in values.items() if cells}
    if len(values) < 2:
        return {}
    order = sorted(values, key=lambda label: -sum(values[label].values()) / len(values[label]))
    groups = tied_groups(order, paired_all(values, _drivers(run)))
    return {label: " ".join(map(str, numbers)) for label, numbers in groups.items()}


def _by_cell(run: Run, label: str, figure: str) -> dict[str, float]:
    found = {cell.name: run.of_cell(label, cell, figure).value for cell in run.facts.cells}
    return {name: value for name, value in found.items() if value is not None}


def _drivers(run: Run) -> dict[str, str]:
    """The driver of each cell."""
    return {cell.name: cell.driver for cell in run.facts.cells}
