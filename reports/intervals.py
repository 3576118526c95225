"""How certain a run's means are: bootstrap intervals by driver, and which methods cannot be told apart."""

from collections.abc import Mapping, Sequence

from megbench.core.statistics import (
    ALPHA,
    FEWEST_CLUSTERS,
    LEAST_P,
    P_DECIMALS,
    UNTESTED,
    Interval,
    Paired,
    bootstrap_mean,
    paired_all,
    smallest_p,
    tied_groups,
    why_untestable,
)
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

FLIPS = (
    "Differences are means over cells, first minus second, each with its 95 % interval, which resamples drivers;"
    " with fewer than five drivers there is no interval. The p-value comes from flipping signs by driver (every"
    ' combination for up to 14 drivers) and holds for one pair chosen beforehand; "p, Holm" holds for all pairs in this'
    " table together."
)


def intervals(run: FinishedRun, figure: str) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of a figure's mean over cells for each row, resampling drivers with all their cells.

    Rows with fewer than five drivers have no interval, nor do figures that are not means over cells.
    """
    if figure not in run.figures or run.figures[figure][1].pooling != "mean":
        return {}
    found = {}
    for method in run.facts.methods:
        values = of_cells(run, method.label, figure)
        mean = bootstrap_mean(list(values.values()), [of_drivers(run)[cell] for cell in values])
        if mean.low is not None and mean.high is not None:
            found[method.label] = (mean.low, mean.high)
    return found


def compared(run: FinishedRun, figure: str) -> dict[tuple[str, str], Paired]:
    """Return the paired differences in a figure for every pair of methods that have it, keyed by pair.

    Within a pair, the method with the higher mean comes first. p-values are Holm-corrected over all pairs.
    """
    values = {method.label: of_cells(run, method.label, figure) for method in run.methods}
    values = {label: cells for label, cells in values.items() if cells}
    order = sorted(values, key=lambda label: -sum(values[label].values()) / len(values[label]))
    return paired_all({label: values[label] for label in order}, of_drivers(run))


def groups(pairs: Mapping[tuple[str, str], Paired]) -> dict[str, Entry]:
    """Return the numbers of each method's tied groups, such as "1 2". pairs: all pairs, the better method first.

    A method that no test could separate from any other gets the reason instead. Return {} if there are no pairs.
    """
    order = list(dict.fromkeys(label for pair in pairs for label in pair))
    found: dict[str, Entry] = {}
    for label, numbers in tied_groups(order, pairs).items():
        why = why_untestable([pair for names, pair in pairs.items() if label in names], len(pairs))
        found[label] = Entry(None, why) if why else Entry(" ".join(map(str, numbers)))
    return found


def of_cells(run: FinishedRun, label: str, figure: str) -> dict[str, float]:
    """Return the scored values of a figure by cell name."""
    found = {cell.name: run.of_cell(label, cell, figure).value for cell in run.facts.cells}
    return {name: value for name, value in found.items() if value is not None}


def of_drivers(run: FinishedRun) -> dict[str, str]:
    """Return the driver of each cell."""
    return {cell.name: cell.driver for cell in run.facts.cells}


def differences_table(run: FinishedRun, figure: str) -> Table | None:
    """Return the paired differences in a figure between all pairs of methods, or None if there are no pairs."""
    pairs = compared(run, figure)
    return paired_table(f"Paired differences in {figure}", pairs) if pairs else None


def paired_table(title: str, pairs: Mapping[tuple[str, str], Paired], decimals: int = 2) -> Table:
    """Return differences (first minus second) with intervals, and p-values for each pair alone and for all pairs."""
    columns = (
        Column("pair"),
        Column("difference", "", decimals, "First minus second, mean over cells."),
        Column("p", "↓", P_DECIMALS, "Signs flipped by driver, for this pair alone."),
        Column("p, Holm", "↓", P_DECIMALS, "Corrected for the number of pairs."),
        *(Column("cells", "", 0), Column("drivers", "", 0)),
    )
    rows = tuple(
        (
            Entry(f"{first} - {second}"),
            with_interval(found.difference, decimals),
            *(p_entry(p, found.difference.n) for p in (found.p, found.p_adjusted)),
            *(Entry(float(count)) for count in (found.difference.n, found.difference.n_clusters)),
        )
        for (first, second), found in pairs.items()
    )
    return Table(title, columns, (Section("", rows),), (FLIPS, *unseparated(list(pairs.values()))))


def unseparated(pairs: Sequence[Paired]) -> list[str]:
    """Return why no test over all these pairs can separate two rows, and what else can; [] if some test can."""
    why = why_untestable(pairs, len(pairs))
    if not why:
        return []
    drivers = max(found.difference.n_clusters for found in pairs)
    alone = ["p, for a pair chosen beforehand"] if (smallest_p(drivers) or 1) < ALPHA else []
    drawn = ["the interval of a difference"] if drivers >= FEWEST_CLUSTERS else []
    still = (
        f"These can still separate rows: {' and '.join([*alone, *drawn])}."
        if alone or drawn
        else "Separating them requires more drivers."
    )
    return [f"No test could separate these rows after Holm's correction ({why}). {still}"]


def with_interval(found: Interval, decimals: int) -> Entry:
    """Return a value with its interval as a remark, or the reason if it is absent."""
    if found.value is None:
        return Entry(None, found.reason)
    if found.low is None or found.high is None:
        return Entry(found.value, remark="no interval")
    return Entry(found.value, remark=f"{found.low:.{decimals}f} to {found.high:.{decimals}f}")


def p_entry(p: float | None, cells: int) -> Entry:
    """Return a p-value, shown as "< 0.001" if it is smaller, or the reason if there is none."""
    return Entry(p, UNTESTED if cells else "no cell has a score in both rows", least=LEAST_P)
