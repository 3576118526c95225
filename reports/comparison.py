"""Two runs, or two methods, cell by cell: paired differences with intervals and p, drivers kept together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from core.errors import BenchError, check_choice, few, shown
from core.statistics import Paired, holm, paired
from reports.experts import with_interval
from reports.leaderboard import POOLED, arrow, headlines
from reports.marks import footnotes, titled
from reports.run_files import Run
from reports.table import Column, Entry, Section, Table


@dataclasses.dataclass(frozen=True)
class Pair:
    """What is compared: a row of the first run with a row of the second."""

    first: str
    second: str


def check_comparable(a: Run, b: Run) -> None:
    """BenchError unless both runs have the same protocol and cells, and the same versions of the metrics they share."""
    protocols = [f"{run.facts.protocol.name} {run.facts.protocol.version}" for run in (a, b)]
    if protocols[0] != protocols[1]:
        raise BenchError(f"The protocols differ: {' and '.join(protocols)}. Compare runs of one protocol and version.")
    cells = [{cell.name: cell for cell in run.facts.cells} for run in (a, b)]
    alone = sorted(cells[0].keys() ^ cells[1].keys())
    if alone:
        raise BenchError(f"The cells differ: {', '.join(alone[:5])} in one run only. Compare runs of the same cells.")
    changed = [name for name, cell in cells[0].items() if cell != cells[1][name]]
    if changed:
        pair = [vars(of[changed[0]]) for of in cells]
        facts = [
            f"{name} ({shown(was)} and {shown(pair[1][name])})" for name, was in pair[0].items() if was != pair[1][name]
        ]
        raise BenchError(
            f"The cells differ in what is known of them: {few(changed)}. In {changed[0]} it is {few(facts)}. Make both"
            " runs from the same clips, with the same options."
        )
    versions = [{metric.name: metric.version for metric in run.facts.metrics} for run in (a, b)]
    shared = versions[0].keys() & versions[1].keys()
    if not shared:
        raise BenchError("The runs share no metric. Run both with the same --metrics.")
    other = [f"{m} {versions[0][m]} and {versions[1][m]}" for m in sorted(shared) if versions[0][m] != versions[1][m]]
    if other:
        raise BenchError(f"Metric versions differ: {'; '.join(other)}. Run the older one's command again.")


def pairs_of(a: Run, b: Run, methods: Sequence[str]) -> list[Pair]:
    """The rows to compare: every row that both runs have, or the one or two that `methods` names."""
    labels = [[method.label for method in run.facts.methods] for run in (a, b)]
    if methods:
        if len(methods) > 2:
            raise BenchError(f"--methods {','.join(methods)}: name one row, or two to compare with each other.")
        first, second = methods[0], methods[-1]
        check_choice("row of the first run:", first, labels[0])
        check_choice("row of the second run:", second, labels[1])
        return [Pair(first, second)]
    common = [Pair(label, label) for label in labels[0] if label in labels[1]]
    if not common:
        raise BenchError("The runs share no row. Name two to compare with --methods FIRST,SECOND.")
    return common


def comparison(a: Run, b: Run, methods: Sequence[str] = ()) -> Table:
    """Return differences of headline figures (of all, if there is none), first minus second; p is corrected over all.

    BenchError where the runs cannot be compared.
    """
    check_comparable(a, b)
    headline = list(dict.fromkeys(line.figure for run in (a, b) for _, line in headlines(run)))
    figures = headline or list(a.figures)  # a run of plug-in metrics only has no headline
    figures = [name for name in figures if name not in POOLED]
    per_cell = [name for name in figures if name in a.figures and name in b.figures and _shared_metric(a, b, name)]
    tested = {
        (pair, name): paired(of_cells(a, pair.first, name), of_cells(b, pair.second, name), of_drivers(a))
        for pair in pairs_of(a, b, methods)
        for name in per_cell
    }
    tested = {place: found for place, found in tested.items() if found.difference.n}
    if not tested:
        raise BenchError("No cell has a score in both. Look into the reports for the reasons.")
    known = [place for place, found in tested.items() if found.p is not None]
    adjusted = dict(zip(known, holm([tested[place].p or 0.0 for place in known]), strict=True))
    rows: dict[str, list[tuple[Entry, ...]]] = {}
    for (pair, name), found in tested.items():
        row = _row(a, b, pair, name, dataclasses.replace(found, p_adjusted=adjusted.get((pair, name))))
        rows.setdefault(_heading(a, b, pair), []).append(row)
    columns = (
        *(Column("figure"), Column("first"), Column("second")),
        Column("first - second", "", 3, "Mean of the cells' differences, with its interval over drivers."),
        *(Column("p", "", 4, "Sign flips by driver."), Column("p, Holm", "", 4), Column("cells", "", 0)),
    )
    runs = f"First: {a.folder}. Second: {b.folder}."
    marks = [*footnotes(a, [pair.first for pair, _ in tested]), *footnotes(b, [pair.second for pair, _ in tested])]
    how = "Intervals draw drivers; p flips signs by driver and is corrected over all rows (Holm)."
    notes = (runs, how, *dict.fromkeys(marks))
    sections = tuple(Section(heading, tuple(of_pair)) for heading, of_pair in rows.items())
    return Table("Paired differences over cells", columns, sections, notes)


def _heading(a: Run, b: Run, pair: Pair) -> str:
    """Return the heading of a pair's section: what differs, with the rows' marks."""
    first, second = titled(a, pair.first), titled(b, pair.second)
    return first if first == second else f"{first} - {second}"


def _shared_metric(a: Run, b: Run, figure: str) -> bool:
    return a.figures[figure][0].name == b.figures[figure][0].name


def of_cells(run: Run, label: str, figure: str) -> dict[str, float]:
    """The scored values of a figure by cell name."""
    found = {cell.name: run.of_cell(label, cell, figure).value for cell in run.facts.cells}
    return {name: value for name, value in found.items() if value is not None}


def of_drivers(run: Run) -> dict[str, str]:
    """The driver of each cell."""
    return {cell.name: cell.driver for cell in run.facts.cells}


def _row(a: Run, b: Run, pair: Pair, name: str, found: Paired) -> tuple[Entry, ...]:
    first, second = of_cells(a, pair.first, name), of_cells(b, pair.second, name)
    shared = first.keys() & second.keys()
    reason = "fewer than two drivers"
    return (
        Entry(f"{name} {arrow(a.figures[name][1])}".rstrip()),
        *(Entry(sum(values[cell] for cell in sorted(shared)) / len(shared)) for values in (first, second)),
        with_interval(found.difference, 3),
        *(Entry(found.p, reason), Entry(found.p_adjusted, reason)),
        Entry(float(found.difference.n)),
    )
