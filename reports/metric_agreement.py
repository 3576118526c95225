"""Metrics against experts: does a metric order outputs as the experts do, within cells and over all of them?"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from megbench.core.errors import BenchError, plural
from megbench.core.pooled import pooled
from megbench.core.statistics import LEVEL
from megbench.experts.judgements import Item, Judgement, means
from megbench.experts.ranks import RankAgreement, item_agreement, rank_agreement
from megbench.reports.intervals import with_interval
from megbench.reports.marks import marked
from megbench.reports.pooled import products
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

AGAINST: dict[Item, str] = {"sum": "sum", "motion": "upper + lower", "noise": "noise"}
HOW = (
    "Tau is Kendall's tau-b with the experts' mean over all judged outputs; 1 is the same order, 0 is chance. Accuracy"
    " is the share of pairs of outputs in the same cell, not tied by the experts, that the metric orders as the"
    " experts' sum does. A tie of the metric counts half, and chance is 0.5; the number of pairs is beside it. The"
    " intervals beside tau are {level:.0%} bootstrap intervals, for which drivers are resampled; with fewer than five"
    " drivers there is no interval. A figure orders outputs by their distance from its ideal."
)
POOLS = "Pooled figures are pooled over a row's judged cells. They order rows rather than outputs and have no interval."
# Two rows can only be in the same or the opposite order, whatever the metric.
FEWEST_ROWS = 3
# Figures of single action units' tracks: dozens of lines that hardly differ.
TRACK = re.compile(r"_track_AU")


@dataclass(frozen=True)
class Judged:
    """The score (higher is better) that a metric gives a judged output or, if pooled, a row with judged outputs."""

    score: float
    label: str
    cell: str
    driver: str


def metrics_against_experts(run: FinishedRun, judgements: Sequence[Judgement], everything: bool = False) -> Table:
    """Return a table of how well each figure orders the outputs as the experts do.

    It contains tau over all outputs, the accuracy within cells, and counts. Figures without an ideal are left out, and
    so are tracks of single action units unless `everything` is set. Raise BenchError if no output of the run was
    judged.
    """
    judged = {item: means(judgements, item) for item in AGAINST}
    outputs = _outputs(run, judged["sum"])
    if not outputs:
        raise BenchError(f"{run.folder}: no output of this run was judged. Import sheets with --run {run.folder}.")
    columns = (
        Column("figure"),
        *(Column(f"tau, {name}", "↑", 2, HOW.format(level=LEVEL), "", True) for name in AGAINST.values()),
        Column("items", "", 0, "Judged outputs with a score."),
        Column("accuracy", "↑", 2, HOW.format(level=LEVEL), "", True),
    )
    sided = [name for name, (_, figure) in run.figures.items() if figure.ideal is not None]
    scored = [name for name in sided if any(_has(run, method.label, name) for method in run.facts.methods)]
    folded = [] if everything else [name for name in scored if TRACK.search(name)]
    rows = tuple(_row(run, name, judged, outputs) for name in scored if name not in folded)
    notes = [HOW.format(level=LEVEL)]
    if any(_pooled(run, name) for name in scored):
        notes.append(POOLS)
    if folded:
        notes.append(f"Folded: {len(folded)} tracks of single action units; --all and the CSV table show them.")
    if without := [name for name in run.figures if name not in sided]:
        notes.append(f"Left out, because neither higher nor lower values are better: {', '.join(without)}.")
    notes += _one_sided(outputs)
    return marked(run, Table("Metrics against experts", columns, (Section("", rows),), tuple(notes)))


def _has(run: FinishedRun, label: str, name: str) -> bool:
    return bool(products(run, label, name) if _pooled(run, name) else run.cell_values(label, name))


def _pooled(run: FinishedRun, name: str) -> bool:
    return run.figures[name][1].pooling == "pooled"


def _one_sided(outputs: Sequence[tuple[str, str]]) -> list[str]:
    """Return a warning if all pairs within cells are of the same two rows, otherwise []."""
    by_cell: dict[str, list[str]] = {}
    for label, cell in outputs:
        by_cell.setdefault(cell, []).append(label)
    compared = {frozenset(labels) for labels in by_cell.values() if len(labels) > 1}
    if len(compared) != 1 or len(found := sorted(*compared)) != 2:
        return []
    return [f"Warning: all pairs are of the same two rows, {' and '.join(found)}: accuracy shows which of these two a"
            " metric prefers, not whether it orders methods as experts do."]  # fmt: skip


def _outputs(run: FinishedRun, judged: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """Return the run's judged outputs as (method, cell)."""
    return [
        (method.label, cell.name)
        for method in run.facts.methods
        for cell in run.facts.cells
        if cell.name in judged.get(method.label, {})
    ]


def _row(
    run: FinishedRun,
    name: str,
    judged: Mapping[Item, Mapping[str, Mapping[str, float]]],
    outputs: Sequence[tuple[str, str]],
) -> tuple[Entry, ...]:
    title = run.figures[name][1].aimed
    if _pooled(run, name):
        return (Entry(title), *_of_rows(run, name, judged, outputs))
    items = _scores(run, name, outputs)
    scores, drivers = [j.score for j in items], [j.driver for j in items]
    taus = [item_agreement(scores, [of[j.label][j.cell] for j in items], drivers) for of in judged.values()]
    wanted = [judged["sum"][j.label][j.cell] for j in items]
    pairs = rank_agreement(scores, wanted, [j.cell for j in items], drivers)
    return (Entry(title), *(with_interval(tau, 2) for tau in taus), Entry(float(len(items))), _accuracy(pairs))


def _of_rows(
    run: FinishedRun,
    name: str,
    judged: Mapping[Item, Mapping[str, Mapping[str, float]]],
    outputs: Sequence[tuple[str, str]],
) -> Iterator[Entry]:
    """Yield the entries of a pooled figure, whose items are rows."""
    items = _rows(run, name, outputs)
    cells = {j.label: products(run, j.label, name).keys() for j in items}
    for of in judged.values():
        if len(items) < FEWEST_ROWS:
            yield Entry(
                None, f"{plural(len(items), 'row')} with a pooled figure; an order needs at least {FEWEST_ROWS}"
            )
            continue
        wanted = [_mean(of[j.label], cells[j.label]) for j in items]
        yield with_interval(item_agreement([j.score for j in items], wanted, [j.driver for j in items]), 2)
    yield Entry(float(len(items)))
    yield Entry(None, "a pooled figure has no order within a cell")


def _accuracy(found: RankAgreement) -> Entry:
    """Return the accuracy with the number of pairs on which the experts are not tied."""
    n = found.accuracy.n
    return Entry(found.accuracy.value, found.accuracy.reason, f"of {n}" if found.accuracy.value is not None else "")


def _scores(run: FinishedRun, name: str, outputs: Sequence[tuple[str, str]]) -> list[Judged]:
    """Return the judged outputs that have a figure, with the negative distance from its ideal as the score."""
    cells = {cell.name: cell for cell in run.facts.cells}
    distance = run.figures[name][1].distance
    return [
        Judged(-distance(value), label, cell, cells[cell].driver)
        for label, cell in outputs
        if (value := run.of_cell(label, cells[cell], name).value) is not None
    ]


def _rows(run: FinishedRun, name: str, outputs: Sequence[tuple[str, str]]) -> list[Judged]:
    """Return the rows that have a figure, pooled over their judged cells."""
    found = []
    for label in dict.fromkeys(label for label, _ in outputs):
        sums = products(run, label, name)
        kept = [sums[cell] for of, cell in outputs if of == label and cell in sums]
        if kept:
            found.append(Judged(float(pooled(np.sum(kept, axis=0))), label, "", ""))
    return found


def _mean(values: Mapping[str, float], cells: Container[str]) -> float:
    """Return the mean over those of a row's judged cells that its pooled figure includes."""
    return float(np.mean([value for cell, value in values.items() if cell in cells]))
