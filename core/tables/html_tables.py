"""Read the tables of an HTML page as saved by spreadsheet programs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from megbench.core.errors import BenchError
from megbench.core.tables.sheet import Merged, Sheet, SheetLimits, trimmed

MOST_TABLES = 50


def read_page(path: Path, text: str, limits: SheetLimits) -> list[Sheet]:
    """Return every table of a page. Raise BenchError if the page has no table, ends within a tag or is too large."""
    page = _Page(path, limits)
    try:
        page.feed(text)
    except AssertionError as error:  # what HTMLParser raises on malformed declarations
        raise BenchError(f"{path} is not a readable page ({error}). Save the sheet as XLSX or CSV.") from None
    # A remaining "<" opens something that is never closed. The parser would read on character by character, which takes
    # quadratic time.
    if "<" in page.rawdata:
        raise BenchError(f"{path}: the page ends within a tag, a comment or a script. Save the sheet as XLSX or CSV.")
    page.close()
    if not page.tables:
        raise BenchError(
            f"{path} has no table. If it is a workbook saved as HTML, pass a sheet from {path.stem}.files/."
        )
    return [Sheet("", trimmed(rows), tuple(merged)) for rows, merged in zip(page.tables, page.merged, strict=True)]


class _Page(HTMLParser):
    """A collector of tables. A merged cell's text goes into its top left cell; the others that it covers are blank."""

    def __init__(self, path: Path, limits: SheetLimits) -> None:
        super().__init__(convert_charrefs=True)
        self._path, self._limits = path, limits
        self.tables: list[list[list[str]]] = []
        self.merged: list[list[Merged]] = []
        self._covered: dict[int, int] = {}  # how many more rows a merged cell covers, by column
        self._cell: list[str] | None = None
        self._silent = 0
        self._row_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a table, row or cell."""
        if tag in ("script", "style"):
            self._silent += 1
        elif tag == "table":
            if len(self.tables) == MOST_TABLES:
                raise BenchError(f"{self._path} has more than {MOST_TABLES} tables. Pass {self._limits.what}.")
            self.tables.append([])
            self.merged.append([])
            self._covered, self._cell, self._row_open = {}, None, False
        elif tag == "tr" and self.tables:
            self._finish_row()
            if len(self.tables[-1]) > self._limits.rows:
                raise self._too_large()
            self.tables[-1].append([])
            self._row_open = True
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self._finish_cell()
            self._open_cell(dict(attrs))
        elif tag == "br" and self._cell is not None:
            self._cell.append(" ")

    def _open_cell(self, attributes: dict[str, str | None]) -> None:
        row = self.tables[-1][-1]
        self._skip_covered(row)
        if len(row) > self._limits.columns:
            raise self._too_large()
        down = _span(attributes.get("rowspan"), self._limits.rows)
        right = _span(attributes.get("colspan"), self._limits.columns)
        self._place = len(row)
        if down > 1:
            number = len(self.tables[-1]) - 1
            self.merged[-1].append(Merged(number, self._place, number + down - 1))
            self._covered |= dict.fromkeys(range(self._place, self._place + right), down - 1)
        row.extend([""] * right)
        self._cell = []

    def _skip_covered(self, row: list[str]) -> None:
        while self._covered.get(len(row), 0) > 0:
            self._covered[len(row)] -= 1
            row.append("")

    def _finish_row(self) -> None:
        self._finish_cell()
        if self._row_open:
            self._skip_covered(self.tables[-1][-1])
            self._row_open = False

    def _finish_cell(self) -> None:
        if self._cell is not None:
            self.tables[-1][-1][self._place] = " ".join("".join(self._cell).split())
            self._cell = None

    def handle_endtag(self, tag: str) -> None:
        """Close a cell or row."""
        if tag in ("script", "style"):
            self._silent = max(0, self._silent - 1)
        elif tag in ("td", "th"):
            self._finish_cell()
        elif tag in ("tr", "table"):
            self._finish_row()

    def handle_data(self, data: str) -> None:
        """Collect the text of a cell."""
        if self._cell is not None and not self._silent:
            self._cell.append(data)

    def _too_large(self) -> BenchError:
        most = self._limits
        return BenchError(f"{self._path} has more than {most.rows} rows or {most.columns} columns. Pass {most.what}.")


def _span(text: str | None, most: int) -> int:
    """Return a rowspan or colspan between 1 and `most`, so that a small page cannot become a large grid."""
    number = int(text) if text and re.fullmatch(r"\s*[0-9]{1,6}\s*", text) else 1
    return min(max(number, 1), most)
