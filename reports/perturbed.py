"""What became of a run's figures, and of the order of its rows, with altered drivers (`--perturb`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau

from megbench.core.errors import BenchError
from megbench.core.figures import Figure
from megbench.engine.run_folder import PERTURBED
from megbench.reports.headlines import against_truth, headlines
from megbench.reports.intervals import of_cells
from megbench.reports.marks import footnotes
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

CHANGE = (
    "With altered drivers, less without: means over rows, of each row over the cells that it has in both runs. Outputs"
    " are made from the altered drivers and compared with them; what is compared with the truth is compared with the"
    " unaltered one."
)
ORDER = (
    "Kendall's tau of the rows' order with altered drivers and without, by how near each row is to the figure's ideal:"
    " 1 the same order, 0 chance. Beside it how many of how many pairs changed places. Rows that the leaderboard cannot"
    " tell apart may do so by chance."
)
NO_ORDER = "an order needs two rows"
ALL_TIED = "the rows do not differ"
# What a request says besides what decides the scores.
UNDECIDING = ("perturb", "media_all", "named_metrics")
Values = Mapping[str, tuple[float, float]]


def altered_runs(run: FinishedRun) -> dict[str, FinishedRun]:
    """Return the finished runs on altered drivers within a run, by what was done to them.

    Those of another request, or made by methods or metrics that have changed since, are left out.
    """
    found = {}
    for path in sorted((run.folder / PERTURBED).glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            other = FinishedRun(path.parent)
        except BenchError:  # half done: the same command completes it
            continue
        done = other.facts.request.get("perturb")
        if other.facts.finished and isinstance(done, dict) and _of_one_kind(run, other):
            found[str(done.get("label"))] = other
    return found


def _of_one_kind(run: FinishedRun, other: FinishedRun) -> bool:
    wanted = {name: value for name, value in other.facts.request.items() if name not in UNDECIDING}
    identities = {method.label: method.identity for method in run.facts.methods}
    return (
        all(run.facts.request.get(name) == value for name, value in wanted.items())
        and all(identities.get(method.label) == method.identity for method in other.facts.methods)
        and [(m.name, m.version) for m in run.facts.metrics] == [(m.name, m.version) for m in other.facts.metrics]
    )


def perturbed_tables(run: FinishedRun) -> dict[str, Table]:
    """Return how each figure changed with altered drivers, and whether the order of rows did; {} without such runs."""
    others = altered_runs(run)
    if not others:
        return {}
    figures = [figure for figure in headlines(run) if figure.ideal is not None]
    methods = [method.label for method in run.methods]
    controls = [method.label for method in run.controls]
    done = "; ".join(f"{label}: {other.facts.request['perturb'].get('says')}" for label, other in others.items())
    marks = footnotes(run, methods)
    parts = [(name, rows) for name, rows in (("Methods", methods), ("Controls", controls)) if rows]
    change = Table(
        "Altered drivers: change of figures",
        (Column("figure"), Column("unaltered", "", 3), *(Column(label, "", 3, CHANGE) for label in others)),
        tuple(
            Section(f"{name}, mean of {len(rows)}", tuple(_changes(run, others, figure, rows) for figure in figures))
            for name, rows in parts
        ),
        (CHANGE, f"{done}.", *_lost(run, others), *marks),
    )
    parts = [(name, rows) for name, rows in (("Methods", methods), ("All rows", methods + controls)) if len(rows) > 1]
    order = Table(
        "Altered drivers: order of rows",
        (Column("figure"), *(Column(label, "↑", 2, ORDER) for label in others)),
        tuple(Section(name, tuple(_orders(run, others, figure, rows) for figure in figures)) for name, rows in parts),
        (ORDER, *_who(run, others, figures, methods), *marks),
    )
    return {"change": change, "order": order}


def _name(run: FinishedRun, figure: Figure) -> Entry:
    titles = [against_truth(one, "{} (truth)") for one in headlines(run)]
    title = against_truth(figure, "{} (truth)")
    return Entry(f"{title if titles.count(title) == 1 else figure.name} {figure.arrow}".rstrip())


def _changes(
    run: FinishedRun, others: Mapping[str, FinishedRun], figure: Figure, rows: Sequence[str]
) -> tuple[Entry, ...]:
    found = [run.combined(label, figure.name) for label in rows]
    plain = [one.value for one in found if one.value is not None]
    mean = Entry(float(np.mean(plain))) if plain else Entry(None, found[0].reason or found[0].status)
    return (_name(run, figure), mean, *(_change(run, other, figure, rows) for other in others.values()))


def _change(run: FinishedRun, other: FinishedRun, figure: Figure, rows: Sequence[str]) -> Entry:
    values = both(run, other, figure, rows)
    if not values:
        found = [other.combined(label, figure.name) for label in rows]
        return Entry(None, next((one.reason for one in found if one.reason), "no row has it in both runs"))
    return Entry(float(np.mean([after - before for before, after in values.values()])))


def _orders(
    run: FinishedRun, others: Mapping[str, FinishedRun], figure: Figure, rows: Sequence[str]
) -> tuple[Entry, ...]:
    return (_name(run, figure), *(order_entry(figure, both(run, other, figure, rows)) for other in others.values()))


def both(run: FinishedRun, other: FinishedRun, figure: Figure, rows: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return a figure of each row without and with altered drivers, over the cells that have it in both runs."""
    found = {}
    for label in rows:
        if figure.pooling == "mean":
            cells = [of_cells(one, label, figure.name) for one in (run, other)]
            shared = sorted(cells[0].keys() & cells[1].keys())
            values = [float(np.mean([of[cell] for cell in shared])) if shared else None for of in cells]
        else:
            values = [one.combined(label, figure.name).value for one in (run, other)]
        if values[0] is not None and values[1] is not None:
            found[label] = values[0], values[1]
    return found


def order_entry(figure: Figure, values: Values) -> Entry:
    """Return tau of the rows' two orders and how many pairs changed places, "1 of 6"."""
    if len(values) < 2:
        return Entry(None, NO_ORDER)
    before, after = ([figure.distance(of[i]) for of in values.values()] for i in (0, 1))
    tau = float(kendalltau(before, after).statistic)
    if math.isnan(tau):
        return Entry(None, ALL_TIED)
    pairs = swapped(figure, values)
    return Entry(tau, "", f"{len(pairs)} of {math.comb(len(values), 2)}" if pairs else "")


def swapped(figure: Figure, values: Values) -> list[str]:
    """Return the pairs of rows that changed places, "fomm and mraa", the one first that was better."""
    before, after = ({label: figure.distance(of[i]) for label, of in values.items()} for i in (0, 1))
    ranked = sorted(before, key=lambda label: before[label])
    return [
        f"{better} and {worse}"
        for better, worse in itertools.combinations(ranked, 2)
        if before[better] < before[worse] and after[better] > after[worse]
    ]


def _who(
    run: FinishedRun, others: Mapping[str, FinishedRun], figures: Sequence[Figure], methods: Sequence[str]
) -> Iterator[str]:
    """Yield a line for each alteration with the pairs of methods that changed places, and in which figures."""
    for label, other in others.items():
        pairs: dict[str, list[str]] = {}
        for figure in figures:
            for pair in swapped(figure, both(run, other, figure, methods)):
                pairs.setdefault(pair, []).append(figure.name)
        if pairs:
            told = "; ".join(f"{pair} in {', '.join(names)}" for pair, names in pairs.items())
            yield f"{label}: methods that changed places: {told}."


def _lost(run: FinishedRun, others: Mapping[str, FinishedRun]) -> list[str]:
    """Return a line for each alteration with which rows lack outputs that they have without."""
    lines = []
    for label, other in others.items():
        rows = [method.label for method in other.facts.methods]
        lost = {row: _failures(other, row) - _failures(run, row) for row in rows}
        if told := [f"{row} {len(cells)}" for row, cells in lost.items() if cells]:
            lines.append(f"{label}: cells that fail with altered drivers only: {', '.join(told)}.")
    return lines


def _failures(run: FinishedRun, label: str) -> set[str]:
    return {cell.name for cell in run.facts.cells if run.failure(label, cell)}
