"""Read the rows of tables written by OpenFace and similar programs: the frame that each row names, and its values."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from megbench.core.errors import BenchError, few, shown
from megbench.core.openface_units import OPENFACE
from megbench.core.pictures import in_order, minus_signs, numbers_in
from megbench.core.tables.reading import read_sheet
from megbench.core.tables.sheet import Sheet, SheetLimits
from megbench.core.video import MAX_FRAMES

UNITS = tuple(f"AU{number:02d}" for number in OPENFACE)
COLUMNS = [f"{unit}_r" for unit in UNITS]
PRESENCES = [f"{unit}_c" for unit in UNITS]
# The widest table that OpenFace writes has 714 columns.
LIMITS = SheetLimits("a table of action units", bytes=200_000_000, rows=MAX_FRAMES + 1000, columns=2000)
# Columns besides the action units; case does not matter.
FACTS = ("frame", "timestamp", "success", "confidence", "face_id")
SUCCESS = {"true": 1.0, "false": 0.0, "": 0.0}
# Missing values as written by R, pandas, spreadsheets and C++ on Windows; "nan" and "-nan" are read as numbers.
NO_VALUE = {"", "na", "n/a", "#n/a", "nan(ind)", "-nan(ind)"}
OTHER_PROGRAMS = {
    r"AU\d\d": "columns with py-feat's names, which stand for probabilities from 0 to 1, not intensities from 0 to 5",
    r"(?i:au)_\d+(_intensity)?": "LibreFace's columns, which contain twelve units on a different scale",
}


@dataclass(frozen=True)
class NumberedRow:
    """One row: the frame it names, whether a face was found, and the values of the requested columns.

    found: None if the table has neither `success` nor `confidence`, so that only the values show whether there was a
    face. faces: the number of faces found in the frame; the row describes the one with the highest confidence.
    """

    frame: int
    found: bool | None
    values: list[float]
    confidence: float
    faces: int = 1


def numbered_rows(folder: Path, presences: bool) -> list[NumberedRow]:
    """Return one row per file in a folder, for the face with the highest confidence. A file without rows means no face.

    Raise BenchError in the same cases as `rows_of`, and if a file name has no frame number or the same one as another
    file.
    """
    files = files_in(folder)
    if not files:
        raise BenchError(f"{folder} has no CSV files. Pass a folder with OpenFace's tables.")
    numbers: dict[int, Path] = {}
    rows = []
    for file, number in zip(files, _frame_numbers(files), strict=True):
        if number in numbers:
            raise BenchError(f"{file}: frame {number} is already in {numbers[number].name}. Remove one of the files.")
        numbers[number] = file
        faces = rows_of(file, presences, one_frame=True)
        surest = max(faces, key=lambda row: row.confidence, default=NumberedRow(number, False, [], 0.0))
        rows.append(dataclasses.replace(surest, frame=number, faces=len(faces)))
    return rows


def files_in(folder: Path) -> list[Path]:
    """Return the CSV files in a folder in the order of their numbers, without the hidden files that macOS adds."""
    return in_order(
        path for path in folder.iterdir() if path.suffix.lower() == ".csv" and not path.name.startswith(".")
    )


def _frame_numbers(files: Sequence[Path]) -> list[int]:
    """Return the frame number in each name: the last number that differs between names ("smile_001_30fps.csv")."""
    minus = minus_signs(files)
    found = [numbers_in(file, minus.get(file)) for file in files]
    for file, numbers in zip(files, found, strict=True):
        if not numbers:
            raise BenchError(f"{file} has no frame number in its name. Name the files frame1.csv, frame2.csv ...")
    if len({len(numbers) for numbers in found}) > 1:
        return [numbers[-1] for numbers in found]
    differing = [at for at, column in enumerate(zip(*found, strict=True)) if len(set(column)) > 1]
    return [numbers[differing[-1] if differing else -1] for numbers in found]


def rows_of(path: Path, presences: bool, one_frame: bool = False) -> list[NumberedRow]:
    """Return the rows of a file. Raise BenchError for a missing column, a second face, or a cell that is not a number.

    one_frame: the file describes one picture, with one row per face.
    """
    sheet = read_sheet(path, LIMITS)
    lines = sheet.lines()
    if not lines:
        raise BenchError(f"{path} is empty. Supply {LIMITS.what} with the columns {COLUMNS[0]} ...")
    top, cells = lines.pop(0)
    header = [cell.removeprefix("#").strip() for cell in cells]  # NumPy marks headers in this way
    _check_columns(path, header, COLUMNS + PRESENCES * presences)
    reader = _Reader(path, sheet, header, COLUMNS + PRESENCES * presences)
    reader.check_order(lines)
    rows = [reader.row(line - top, line, cells) for line, cells in lines]
    if one_frame:
        return rows
    ids = sorted({reader.text(cells, "face_id") for _, cells in lines} - {""})
    if len(ids) > 1:
        raise BenchError(
            f"{path} has rows for more than one face (face_id {few(ids)}). Keep only the rows of the face you want."
        )
    frame, count = Counter(row.frame for row in rows).most_common(1)[0] if rows else (0, 0)
    if count > 1:
        raise BenchError(
            f"{path} has rows for more than one face in frame {frame}. Keep only the rows of the face you want."
        )
    return rows


def _check_columns(path: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    """Raise BenchError for a column that is missing or repeated, naming the program that writes such a table."""
    lower = [name.lower() for name in header]
    if lacking := [name for name in needed if name.lower() not in lower]:
        program = next(
            (text for name, text in OTHER_PROGRAMS.items() if any(re.fullmatch(name, h) for h in header)), ""
        )
        if program and not set(COLUMNS) & set(header):
            raise BenchError(
                f"{path} has {program}. If the values are intensities from 0 to 5, name the columns {COLUMNS[0]} ..."
                f" {COLUMNS[-1]}; otherwise supply OpenFace's table."
            )
        alike = dict(zip(lower, header, strict=True))
        near = get_close_matches(lacking[0].lower(), alike, n=1, cutoff=0.8)
        has = f"The nearest is {alike[near[0]]!r}." if near else f"It has: {few(header, 12)}."
        if lacking[0] in PRESENCES:
            has = "To use a table without presences, put it into .megbench/aus/table and set au_source=table."
        raise BenchError(f"{path} lacks the column {lacking[0]}; OpenFace writes it with -aus. {has}")
    if twice := [name for name in needed if lower.count(name.lower()) > 1]:
        raise BenchError(f"{path}: {lower.count(twice[0].lower())} columns are named {twice[0]}. Keep one of them.")


class _Reader:
    """A reader of the rows of one file."""

    def __init__(self, path: Path, sheet: Sheet, header: list[str], needed: list[str]) -> None:
        self.path, self.sheet, self.needed = path, sheet, needed
        lower = [name.lower() for name in header]
        self.at = {name: lower.index(name.lower()) for name in (*needed, *FACTS) if name.lower() in lower}

    def text(self, cells: list[str], name: str) -> str:
        """Return the text of a cell, or "" if the file has no such column or the row is too short."""
        at = self.at.get(name, len(cells))
        return cells[at].strip() if at < len(cells) else ""

    def number(self, cells: list[str], name: str, line: int) -> float:
        """Return the number in a cell, or NaN for one of NO_VALUE. Raise BenchError for any other text."""
        text = self.text(cells, name)
        value = np.nan if text.lower() in NO_VALUE else self.sheet.number(text)
        if value is None:
            remedy = " Write numbers with a decimal point." if "," in text else ""
            raise BenchError(f"{self.path}, line {line}: {name} is {shown(text)}, not a number.{remedy}")
        return value

    def check_order(self, lines: Sequence[tuple[int, list[str]]]) -> None:
        """Raise BenchError if only time stamps number the frames and these do not ascend.

        lines: the numbers of the lines below the header, with their cells.
        """
        if "frame" in self.at or "timestamp" not in self.at:
            return
        times = [self.number(cells, "timestamp", line) for line, cells in lines]
        for (line, _), earlier, later in zip(lines[1:], times, times[1:], strict=False):
            if later < earlier:
                raise BenchError(
                    f"{self.path}, line {line}: the timestamp {later:g} is before that of the row above"
                    f" ({earlier:g}), and there is no column `frame`. Sort the rows by time."
                )

    def row(self, at: int, line: int, cells: list[str]) -> NumberedRow:
        """Return the row that is `at` lines below the header, which is frame `at` if there is no column `frame`."""
        frame = self.number(cells, "frame", line) if "frame" in self.at else at
        if not (float(frame).is_integer() and frame >= 0):
            raise BenchError(f"{self.path}, line {line}: {self.text(cells, 'frame')!r} is not a frame number.")
        confidence = self.number(cells, "confidence", line)
        success = self.success(cells, line) if "success" in self.at else None
        values = [] if success is False else [self.number(cells, name, line) for name in self.needed]
        if np.isnan(confidence):
            return NumberedRow(int(frame), success, values, 1.0)
        return NumberedRow(int(frame), success is not False and confidence > 0, values, confidence)

    def success(self, cells: list[str], line: int) -> bool:
        """Return the value in the column `success`; blank means False. Raise BenchError unless it is 0, 1, True or
        False."""
        text = self.text(cells, "success").lower()
        value = SUCCESS.get(text, self.sheet.number(text))
        if value not in (0, 1):
            raise BenchError(f"{self.path}, line {line}: success is {shown(text)}, but must be 0 or 1.")
        return bool(value)
