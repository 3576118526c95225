"""Workbooks (XLSX) of strangers as rows of values: nothing in them is run, and no file may swell without end."""

from __future__ import annotations

import io
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BenchError

# Sheets of one workbook; a few bytes declare a sheet of a million blank rows, so that they must be counted first.
MOST_SHEETS = 50
# Cells of one sheet, blank ones counted: a sheet may be formatted down to its last row, and that takes a second.
MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class Limits:
    """What is read of one workbook; `what` it should be, for messages. bytes: unpacked."""

    what: str
    bytes: int
    rows: int
    columns: int


def read_workbook(path: Path, data: bytes, limits: Limits) -> list[tuple[str, list[list[Any]]]]:
    """Title and rows of every sheet, without blank cells and rows at the end; formulas by the value saved with them.

    BenchError for what is no workbook, or larger than `limits` when unpacked.
    """
    from openpyxl import load_workbook

    try:
        _check_parts(path, data, limits)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that do not matter here
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            if len(book.worksheets) > MOST_SHEETS:
                raise BenchError(f"{path}: more than {MOST_SHEETS} sheets. Give {limits.what}.")
            return [(str(sheet.title), _rows(path, sheet, limits)) for sheet in book.worksheets]
    except BenchError:
        raise
    except Exception as error:  # whatever zip files, XML and openpyxl raise on damaged data
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise BenchError(f"{path}: not a readable XLSX workbook ({reason}). Save it anew, or as CSV.") from None


def _check_parts(path: Path, data: bytes, limits: Limits) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > limits.bytes:
            raise BenchError(f"{path}: unpacks to more than {limits.bytes} bytes. Give {limits.what}.")
        # No spreadsheet writes these; they are how XML is made to swell or to read other files.
        for content in map(archive.read, parts):
            if any(mark in content.replace(b"\0", b"") for mark in (b"<!DOCTYPE", b"<!ENTITY")):
                raise BenchError(f"{path}: holds XML declarations that no spreadsheet writes. Save it anew as XLSX.")


def _rows(path: Path, sheet: Any, limits: Limits) -> list[list[Any]]:
    """A sheet's rows; blank ones count as well, since a file of a few bytes can declare a million wide ones."""
    rows: list[list[Any]] = []
    seen = 0
    sheet.reset_dimensions()  # what a sheet says of its own size may be a lie
    for number, values in enumerate(sheet.iter_rows(values_only=True)):
        cells = _without_end(list(values))
        if len(cells) > limits.columns or (cells and number >= limits.rows):
            raise BenchError(f"{path}: more than {limits.rows} rows or {limits.columns} columns. Give {limits.what}.")
        seen += 1 + len(values)
        if seen > MOST_CELLS:
            raise BenchError(f"{path}: more than {MOST_CELLS} cells, blank ones among them. Delete those.")
        if number < limits.rows:
            rows.append(cells)
    return _without_end(rows)


def _without_end(items: list[Any]) -> list[Any]:
    """A list without what is blank at its end."""
    while items and items[-1] in (None, "", []):
        items.pop()
    return items
