"""Experts' scores for a run's rows beside the measured ones, as columns of the leaderboard."""

import dataclasses

from megbench.experts.judgements import BEST, FILE, ITEMS, PERFECT, Item, Judgement, read_judgements
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

GROUP = "Experts, means"
NOTE = "Mean over experts and the videos that they judged, from 0 (completely incorrect) to {} (excellent)."
SHOWN: tuple[Item, ...] = (*ITEMS, "sum")


def with_experts(run: FinishedRun, table: Table) -> Table:
    """Add the experts' mean scores for the rows' videos to a table whose first column names the rows.

    For a run without judgements, return the table unchanged.
    """
    if not (run.folder / FILE).exists():
        return table
    judgements = read_judgements(run.folder / FILE)
    columns = [Column(item, "↑", 2, NOTE.format(PERFECT if item == "sum" else BEST), GROUP, True) for item in SHOWN]
    cells = len(run.facts.cells)

    def entries(label: object) -> tuple[Entry, ...]:
        mine = [judgement for judgement in judgements if judgement.method == label]
        return tuple(_mean(mine, item, cells) for item in SHOWN)

    sections = tuple(
        Section(section.heading, tuple((*row, *entries(row[0].value)) for row in section.rows))
        for section in table.sections
    )
    return dataclasses.replace(table, columns=(*table.columns, *columns), sections=sections)


def _mean(judgements: list[Judgement], item: Item, cells: int) -> Entry:
    if not judgements:
        return Entry(None, "not judged")
    videos = len({judgement.cell for judgement in judgements})
    mean = sum(judgement.score(item) for judgement in judgements) / len(judgements)
    return Entry(mean, remark=f"{videos}/{cells}" if videos < cells else "")
