"""Heat maps of the cells: one figure of every row in every cell, tinted by how right it is."""

from collections.abc import Callable

from megbench.reports.leaderboard import headlines
from megbench.reports.marks import marked
from megbench.reports.run_facts import CellFacts, MethodFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

# Figures with a heat map, and what tints a value: 1 is right, 0 what a still face has, below 0 worse than that.
HEAT: dict[str, Callable[[float], float]] = {
    "agreement": lambda value: value,
    "gain": lambda value: 1 - abs(value - 1),
    "error": lambda value: 1 - value,
    "agreement_truth": lambda value: value,
    "gain_truth": lambda value: 1 - abs(value - 1),
    "error_truth": lambda value: 1 - value,
}

# One note for all of them; the table of what is missing has each one's reason.
NOT_SUPPLIED = "not supplied (see Missing)"


def heat_maps(run: FinishedRun) -> list[tuple[str, Table]]:
    """A heat map of the cells for each figure of HEAT that has a value somewhere, with the figure's name."""
    shown = {line.figure for _, line in headlines(run)}
    return [
        (figure, heat_map(run, figure))
        for figure in HEAT
        if figure in shown and any(run.cell_values(method.label, figure) for method in run.facts.methods)
    ]


def heat_map(run: FinishedRun, figure: str) -> Table:
    """Return one figure of every cell, a column per method and control; each row links to the cell's player."""
    rows = (*run.methods, *run.controls)
    kinds = ["Methods"] * len(run.methods) + ["Controls"] * len(run.controls)
    columns = (
        Column("cell"),
        *(Column(method.label, decimals=2, group=kind) for method, kind in zip(rows, kinds, strict=True)),
    )

    def number(method: MethodFacts, cell: CellFacts) -> Entry:
        found = run.of_cell(method.label, cell, figure)
        shade = None if found.value is None else min(max(HEAT[figure](found.value), -1.0), 1.0)
        seen = "seen" if cell.driver in method.seen_drivers else ""
        why = NOT_SUPPLIED if found.status == "missing" else found.reason or found.status
        return Entry(found.value, why, seen, shade=shade)

    def row(cell: CellFacts) -> tuple[Entry, ...]:
        remark = " · ".join(filter(None, (cell.database, cell.emotion)))
        name = Entry(f"{cell.driver} on {cell.template}", remark=remark, link=f"#cell={cell.name}")
        return (name, *(number(method, cell) for method in rows))

    title = run.figures[figure][1].title
    return marked(run, Table(title, columns, (Section("", tuple(row(cell) for cell in run.facts.cells)),)))
