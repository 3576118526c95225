"""Score sheets as grids of text: CSV, XLSX, and pages that a spreadsheet saved as HTML.

Sheets come from strangers. Nothing in them is run: formulas count by the value that was saved with them. Sizes are
limited, and what a file is goes by its content, not its name (a page is often called .xls).
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from core.errors import BenchError
from core.workbook import MOST_SHEETS, Limits, read_workbook

LARGEST_BYTES = 5_000_000
LARGEST_UNPACKED_BYTES = 50_000_000
MOST_ROWS, MOST_COLUMNS, LONGEST_TEXT = 20_000, 60, 200
ENCODINGS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-8": b"\xef\xbb\xbf"}


@dataclass(frozen=True)
class Grid:
    """One sheet: `rows` of cells as text, blank for nothing; the first row is the file's row 1. `name`: the sheet's."""

    name: str
    rows: list[list[str]]


def read_grids(path: Path) -> list[Grid]:
    """All sheets of a file. BenchError if it cannot be read, is too large, or is not a sheet."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror}). Give CSV, XLSX or HTML files.") from None
    if len(data) > LARGEST_BYTES:
        raise BenchError(f"{path}: larger than {LARGEST_BYTES} bytes. Give a score sheet.")
    if data.startswith(b"PK"):
        grids = _read_workbook(path, data)
    elif data.startswith(b"\xd0\xcf\x11\xe0"):
        raise BenchError(f"{path}: an old Excel workbook or a locked one. Save it as XLSX, without a password.")
    else:
        grids = _read_text(path, data)
    for grid in grids:
        while grid.rows and not any(grid.rows[-1]):
            grid.rows.pop()
        if len(grid.rows) > MOST_ROWS or max(map(len, grid.rows), default=0) > MOST_COLUMNS:
            raise _too_large(path)
    return grids


def _too_large(path: Path) -> BenchError:
    return BenchError(f"{path}: more than {MOST_ROWS} rows or {MOST_COLUMNS} columns. Give a score sheet.")


def _read_text(path: Path, data: bytes) -> list[Grid]:
    text = _decoded(path, data)
    if re.match(r"\s*MIME-Version:", text, re.IGNORECASE):
        raise BenchError(f"{path}: a web archive. Save the sheet as XLSX or CSV.")
    if not re.search(r"<(html|table|frameset)\b", text[:10_000], re.IGNORECASE):
        return [Grid(path.stem, _read_csv(path, text))]
    page = _Page(path)
    try:
        page.feed(text)
    except AssertionError as error:  # what HTMLParser raises on declarations that are none
        raise BenchError(f"{path}: not a readable page ({error}). Save the sheet as XLSX or CSV.") from None
    # What is left was opened and never closed. The parser would take it letter by letter, in quadratic time.
    if "<" in page.rawdata:
        raise BenchError(f"{path}: the page ends within a tag, a remark or a script. Save the sheet as XLSX or CSV.")
    page.close()
    if not page.tables:
        raise BenchError(f"{path}: no table in it. A workbook saved as HTML keeps its sheets in {path.stem}.files/.")
    return [Grid(path.stem, rows) for rows in page.tables]


def _decoded(path: Path, data: bytes) -> str:
    """Text by its mark, by what the page says of itself, as UTF-8, else as GB18030 (which holds gb2312 and gbk)."""
    for encoding, mark in ENCODINGS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    said = re.search(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]+)", data[:4096])
    name = said.group(1).decode("ascii").lower() if said else ""
    declared = {"gb2312": "gb18030", "gbk": "gb18030"}.get(name, name)
    for encoding in filter(None, (declared, "utf-8", "gb18030")):
        try:
            return data.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    raise BenchError(f"{path}: neither UTF-8 nor gb2312 text. Save it as CSV in UTF-8, or as XLSX.")


def _read_csv(path: Path, text: str) -> list[list[str]]:
    """Rows of a CSV file with commas, semicolons or tabs; lines that begin with # are remarks and become blank rows."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    delimiter = max(",;\t", key=first.count)
    body = "\n".join("" if line.startswith("#") else line for line in lines)
    try:
        return [
            [_text(cell) for cell in row] for row in csv.reader(io.StringIO(body), delimiter=delimiter, strict=True)
        ]
    except csv.Error as error:
        raise BenchError(f"{path}: not a readable CSV file ({error}). Save it as CSV in UTF-8, or as XLSX.") from None


def _read_workbook(path: Path, data: bytes) -> list[Grid]:
    limits = Limits("a score sheet", LARGEST_UNPACKED_BYTES, MOST_ROWS, MOST_COLUMNS)
    sheets = read_workbook(path, data, limits)
    return [Grid(title, [_trimmed([_text(value) for value in row]) for row in rows]) for title, rows in sheets]


def _trimmed(cells: list[str]) -> list[str]:
    """Cells without the blank ones at the end."""
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _text(value: Any) -> str:
    """A cell as one line of text: whole numbers without a point, at most LONGEST_TEXT characters."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split())[:LONGEST_TEXT]


class _Page(HTMLParser):
    """The tables of a page. A merged cell stands at its top left, the cells it covers are blank, as in a workbook."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self._path = path
        self.tables: list[list[list[str]]] = []
        self._covered: dict[int, int] = {}  # column -> rows below that a merged cell still covers
        self._cell: list[str] | None = None
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a table, row or cell."""
        if tag in ("script", "style"):
            self._silent += 1
        elif tag == "table":
            if len(self.tables) == MOST_SHEETS:
                raise BenchError(f"{self._path}: more than {MOST_SHEETS} tables. Give a score sheet.")
            self.tables.append([])
            self._covered, self._cell = {}, None
        elif tag == "tr" and self.tables:
            self._finish_cell()
            if len(self.tables[-1]) > MOST_ROWS:
                raise _too_large(self._path)
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self._finish_cell()
            self._open_cell(dict(attrs))
        elif tag == "br" and self._cell is not None:
            self._cell.append(" ")

    def _open_cell(self, attributes: dict[str, str | None]) -> None:
        row = self.tables[-1][-1]
        self._skip_covered(row)
        if len(row) > MOST_COLUMNS:
            raise _too_large(self._path)
        down, right = _span(attributes.get("rowspan"), MOST_ROWS), _span(attributes.get("colspan"), MOST_COLUMNS)
        for column in range(len(row), len(row) + right):
            if down > 1:
                self._covered[column] = down - 1
        self._place = len(row)
        row.extend([""] * right)
        self._cell = []

    def _skip_covered(self, row: list[str]) -> None:
        while self._covered.get(len(row), 0) > 0:
            self._covered[len(row)] -= 1
            row.append("")

    def _finish_cell(self) -> None:
        if self._cell is not None:
            self.tables[-1][-1][self._place] = _text("".join(self._cell))
            self._cell = None

    def handle_endtag(self, tag: str) -> None:
        """Close a cell or row."""
        if tag in ("script", "style"):
            self._silent = max(0, self._silent - 1)
        elif tag in ("td", "th", "tr", "table"):
            self._finish_cell()
            if tag == "tr" and self.tables and self.tables[-1]:
                self._skip_covered(self.tables[-1][-1])

    def handle_data(self, data: str) -> None:
        """Text inside a cell."""
        if self._cell is not None and not self._silent:
            self._cell.append(data)


def _span(text: str | None, most: int) -> int:
    """A rowspan or colspan, at least 1 and at most `most`, so that a small page cannot become a large grid."""
    number = int(text) if text and re.fullmatch(r"\s*[0-9]{1,6}\s*", text) else 1
    return min(max(number, 1), most)
