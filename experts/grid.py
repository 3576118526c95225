"""Score sheets as grids of short strings, from CSV files, workbooks, and HTML pages saved by a spreadsheet program.

The text of a merged cell is in its first row only, as in a CSV export; megbench.experts.sheet fills in the other rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megbench.core.tables.reading import read_sheets
from megbench.core.tables.sheet import SheetLimits, whole

LARGEST_BYTES = 5_000_000
LIMITS = SheetLimits("a score sheet", LARGEST_BYTES, rows=20_000, columns=60, unpacked=50_000_000, pages=True)
LONGEST_TEXT = 200


@dataclass(frozen=True)
class Grid:
    """One sheet and its name. `rows`: the cells as text, "" if empty; the first row is row 1 of the file."""

    name: str
    rows: list[list[str]]


def read_grids(path: Path) -> list[Grid]:
    """Return all sheets of a file; rows that begin with # are comments and are left blank.

    Raise BenchError if the file cannot be read, is too large, or is not a table.
    """
    return [Grid(sheet.title or path.stem, [_cells(row) for row in sheet.rows]) for sheet in read_sheets(path, LIMITS)]


def _cells(row: list[str]) -> list[str]:
    """Return the cells of a row, each as one line of at most LONGEST_TEXT characters; 2.0 becomes 2."""
    if row and row[0].startswith("#"):
        return []
    return [whole(" ".join(cell.split())[:LONGEST_TEXT]) for cell in row]
