"""Tables for printing: columns that are folded on a screen are split over several narrow tables."""

import dataclasses
import itertools

from megbench.reports.table import Table

# The number of columns that fit beside the first one on an A4 page in portrait format.
MOST = 8


def for_paper(table: Table) -> list[Table]:
    """Split a table into tables of at most 9 columns: each has the first column, and groups stay together if they fit.

    The footnotes are placed below the last table.
    """
    parts: list[list[str]] = [[]]
    columns = zip(table.keys()[1:], table.columns[1:], strict=True)
    for _, group in itertools.groupby(columns, key=lambda column: column[1].group):
        keys = [key for key, _ in group]
        for start in range(0, len(keys), MOST):
            piece = keys[start : start + MOST]
            if len(parts[-1]) + len(piece) > MOST:
                parts.append([])
            parts[-1] += piece
    if len(parts) == 1:
        return [table]
    made = [
        dataclasses.replace(table.only(part), title=f"{table.title} ({number} of {len(parts)})", footnotes=())
        for number, part in enumerate(parts, 1)
    ]
    return [*made[:-1], dataclasses.replace(made[-1], footnotes=table.footnotes)]
