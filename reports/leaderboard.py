"""The tables of a run's scores (leaderboard, breakdowns and list of all figures), and the floor set by chance."""

from collections.abc import Callable

import numpy as np

from megbench.core.figures import PICTURE
from megbench.reports import selfcheck
from megbench.reports.headlines import FAMILY, RANKED_BY, column, entry, explanation, headlines, left_out
from megbench.reports.intervals import compared, groups, intervals
from megbench.reports.judged import with_experts
from megbench.reports.marks import marked
from megbench.reports.run_facts import MethodFacts, MetricFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

# The number of columns in the terminal's table if a run has none of the brief figures.
FEW = 6
FLOOR_CONTROL = "wrong_driver"
# A percentile over fewer cells is hardly more than their maximum.
FEWEST_FOR_FLOOR = 5
# The scopes by which cells can be broken down.
SCOPES = ("database", "emotion", "template")
TIED = (
    "Methods that share a number cannot be told apart in {} on these drivers (paired differences by cell, signs flipped"
    " by driver, Holm's correction over all pairs, 5 %)."
)


def leaderboard(run: FinishedRun) -> Table:
    """Return the leaderboard: tied groups, headline figures over all cells with intervals, time, and experts' means."""
    chosen = headlines(run)
    drawn = {figure.name: intervals(run, figure.name) for figure in chosen}
    ties = groups(compared(run, RANKED_BY))
    tie_column = Column("tied", note=TIED.format(RANKED_BY), brief=True)
    columns = [Column("method"), *([tie_column] if ties else []), *(column(run, figure) for figure in chosen)]
    columns.append(
        Column(
            "s/frame",
            "↓",
            3,
            "Seconds per frame when each cell was made; cells reused from earlier runs keep their time.",
            "Time",
            False,
        )
    )

    def row(method: MethodFacts) -> tuple[Entry, ...]:
        scores = (
            entry(run.combined(method.label, figure.name), interval=drawn[figure.name].get(method.label))
            for figure in chosen
        )
        tie = [ties.get(method.label, Entry(""))] if ties else []
        return (Entry(method.label), *tie, *scores, _time(method))

    board = Table("Leaderboard: means over cells", tuple(columns), _sections(run, row))
    return marked(run, with_experts(run, board))


def _time(method: MethodFacts) -> Entry:
    """Return a row's seconds per frame, absent for outputs made elsewhere, which are only read here."""
    if method.name == "outputs":
        return Entry(None, "made elsewhere; only read here")
    return Entry(method.seconds_per_frame, "not timed")


def brief(run: FinishedRun) -> Table:
    """Return the leaderboard for a terminal of 100 columns, with the run's first figures if none is brief."""
    shown = headlines(run)
    chosen = [figure for figure in shown if figure.brief] or shown[:FEW]
    columns = (Column("method"), *(column(run, figure) for figure in chosen))

    def row(method: MethodFacts) -> tuple[Entry, ...]:
        return (Entry(method.label), *(entry(run.combined(method.label, figure.name)) for figure in chosen))

    lost = tuple(f"Left out: {line}." for line in left_out(run, only_brief=True))
    if not chosen:
        lost += (
            f"No figure of {', '.join(metric.name for metric in run.facts.metrics)} is shown here; see scores.csv.",
        )
    return marked(run, Table("Leaderboard: means over cells", columns, _sections(run, row), lost))


def _sections(run: FinishedRun, row: Callable[[MethodFacts], tuple[Entry, ...]]) -> tuple[Section, ...]:
    parts = (("Methods", run.methods), ("Controls", run.controls))
    return tuple(Section(heading, tuple(row(method) for method in methods)) for heading, methods in parts if methods)


def breakdown(run: FinishedRun, scope: str) -> Table:
    """Return agreement, gain and error of every row for each database, emotion or template in turn."""
    chosen = [figure for figure in headlines(run) if figure.name in FAMILY]
    groups = run.groups(scope)
    columns = (Column("method"), *(column(run, figure, group) for group in groups for figure in chosen))

    def row(method: MethodFacts) -> tuple[Entry, ...]:
        found = (run.combined(method.label, figure.name, scope, group) for group in groups for figure in chosen)
        return (Entry(method.label), *map(entry, found))

    return marked(run, Table(f"By {scope}", columns, _sections(run, row)))


def all_figures(run: FinishedRun) -> Table:
    """Return every figure of every metric, with a row per figure and a column per method and control."""
    labels = [method.label for method in (*run.methods, *run.controls)]
    columns = (Column("figure"), *(Column(label) for label in labels))

    def rows(metric: MetricFacts) -> tuple[tuple[Entry, ...], ...]:
        return tuple(
            (
                Entry(f"{figure.name} {figure.arrow}".rstrip(), remark=figure.unit),
                *(entry(run.over_all(label, metric, figure)) for label in labels),
            )
            for figure in metric.figures
        )

    sections = tuple(Section(f"{m.name} {m.version}", rows(m)) for m in run.facts.metrics)
    return marked(run, Table("All figures, means over cells", columns, sections))


def notes(run: FinishedRun) -> list[tuple[MetricFacts, list[str]]]:
    """Return every metric with a paragraph on each of its figures."""
    return [
        (metric, [explanation(metric, figure) + selfcheck.sentence(metric, figure) for figure in metric.figures])
        for metric in run.facts.metrics
    ]


def explained(run: FinishedRun) -> list[tuple[str, str]]:
    """Return the rows of this run that belong to the suite itself, with their purposes."""
    return [(method.label, method.purpose) for method in run.facts.methods if method.purpose]


def has_guards(run: FinishedRun) -> bool:
    """Return whether the leaderboard has a column of a guard."""
    return any(figure.group == PICTURE for figure in headlines(run))


def floor(run: FinishedRun, figure: str = "agreement") -> float | None:
    """Return the 95th percentile of the wrong-driver control's scores, which a wrong expression can reach by chance.

    Return None if that control did not run or scored no cell.
    """
    values = run.cell_values(FLOOR_CONTROL, figure)
    return float(np.percentile(values, 95)) if values else None


def floor_caution(run: FinishedRun, figure: str = "agreement") -> str:
    """Return a warning about a floor from few cells, or "" if there are enough cells or there is no floor."""
    cells = len(run.cell_values(FLOOR_CONTROL, figure))
    if not 0 < cells < FEWEST_FOR_FLOOR:
        return ""
    of = f"{cells} cells says" if cells > 1 else "one cell says"
    return (
        f"Caution: a percentile of {of} little about what can be scored by chance; at least {FEWEST_FOR_FLOOR} are"
        " needed."
    )


def above_ceiling(run: FinishedRun, figure: str = "agreement") -> list[str]:
    """Return the labels of the methods above the ceiling; [] if drivers are rendered or there is no ceiling."""
    if all(method.label != "ceiling" for method in run.facts.methods) or any(cell.rendered for cell in run.facts.cells):
        return []
    bar = run.combined("ceiling", figure).value
    found = {method.label: run.combined(method.label, figure).value for method in run.methods}
    return [label for label, value in found.items() if bar is not None and value is not None and value > bar]


def why_no_floor(run: FinishedRun) -> str:
    """Return why the floor is absent and, if a run can have one, how to get it; "" if there is one."""
    if floor(run) is not None:
        return ""
    if all(method.label != FLOOR_CONTROL for method in run.facts.methods):
        drivers = len({cell.driver for cell in run.facts.cells})
        if drivers == 1:
            return "there is only one driver"
        if not run.controls:
            return "no controls were run; the same command without --no-controls runs them"
        return f"the control {FLOOR_CONTROL} is not in this run"
    return f"no cell of the control {FLOOR_CONTROL} has a score"


def under_floor(run: FinishedRun, figure: str = "agreement") -> list[str]:
    """Return the labels of the methods that do not exceed the floor, or [] if there is no floor."""
    bar = floor(run, figure)
    found = {method.label: run.combined(method.label, figure).value for method in run.methods}
    return [label for label, value in found.items() if bar is not None and value is not None and value <= bar]
