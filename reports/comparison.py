"""Compare two runs or methods cell by cell: paired differences with intervals and p-values, clustered by driver."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from megbench.core.errors import BenchError, check_choice, few, shown
from megbench.core.statistics import P_DECIMALS, Paired, corrected, paired
from megbench.reports.headlines import FAMILY, headlines
from megbench.reports.intervals import of_cells, of_drivers, p_entry, unseparated, with_interval
from megbench.reports.marks import footnotes, titled
from megbench.reports.pooled import paired_pooled, products
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

HOW = (
    "Intervals are computed by resampling drivers with all their cells; with fewer than five drivers there is no"
    ' interval. The p-value comes from flipping signs by driver. "p, Holm" is corrected for the pairs of rows in this'
    f" table, separately for each of {', '.join(FAMILY)}, as for the leaderboard's groups; the p-values of other"
    " figures are not corrected. Figures that can lie on either side of their ideal, as gain can lie on either side of"
    " 1, are compared by their distance from it, cell by cell. Pooled agreement is pooled over the shared cells."
)
UNCORRECTED = f"not corrected: only {', '.join(FAMILY)} are"


@dataclasses.dataclass(frozen=True)
class Test:
    """The comparison of two rows in one figure, over the cells that they share."""

    first: float
    second: float
    found: Paired


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two rows to compare: one of the first run, and one of the second."""

    first: str
    second: str


def check_comparable(a: FinishedRun, b: FinishedRun) -> None:
    """Raise BenchError unless both runs have the same protocol, cells and versions of their shared metrics."""
    protocols = [f"{run.facts.protocol.name} {run.facts.protocol.version}" for run in (a, b)]
    if protocols[0] != protocols[1]:
        raise BenchError(
            f"The protocols differ: {' and '.join(protocols)}. Compare runs with the same protocol and version."
        )
    cells = [{cell.name: cell for cell in run.facts.cells} for run in (a, b)]
    alone = sorted(cells[0].keys() ^ cells[1].keys())
    if alone:
        raise BenchError(f"The cells differ: only one run has {', '.join(alone[:5])}. Compare runs on the same cells.")
    changed = [name for name, cell in cells[0].items() if cell != cells[1][name]]
    if changed:
        pair = [vars(of[changed[0]]) for of in cells]
        facts = [
            f"{name} ({shown(was)} and {shown(pair[1][name])})" for name, was in pair[0].items() if was != pair[1][name]
        ]
        raise BenchError(
            f"Cells differ between the runs: {few(changed)}. {changed[0]} differs in {few(facts)}. Make both runs"
            " from the same clips, with the same options."
        )
    versions = [{metric.name: metric.version for metric in run.facts.metrics} for run in (a, b)]
    shared = versions[0].keys() & versions[1].keys()
    if not shared:
        raise BenchError("The runs share no metric. Run both with the same --metrics.")
    other = [f"{m} {versions[0][m]} and {versions[1][m]}" for m in sorted(shared) if versions[0][m] != versions[1][m]]
    if other:
        raise BenchError(f"Metric versions differ: {'; '.join(other)}. Run the command that made the older run again.")


def pairs_of(a: FinishedRun, b: FinishedRun, methods: Sequence[str]) -> list[Pair]:
    """Return the rows to compare: every row that both runs have, or the one or two rows that `methods` names."""
    labels = [[method.label for method in run.facts.methods] for run in (a, b)]
    if methods:
        if len(methods) > 2:
            raise BenchError(f"--methods {','.join(methods)}: name one row, or the two to compare.")
        first, second = methods[0], methods[-1]
        check_choice("row of the first run:", first, labels[0])
        check_choice("row of the second run:", second, labels[1])
        return [Pair(first, second)]
    common = [Pair(label, label) for label in labels[0] if label in labels[1]]
    if not common:
        raise BenchError("The runs share no row. Name the two to compare: --methods FIRST,SECOND.")
    return common


def comparison(a: FinishedRun, b: FinishedRun, methods: Sequence[str] = ()) -> Table:
    """Return the differences in the headline figures (in all figures if there are none), first minus second.

    p-values are corrected as for the leaderboard's groups: over the pairs of rows, separately for each figure, and only
    for the figures in FAMILY. Raise BenchError if the runs cannot be compared.
    """
    check_comparable(a, b)
    headline = list(dict.fromkeys(figure.name for run in (a, b) for figure in headlines(run)))
    figures = headline or list(a.figures)  # there are none if all metrics are plug-ins
    both = [name for name in figures if name in a.figures and name in b.figures and _shared_metric(a, b, name)]
    pairs = pairs_of(a, b, methods)
    tests = {name: {pair: _test(a, b, pair, name) for pair in pairs} for name in both}
    tests = {name: {pair: test for pair, test in of.items() if test.found.difference.n} for name, of in tests.items()}
    tested = [pair for pair in pairs if any(pair in of for of in tests.values())]
    if not tested:
        raise BenchError("No cell has a score in both rows. See the reports for the reasons.")
    family = {name: corrected({pair: test.found for pair, test in tests.get(name, {}).items()}) for name in FAMILY}
    rows: dict[str, list[tuple[Entry, ...]]] = {}
    for pair in tested:
        of_pair = [(name, of[pair]) for name, of in tests.items() if pair in of]
        lines = [_row(a, name, test, family.get(name, {}).get(pair)) for name, test in of_pair]
        rows.setdefault(_heading(a, b, pair), []).extend(lines)
    columns = (
        *(Column("figure"), Column("first"), Column("second")),
        Column("first - second", "", 3, "Mean of the differences over cells, with its interval over drivers."),
        Column("p", "", P_DECIMALS, "Sign flips by driver."),
        *(Column("p, Holm", "", P_DECIMALS), Column("cells", "", 0)),
    )
    labels = [[pair.first for pair in tested], [pair.second for pair in tested]]
    marks = dict.fromkeys((*footnotes(a, labels[0]), *footnotes(b, labels[1])))
    told = dict.fromkeys(line for of in family.values() for line in unseparated(list(of.values())))
    notes = (f"First: {a.folder}. Second: {b.folder}.", HOW, *told, *marks)
    sections = tuple(Section(heading, tuple(of_pair)) for heading, of_pair in rows.items())
    return Table("Paired differences over cells", columns, sections, notes)


def _test(a: FinishedRun, b: FinishedRun, pair: Pair, name: str) -> Test:
    """Compare two rows in a figure over the cells in which both have it: pooled over these cells, or as means."""
    figure = a.figures[name][1]
    if figure.pooling == "pooled":
        return Test(*paired_pooled(products(a, pair.first, name), products(b, pair.second, name), of_drivers(a)))
    near = of_distances if figure.two_sided else of_cells
    first, second = near(a, pair.first, name), near(b, pair.second, name)
    shared = sorted(first.keys() & second.keys())
    one, other = (sum(values[cell] for cell in shared) / max(len(shared), 1) for values in (first, second))
    return Test(one, other, paired(first, second, of_drivers(a)))


def of_distances(run: FinishedRun, label: str, figure: str) -> dict[str, float]:
    """Return the distance of a figure from its ideal, by cell name."""
    distance = run.figures[figure][1].distance
    return {cell: distance(value) for cell, value in of_cells(run, label, figure).items()}


def _heading(a: FinishedRun, b: FinishedRun, pair: Pair) -> str:
    """Return the heading of a pair's section: the rows compared, with their marks."""
    first, second = titled(a, pair.first), titled(b, pair.second)
    return first if first == second else f"{first} - {second}"


def _shared_metric(a: FinishedRun, b: FinishedRun, figure: str) -> bool:
    return a.figures[figure][0].name == b.figures[figure][0].name


def _row(run: FinishedRun, name: str, test: Test, corrected_one: Paired | None) -> tuple[Entry, ...]:
    n = test.found.difference.n
    holm = Entry(None, UNCORRECTED) if corrected_one is None else p_entry(corrected_one.p_adjusted, n)
    numbers = (Entry(test.first), Entry(test.second), with_interval(test.found.difference, 3))
    return (Entry(run.figures[name][1].aimed), *numbers, p_entry(test.found.p, n), holm, Entry(float(n)))
