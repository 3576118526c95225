"""Read coding sheets: find the header by its titles, interpret the cells by column, and validate the rows.

Databases put notes above the header (SAMM: 13 lines) and blank columns between the columns (CASME II). Both may
disappear if the sheet is saved again, so nothing is located by its position.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError, few, plural, shown
from megbench.core.tables.reading import read_sheets
from megbench.core.tables.sheet import Sheet, SheetLimits, whole
from megbench.faces.coded_units import parse

# The titles of each column in any known sheet, in lower case with only letters and digits.
TITLES = {
    "path": {"path", "video", "folder"},
    "subject": {"subject", "subid", "sub", "subjectid"},
    "clip": {"filename", "clip", "clipname", "foldname", "material"},
    "fps": {"fps", "framerate"},
    **{mark: {mark + end for end in ("", "f", "frame", "1", "f1", "frame1")} for mark in ("onset", "apex", "offset")},
    "action_units": {"actionunits", "actionunit", "au", "aus"},
    "emotion": {"emotion", "estimatedemotion"},
    "face": {"face"},
}
# The columns that a header must have, in a coding sheet (CODED) and in a table of clips in arbitrary places (LISTED,
# megbench.clips.databases.table); the other columns may be absent.
CODED, LISTED = frozenset({"subject", "clip", "onset", "offset"}), frozenset({"path", "subject", "fps"})
NUMBERS = ("onset", "apex", "offset")
# Cells that mean "not coded".
BLANK = {"", "/", "\\", "-", "--", "\u2013", "\u2014", "nan", "none", "null", "n/a", "na"}
# The maximum number of rows of notes above a header; the longest known notes have 13 lines.
DEEPEST_HEADER = 50
LARGEST_SHEET_BYTES = 20_000_000
# The largest known sheet has about 300 rows and 20 columns.
LIMITS = SheetLimits("a coding sheet", LARGEST_SHEET_BYTES, rows=20_000, columns=200, pages=True)
# The maximum number of digits of a number in a sheet; Python refuses to convert thousands of digits.
LONGEST_NUMBER = 30
# A frame rate that no camera exceeds.
FASTEST = 10_000
# A number that may either have its digits grouped in thousands or have three decimals.
GROUPED = re.compile(r"\d{1,3}(?:[.,]\d{3})+")


@dataclass(frozen=True)
class CodedRow:
    """One clip as described by its coder. Frame numbers are those of the database; a frame that was not coded is None.

    number: the row below the header, counted from 0. line: the row's number in a spreadsheet. action_units: the raw
    text.
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
class Coding:
    """A coding sheet that has been read, with remarks on its oddities."""

    path: Path
    title: str
    header_line: int
    rows: tuple[CodedRow, ...]
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file name, followed by the sheet's title if the file is a workbook."""
        return f"{self.path.name} ({self.title})" if self.title else self.path.name


def read_sheet(path: Path, needs: frozenset[str] = CODED) -> Coding | None:
    """Return the table in a file whose header has all the columns in `needs`, or None if there is no such table.

    If there are several such tables, use the first whose title mentions micro-expressions or, failing that, the first
    of all. Raise BenchError for a file that cannot be read, and for a table of clips in which two columns have the same
    title.
    """
    found = [(sheet, *head) for sheet in read_sheets(path, LIMITS) if (head := _header(sheet.rows, needs)) is not None]
    if not found:
        return None
    sheet, line, columns = min(found, key=lambda table: "micro" not in table[0].title.lower())
    others = [other.title for other, *_ in found if other is not sheet]
    remarks = [f"other tables in the file, not read: {', '.join(others)}"] if others else []
    remarks += _further_codings(sheet, line, columns)
    if twice := _twice(sheet.rows[line]):
        told = f"two columns have the title {few([repr(title) for title in twice])}"
        if needs == LISTED:  # a table that the user has written and can correct
            where = f"{path}, line {line + 1}"
            raise BenchError(f"{where}: {told}, so it is unclear which is meant. Rename or delete one of them.")
        if not all(_codes_frames(title) for title in twice):  # repeated frame numbers have their own remark
            remarks.append(f"{told}; the first of them is read")
    records, carried = _meanings(sheet, line, columns)
    rows, odd = _validated(records)
    remarks += _strange_units(rows) + _repeated(rows)
    return Coding(path, sheet.title, line + 1, rows, (*remarks, *carried, *odd))


def without_header(path: Path, needs: frozenset[str] = CODED) -> str:
    """Return a sentence on a file in which `read_sheet` found nothing.

    It states which of the needed columns the likeliest header has, and which it lacks.
    """
    rows = [(line, row) for sheet in read_sheets(path, LIMITS) for line, row in enumerate(sheet.rows, 1) if any(row)]
    line, row = max(rows[:DEEPEST_HEADER], key=lambda one: len(needs & _columns(one[1]).keys()), default=(0, []))
    told, found = shown(", ".join(filter(None, row))), needs & _columns(row).keys()
    if found:
        lacks = (
            f"; line {line} has {', '.join(sorted(found))} and lacks {', '.join(sorted(needs - found))}: it is {told}"
        )
    else:
        lacks = f"; it begins with {told}" if row else ""
    return f"{path} has no header with {', '.join(sorted(needs))}{lacks}."


def _header(rows: list[list[str]], needs: frozenset[str]) -> tuple[int, dict[str, int]] | None:
    """Return the row index of the header and the column of each field, or None if no row has all the needed columns.

    If the header has two rows ("Frames" merged over "Onset", "Apex" and "Offset"), the index is that of the lower row.
    """
    head = rows[:DEEPEST_HEADER]
    for line, row in enumerate(head):
        columns = _columns(row)
        if needs <= set(columns):
            return line, columns
    for line, (upper, lower) in enumerate(itertools.pairwise(head), 1):
        columns = {**_columns(upper), **_columns(lower)}
        if needs <= set(columns) and _columns(lower):
            return line, columns
    return None


def _columns(row: list[str]) -> dict[str, int]:
    """Return the column of each field whose title appears in a row; if a title is repeated, the first such column."""
    words = [_word(cell) for cell in row]
    return {
        field: next(column for column, word in enumerate(words) if word in titles)
        for field, titles in TITLES.items()
        if titles & set(words)
    }


def _twice(row: list[str]) -> list[str]:
    """Return the known titles that occur more than once in a header, each spelled as at its first occurrence."""
    words = [_word(cell) for cell in row]
    known = set().union(*TITLES.values())
    found = dict.fromkeys(word for word in words if word in known and words.count(word) > 1)
    return [row[words.index(word)].strip() for word in found]


def _codes_frames(title: str) -> bool:
    return any(mark in _word(title) for mark in NUMBERS)


def _further_codings(sheet: Sheet, header: int, columns: dict[str, int]) -> list[str]:
    """Return a remark on additional columns of frame numbers, whatever their titles, or [] if there are none."""
    further = [
        column
        for column, title in enumerate(sheet.rows[header])
        if _codes_frames(title) and column not in columns.values()
    ]
    titles = ", ".join(sheet.rows[header][column].strip() for column in further)
    filled = sum(
        any(row[column : column + 1] not in ([], [""]) for column in further) for row in sheet.rows[header + 1 :]
    )
    told = (
        f"further columns named {titles} (further expressions?) are not read;"
        f" {plural(filled, 'row has', 'rows have')} values there"
    )
    return [told] if further else []


def _word(cell: str) -> str:
    return re.sub(r"[^a-z0-9]", "", cell.lower())


def _meanings(sheet: Sheet, header: int, columns: dict[str, int]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the fields of `CodedRow` for each non-blank row below the header, and a remark on subjects carried over.

    A subject is carried over from the row above if its own cell is empty.
    """
    records: list[dict[str, Any]] = []
    carried, subject = [], ""
    for number, cells in enumerate(sheet.filled()[header + 1 :]):
        texts = {
            field: cells[columns[field]] if columns.get(field, len(cells)) < len(cells) else "" for field in TITLES
        }
        texts |= {field: whole(texts[field]) for field in ("subject", "action_units")}
        stripped = {field: text.strip() for field, text in texts.items()}
        if not any(stripped.values()):
            continue
        line = number + header + 2
        # If a subject's cell spans several rows of a workbook, a CSV saved from the workbook contains the subject only
        # in the first of these rows.
        if not stripped["subject"] and subject and (stripped["clip"] or stripped["path"]):
            stripped["subject"] = subject
            carried.append(str(line))
        subject = stripped["subject"]
        units = texts["action_units"]
        meant = {field: _number(sheet, stripped[field]) for field in (*NUMBERS, "fps")}
        # "1.046" may be a frame number of four digits or a decimal number, depending on the locale; it is left as text.
        meant |= {field: stripped[field] for field in NUMBERS if GROUPED.fullmatch(stripped[field])}
        meant["action_units"] = None if units.strip().lower() in BLANK else units
        records.append({**stripped, **meant, "number": number, "line": line})
    lines = ", ".join([*carried[:3], *["..."] * (len(carried) > 3)])
    told = f"no subject in {plural(len(carried), 'row')} (line {lines}): taken from the row above"
    return records, [told] if carried else []


def _number(sheet: Sheet, text: str) -> int | float | str | None:
    """Return a number, None for "not coded", or the text itself, which is then reported during validation."""
    if text.lower() in BLANK:
        return None
    value = sheet.number(text)
    if value is None:
        return text
    return int(value) if value.is_integer() else value


def _strange_units(rows: Sequence[CodedRow]) -> list[str]:
    """Return a remark on rows whose action units cannot be interpreted, or [] if there are none."""
    found = [(row.line, row.action_units, parse(row.action_units)) for row in rows if row.action_units]
    strange = [f"line {line}: {text!r}" for line, text, coding in found if not coding.terms and not coding.unknown]
    told = (
        f"no action unit was recognised in {plural(len(strange), 'row')} ({few(strange, 3)}); spreadsheets turn 6/12"
        " into a date"
    )
    return [told] if strange else []


def _repeated(rows: Sequence[CodedRow]) -> list[str]:
    """Return a remark on rows that repeat earlier ones, or [] if there are none; all rows become clips."""
    first: dict[CodedRow, int] = {}
    lines = [(row.line, first.setdefault(dataclasses.replace(row, number=0, line=0), row.line)) for row in rows]
    told = [f"line {line} repeats line {before}" for line, before in lines if line != before]
    repeated = f"{plural(len(told), 'row repeats', 'rows repeat')} others ({few(told, 3)}); their clips count twice"
    return [repeated] if told else []


def _is_frame(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= FASTEST


# For each column: the condition on its cells, and the wording of the remark on a cell that violates it. Such a cell is
# treated as not coded.
CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(NUMBERS, (_is_frame, "is not a frame number")),
    "fps": (_is_rate, "is not a frame rate"),
}


def _validated(records: Sequence[dict[str, Any]]) -> tuple[tuple[CodedRow, ...], list[str]]:
    """Return the rows that can be used, and remarks on invalid cells and omitted rows."""
    remarks, rows = [], []
    for record in records:
        told = f"line {record['line']}: the"
        values = dict(record)
        for field, (check, problem) in CHECKS.items():
            if values[field] is not None and not check(values[field]):
                remarks.append(f"{told} {field} {values[field]!r} {problem}; treated as not coded")
                values[field] = None
        if values["subject"]:
            rows.append(CodedRow(**values))
        else:
            remarks.append(f"{told} subject is empty; the row is left out")
    return tuple(rows), sorted(remarks)
