"""Coding sheets as they are: the header is found by its words, cells are read as what they mean, rows are validated.

Databases put notes above the header (SAMM: 13 lines), blank columns between the columns (CASME II) or leave both out
when somebody saves the sheet again, so nothing is found by position.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from core.errors import BenchError
from core.workbook import Limits, read_workbook

# How each column is called in some sheet, in small letters without anything but letters and digits.
TITLES = {
    "path": {"path", "video", "folder"},
    "subject": {"subject", "subid", "sub", "subjectid"},
    "clip": {"filename", "clip", "clipname", "foldname", "material"},
    "fps": {"fps", "framerate"},
    "onset": {"onset", "onsetframe", "onsetf"},
    "apex": {"apex", "apexframe", "apexf", "apexf1"},
    "offset": {"offset", "offsetframe", "offsetf"},
    "action_units": {"actionunits", "actionunit", "au", "aus"},
    "emotion": {"emotion", "estimatedemotion"},
    "face": {"face"},
}
# A header has these; the rest may be absent. Sheets of clips anywhere (the table adapter) have paths instead.
CODED, LISTED = frozenset({"subject", "clip", "onset", "offset"}), frozenset({"path", "subject", "fps"})
NUMBERS = ("onset", "apex", "offset")
# Cells that say "not coded".
BLANK = {"", "/", "-", "nan", "none", "n/a"}
# Notes above a header; the longest known has 13 lines.
DEEPEST_HEADER = 50
LARGEST_SHEET_BYTES = 20_000_000
# The largest known sheet has some 300 rows and 20 columns.
LIMITS = Limits("a coding sheet", bytes=200_000_000, rows=20_000, columns=200)
# Digits of a number that a sheet may hold; Python refuses to read thousands of them, and nobody means them.
LONGEST_NUMBER = 30
SUFFIXES = (".xlsx", ".xlsm", ".csv")


@dataclass(frozen=True)
class Row:
    """One clip as its coder described it. Frame numbers are the database's own; None where nobody coded them.

    number: which row below the header, from 0. line: the same as a spreadsheet counts. action_units: the raw text.
    """

    number: int
    line: int
    subject: str
    clip: str
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    emotion: str = ""
    action_units: str | None = None
    path: str = ""
    fps: float | None = None
    face: str = ""


@dataclass(frozen=True)
class Sheet:
    """A coding sheet that was understood, with what was odd in it."""

    path: Path
    title: str
    header_line: int
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File and, of a workbook, the sheet."""
        return f"{self.path.name} ({self.title})" if self.title else self.path.name


def read_sheet(path: Path, needs: frozenset[str] = CODED) -> Sheet | None:
    """The table in a workbook or CSV whose header names all that it `needs`; None if there is none.

    Of several, one whose title speaks of micro-expressions, else the first. BenchError for a file that cannot be read.
    """
    found = [
        (title, line, columns, cells)
        for title, cells in _tables(path)
        if (head := _header(cells, needs)) is not None
        for line, columns in [head]
    ]
    if not found:
        return None
    title, line, columns, cells = min(found, key=lambda table: "micro" not in table[0].lower())
    others = [other for other, *_ in found if other != title]
    remarks = [f"also there and not read: {', '.join(others)}"] if others else []
    if twice := _further_codings(cells, line):
        remarks.append(f"further columns called {', '.join(twice)} (a second expression) are not read")
    rows, odd = _validated(_meanings(cells, line, columns))
    return Sheet(path, title, line + 1, rows, (*remarks, *odd))


def _tables(path: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Title and cells of every sheet in a file, without any row taken for a header."""
    if path.suffix.lower() == ".xls":
        raise BenchError(f"{path}: the old Excel format is not read. Save the sheet as .xlsx or .csv beside it.")
    try:
        if path.stat().st_size > LARGEST_SHEET_BYTES:
            raise BenchError(f"{path} is larger than {LARGEST_SHEET_BYTES} bytes; that is no coding sheet.")
        data = path.read_bytes()
        if path.suffix.lower() == ".csv":
            yield "", _table(_lines(path, data.decode("utf-8-sig")))
            return
    except (OSError, ValueError, csv.Error) as error:
        raise BenchError(
            f"{path}: the sheet cannot be read ({' '.join(str(error).split())}). Save it again as .xlsx, or as .csv in"
            " UTF-8."
        ) from None
    yield from ((title, _table(rows)) for title, rows in read_workbook(path, data, LIMITS))


def _lines(path: Path, text: str) -> list[list[str]]:
    """The lines of a CSV. BenchError for more than a coding sheet has: commas alone would fill the memory."""
    lines: list[list[str]] = []
    for line in csv.reader(io.StringIO(text, newline=""), strict=True):
        if len(lines) == LIMITS.rows or len(line) > LIMITS.columns:
            raise BenchError(f"{path}: more than {LIMITS.rows} rows or {LIMITS.columns} columns. Give {LIMITS.what}.")
        lines.append(line)
    return lines


def _table(rows: list[list[Any]]) -> pd.DataFrame:
    """Rows of any length as a table."""
    width = max(map(len, rows), default=0)
    return pd.DataFrame([row + [None] * (width - len(row)) for row in rows], columns=range(width), dtype=object)


def _header(cells: pd.DataFrame, needs: frozenset[str]) -> tuple[int, dict[str, int]] | None:
    """Row index of the header and the column of each field; None where no row names all that is needed."""
    for line in range(min(len(cells), DEEPEST_HEADER)):
        words = [_word(cell) for cell in cells.iloc[line]]
        columns = {
            field: next(column for column, word in enumerate(words) if word in titles)
            for field, titles in TITLES.items()
            if titles & set(words)
        }
        if needs <= set(columns):
            return line, columns
    return None


def _further_codings(cells: pd.DataFrame, line: int) -> list[str]:
    """Titles of columns that code frame numbers once more."""
    words = [_word(cell) for cell in cells.iloc[line]]
    known = set().union(*(TITLES[field] for field in NUMBERS))
    again = [word for column, word in enumerate(words) if word in known and word in words[:column]]
    numbered = [word for word in words if re.sub(r"\d+$", "", word) in known and word not in known]
    return sorted({*again, *numbered})


def _word(cell: object) -> str:
    return re.sub(r"[^a-z0-9]", "", _text(cell).lower())


def _text(cell: object) -> str:
    """A cell as text; 12.0, which Excel makes of 12, as "12"."""
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and cell != cell):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _meanings(cells: pd.DataFrame, header: int, columns: dict[str, int]) -> pd.DataFrame:
    """The known columns below the header under the names of `Row`; rows without any of them are left out."""
    body = cells.iloc[header + 1 :]
    texts = {field: [_text(cell) for cell in body[body.columns[column]]] for field, column in columns.items()}
    texts = {field: texts.get(field, [""] * len(body)) for field in TITLES}
    stripped = {field: [text.strip() for text in column] for field, column in texts.items()}
    filled = [any(row) for row in zip(*stripped.values(), strict=True)]
    meant: dict[str, list[Any]] = stripped | {
        field: [_number(text) for text in stripped[field]] for field in (*NUMBERS, "fps")
    }
    meant["action_units"] = [None if text.strip().lower() in BLANK else text for text in texts["action_units"]]
    meant["number"] = list(range(len(body)))
    meant["line"] = [number + header + 2 for number in meant["number"]]
    table = pd.DataFrame({field: pd.Series(column, dtype=object) for field, column in meant.items()})
    table = table[np.array(filled, bool)].reset_index(drop=True)
    return table


def _number(text: str) -> int | float | str | None:
    """A number, None for "not coded", or the text itself, which validation then names."""
    if text.lower() in BLANK:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value


def _column(check: Callable[[object], bool], message: str, nullable: bool = True) -> pa.Column:
    return pa.Column(object, pa.Check(check, element_wise=True, error=message), nullable=nullable)


def _is_frame(value: object) -> bool:
    return isinstance(value, int) and value >= 0


# What every row must fulfil; a cell that fails is named and counts as not coded.
SCHEMA = pa.DataFrameSchema(
    {
        "subject": _column(bool, "is empty", nullable=False),
        **{field: _column(_is_frame, "is no frame number") for field in NUMBERS},
        "fps": _column(lambda value: isinstance(value, int | float) and 0 < value <= 10_000, "is no frame rate"),
    },
    strict=False,
)


def _validated(table: pd.DataFrame) -> tuple[tuple[Row, ...], list[str]]:
    """Rows that can be used, and what was wrong with cells of others."""
    remarks, bad = [], set()
    try:
        SCHEMA.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for case in errors.failure_cases.to_dict("records"):
            index, field = int(case["index"]), str(case["column"])
            line, shown = table["line"][index], ascii(case["failure_case"])
            bad.add((index, field))
            remarks.append(f"line {line}: the {field} {shown} {case['check']}; taken as not coded")
    rows = []
    for index, record in enumerate(table.to_dict("records")):
        if (index, "subject") not in bad:
            values: dict[str, Any] = {str(name): None if (index, name) in bad else record[name] for name in record}
            rows.append(Row(**values))
    return tuple(rows), sorted(remarks)
