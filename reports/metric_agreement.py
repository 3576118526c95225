"""Metrics against experts: does a metric put two outputs of one cell in the order in which the experts put them?"""

from collections.abc import Sequence

from core.errors import BenchError
from core.judgements import Item, Judgement, means
from core.ranks import rank_agreement
from core.statistics import LEVEL
from reports.experts import with_interval
from reports.leaderboard import arrow
from reports.marks import marked
from reports.run_files import Run
from reports.table import Column, Entry, Section, Table

AGAINST: dict[Item, str] = {
    "sum": "Against the sum",
    "motion": "Against upper and lower face",
    "noise": "Against noise",
}
HOW = (
    "Pairs are two outputs of one cell. Kendall's tau-b counts them all: 1 the same order, 0 chance. Accuracy counts"
    " those that the experts do not tie; a metric's tie is half right, chance is 0.5. In brackets: {level:.0%}"
    " bootstrap intervals; drivers are drawn. The experts' view is their mean, of outputs that all of them judged."
)


def metrics_against_experts(run: Run, judgements: Sequence[Judgement]) -> Table:
    """Return Kendall's tau-b and pairwise accuracy of every figure that has a better direction, with intervals.

    BenchError where no output of the run was judged.
    """
    columns = (
        Column("figure"),
        Column("Kendall tau-b", "↑", 2, "Order of two outputs of one cell: 1 the experts', 0 chance.", "", True),
        Column("pairwise accuracy", "↑", 2, "Share of pairs ordered as the experts do; chance is 0.5.", "", True),
        Column("pairs", "", 0, "Pairs of outputs of one cell with both."),
    )
    sided = [name for name, (_, figure) in run.figures.items() if figure.higher_is_better is not None]
    scored = [name for name in sided if any(run.cell_values(method.label, name) for method in run.facts.methods)]
    without = [name for name in run.figures if name not in sided]
    sections = tuple(
        Section(heading, tuple(_row(run, name, means(judgements, item)) for name in scored))
        for item, heading in AGAINST.items()
    )
    if not any(_outputs(run, means(judgements))):
        raise BenchError(f"{run.folder}: no judged output is of this run. Import sheets with --run {run.folder}.")
    notes = [HOW.format(level=LEVEL)]
    if without:
        notes.append(f"Left out, for neither more nor less is better: {', '.join(without)}.")
    return marked(run, Table("Metrics against experts", columns, sections, tuple(notes)))


def _outputs(run: Run, judged: dict[str, dict[str, float]]) -> list[tuple[str, str]]:
    """Outputs of the run that were judged: (method, cell)."""
    return [
        (method.label, cell.name)
        for method in run.facts.methods
        for cell in run.facts.cells
        if cell.name in judged.get(method.label, {})
    ]


def _row(run: Run, name: str, judged: dict[str, dict[str, float]]) -> tuple[Entry, ...]:
    _, figure = run.figures[name]
    cells = {cell.name: cell for cell in run.facts.cells}
    sign = 1.0 if figure.higher_is_better else -1.0
    both = [
        (sign * value, judged[label][cell], cell, cells[cell].driver)
        for label, cell in _outputs(run, judged)
        if (value := run.of_cell(label, cells[cell], name).value) is not None
    ]
    scores, wanted, places, of_drivers = zip(*both, strict=True) if both else ((), (), (), ())
    found = rank_agreement(scores, wanted, places, of_drivers)
    return (
        Entry(f"{name} {arrow(figure)}".rstrip()),
        with_interval(found.kendall, 2),
        with_interval(found.accuracy, 2),
        Entry(float(found.kendall.n)),
    )
