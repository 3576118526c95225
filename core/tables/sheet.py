"""A sheet: the cells of a table as text, whatever the type of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass

DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
WHOLE = re.compile(r"\s*(\d+)[.,]0\s*")


@dataclass(frozen=True)
class SheetLimits:
    """The limits on a file: `bytes` on disk, bytes `unpacked`, rows and columns. what: what messages call the file."""

    what: str
    bytes: int
    rows: int
    columns: int
    unpacked: int = 200_000_000
    pages: bool = False  # whether tables of an HTML page are accepted


@dataclass(frozen=True)
class Merged:
    """A merged cell: the `row` and `column` of its top left cell, and the `last` row that it covers, counted from 0."""

    row: int
    column: int
    last: int


@dataclass(frozen=True)
class Sheet:
    """One table of a file.

    title: the title of the worksheet, "" for a CSV. rows: the cells' text, "" for an empty cell; rows may differ in
    length, and there are no blank rows at the end. merged: cells that cover rows below them; the covered cells are
    blank in `rows`. decimal_comma: whether a comma in a number is the decimal mark, as it is unless commas separate the
    columns.
    """

    title: str
    rows: list[list[str]]
    merged: tuple[Merged, ...] = ()
    decimal_comma: bool = True

    def lines(self) -> list[tuple[int, list[str]]]:
        """Return the rows that are not blank, each with its number, counted from 1."""
        return [(number, row) for number, row in enumerate(self.rows, 1) if any(cell.strip() for cell in row)]

    def filled(self) -> list[list[str]]:
        """Return the rows, with the text of a merged cell in every row that it covers. A blank row stays blank."""
        rows = [list(row) for row in self.rows]
        written = {number - 1 for number, _ in self.lines()}
        for cell in self.merged:
            if cell.row >= len(rows) or cell.column >= len(rows[cell.row]):
                continue
            for number in range(cell.row + 1, min(cell.last + 1, len(rows))):
                if number in written:
                    rows[number] += [""] * (cell.column + 1 - len(rows[number]))
                    rows[number][cell.column] = rows[cell.row][cell.column]
        return rows

    def number(self, text: str) -> float | None:
        """Return the number in a cell ("29.97"; "29,97" with a decimal comma), or None for any other text.

        Thousands are never grouped in these tables: "1.234,5" is not a number.
        """
        text = text.strip()
        if self.decimal_comma and DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        try:
            return None if "_" in text else float(text)
        except ValueError:
            return None


def whole(text: str) -> str:
    """Return "12" for "12.0" and "12,0"; return other text unchanged.

    Programs write whole numbers in these forms in columns that also contain fractions.
    """
    found = WHOLE.fullmatch(text)
    return found[1] if found else text


def trimmed(rows: list[list[str]]) -> list[list[str]]:
    """Return rows without the blank cells at the end of each row and without the blank rows at the end."""
    kept = [row[: next((i for i in range(len(row), 0, -1) if row[i - 1]), 0)] for row in rows]
    while kept and not kept[-1]:
        kept.pop()
    return kept
