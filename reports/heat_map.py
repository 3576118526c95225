"""Heat maps of the cells.

Each map shows one figure for every row and cell, tinted according to its distance from the ideal.
"""

from megbench.reports.headlines import headlines
from megbench.reports.marks import marked
from megbench.reports.run_facts import CellFacts, MethodFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

# One note for all missing outputs; the table of what is missing gives the reason for each.
NOT_SUPPLIED = "not supplied (see Missing)"


def heat_maps(run: FinishedRun) -> list[tuple[str, Table]]:
    """Return a heat map, with its figure's name, for each figure that is shown in this form and has a value."""
    return [
        (figure.name, heat_map(run, figure.name))
        for figure in headlines(run)
        if figure.has_heat_map and any(run.cell_values(method.label, figure.name) for method in run.facts.methods)
    ]


def heat_map(run: FinishedRun, figure: str) -> Table:
    """Return a heat map of one figure: a row per cell, linked to its player, and a column per method or control."""
    _, facts = run.figures[figure]
    rows = (*run.methods, *run.controls)
    kinds = ["Methods"] * len(run.methods) + ["Controls"] * len(run.controls)
    columns = (
        Column("cell"),
        *(Column(method.label, decimals=2, group=kind) for method, kind in zip(rows, kinds, strict=True)),
    )

    def number(method: MethodFacts, cell: CellFacts) -> Entry:
        found = run.of_cell(method.label, cell, figure)
        shade = None if found.value is None else facts.shade(found.value)
        seen = "seen" if cell.driver in method.seen_drivers else ""
        why = NOT_SUPPLIED if found.status == "missing" else found.reason or found.status
        return Entry(found.value, why, seen, shade=shade)

    def row(cell: CellFacts) -> tuple[Entry, ...]:
        remark = " · ".join(filter(None, (cell.database, cell.emotion)))
        name = Entry(f"{cell.driver} on {cell.template}", remark=remark, link=f"#cell={cell.name}")
        return (name, *(number(method, cell) for method in rows))

    return marked(run, Table(facts.title, columns, (Section("", tuple(row(cell) for cell in run.facts.cells)),)))
