"""Score sheets as grids of short texts, from CSV, workbooks, and pages that a spreadsheet saved as HTML.

The text of a merged cell is in its first row only, as in a CSV saved from it; megbench.experts.sheet fills in the rest.
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
    """One sheet: `rows` of cells as text, blank for nothing; the first row is the file's row 1. `name`: the sheet's."""

    name: str
    rows: list[list[str]]


def read_grids(path: Path) -> list[Grid]:
    """Return all sheets of a file; rows that begin with # are comments and become blank.

    Raise BenchError if it cannot be read, is too large, or is not a table.
    """
    return [Grid(sheet.title or path.stem, [_cells(row) for row in sheet.rows]) for sheet in read_sheets(path, LIMITS)]


def _cells(row: list[str]) -> list[str]:
    """Return the cells of a row, each on one line and cut to LONGEST_TEXT characters, 2.0 as 2."""
    if row and row[0].startswith("#"):
        return []
    return [whole(" ".join(cell.split())[:LONGEST_TEXT]) for cell in row]
