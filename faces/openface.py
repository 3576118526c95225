"""OpenFace 2's action units, read from the tables that it and programs like it write; the programs are the user's.

FeatureExtraction writes one file a clip, FaceLandmarkImg one a picture; pyfaceau counts frames from 0, says True and
False, and classifies no presences. Rows belong to the frames they name. Where no face was found the values are zeros,
blanks or those of the frame before, which are no scores.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import BenchError
from core.openface import LARGEST, OPENFACE
from core.progress import note
from core.sheet import Limits, Sheet
from core.store import write_text
from core.tables import read_sheet
from core.video import MAX_FRAMES, natural

UNITS = tuple(f"AU{number:02d}" for number in OPENFACE)
COLUMNS = [f"{unit}_r" for unit in UNITS]
PRESENCES = [f"{unit}_c" for unit in UNITS]
# The widest table that OpenFace writes has 714 columns.
LIMITS = Limits("a table of action units", bytes=200_000_000, rows=MAX_FRAMES + 1000, columns=2000)
# How far beyond 0 to 5 unfinished post-processing goes (-.07 and 5.13 are known); what is farther is something else.
SLACK = 0.5
# Imported files, by the content of the clip they were made from; never deleted by the store.
FOLDER = Path(".megbench/openface")
# Columns beside the action units, in whatever case.
FACTS = ("frame", "success", "confidence", "face_id")
SUCCESS = {"true": 1.0, "false": 0.0, "": 0.0}
OTHER_PROGRAMS = {
    r"AU\d\d": "py-feat's columns, which are probabilities from 0 to 1 and not intensities from 0 to 5",
    r"au_\d+_intensity": "LibreFace's columns, which are twelve units on a scale of its own",
}

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ActionUnitTable:
    """Action units by frame, and what a reader must be told of them.

    intensity: (T, 17) float64 of UNITS, 0 to 5, NaN where there is none. presence: (T, 17), 0 or 1 or NaN; None if it
    was not asked for. first: number of the file's first frame. remarks: a line each on values clipped and rows lacking.
    """

    intensity: Scores
    presence: Scores | None
    first: int
    remarks: tuple[str, ...]


def read_openface(path: Path, n_frames: int) -> Scores:
    """Return intensities 0 to 5 of UNITS (n_frames, 17), NaN in frames without a face; tell what was odd.

    path: a file with a row a frame, or a folder with a file a frame, numbered. BenchError as `read_table`.
    """
    table = read_table(path, n_frames)
    tell(path, table.remarks)
    return table.intensity


def read_table(path: Path, n_frames: int, presences: bool = False, clip: str = "the clip") -> ActionUnitTable:
    """Read a file with a row a frame, or a folder with a file a frame, in any order. `clip` is its name in messages.

    presences: whether the `_c` columns are needed too. BenchError if it cannot be read, lacks a column, holds another
    number of frames or a second face, or a value is not a number within SLACK of 0 to 5.
    """
    rows = _numbered_files(path, presences) if path.is_dir() else _rows(path, presences)
    frames = [row.frame for row in rows]
    first = _first(path, frames, n_frames, clip)
    names = COLUMNS + PRESENCES * presences
    values = np.full((n_frames, len(names)), np.nan)
    for row in rows:
        if row.found:
            values[row.frame - first] = row.values
    intensity, clipped = within(values[:, : len(UNITS)], str(path), first)
    remarks = [clipped] if clipped else []
    if gaps := set(range(first, first + n_frames)) - set(frames):
        remarks.append(f"{path}: no row for {spans(gaps)}")
    if lost := [row.frame for row in rows if not row.found]:
        remarks.append(f"{path}: no face in {spans(lost)}")
    presence = values[:, len(UNITS) :] if presences else None
    if presence is not None and not np.isin(presence[~np.isnan(presence)], (0, 1)).all():
        frame, unit = np.argwhere(~np.isin(presence, (0, 1)) & ~np.isnan(presence))[0]
        value = f"{presence[frame, unit]:g}"
        raise BenchError(f"{path}, frame {frame + first}: {PRESENCES[unit]} is {value}; presences are 0 or 1.")
    return ActionUnitTable(intensity, presence, first, tuple(remarks))


def within(values: Scores, where: str, first: int) -> tuple[Scores, str]:
    """Return intensities (T, 17) clipped to 0 to 5 and a remark on what was clipped, "" if nothing was.

    where: the file. first: number of its first frame. BenchError for a value beyond SLACK, or infinite.
    """
    clipped = np.clip(values, 0, LARGEST)
    outside = np.argwhere(~np.isnan(values) & (values != clipped))
    for frame, unit in outside:
        if not abs(values[frame, unit] - clipped[frame, unit]) <= SLACK:
            raise BenchError(
                f"{where}, frame {frame + first}: {COLUMNS[unit]} is {values[frame, unit]:g}; action units must be"
                f" numbers from 0 to {LARGEST:g}."
            )
    if not len(outside):
        return clipped, ""
    frame, unit = outside[0]
    more = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
    shown = f"{COLUMNS[unit]} is {values[frame, unit]:g} in frame {frame + first}{more}"
    return clipped, f"{where}: {shown}; clipped to 0 to {LARGEST:g}"


def keep(content: str, scores: Scores) -> Path:
    """Keep the scores of the clip whose frames have this hash, for the metric."""
    table = pd.DataFrame(scores, columns=COLUMNS)
    table.insert(0, "frame", np.arange(1, len(scores) + 1))
    table.insert(1, "success", (~np.isnan(scores).all(1)).astype(int))
    path = FOLDER / f"{content}.csv"
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def kept(content: str, n_frames: int) -> Scores | None:
    """Return the scores kept for a clip; None if there are none."""
    path = FOLDER / f"{content}.csv"
    return read_table(path, n_frames).intensity if path.is_file() else None


def tell(path: Path, remarks: Iterable[str]) -> None:
    """Show remarks on a file or folder on the terminal, each once however many cells read the file."""
    for remark in remarks:
        _note_once(remark, path.resolve(), path.stat().st_mtime_ns)


@functools.cache
def _note_once(remark: str, *_file: object) -> None:
    note(remark)


def spans(numbers: Iterable[int]) -> str:
    """Return frame numbers in words: "frames 3, 7 to 9"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [f"{a}" if a == b else f"{a} to {b}" for a, b in runs]
    word = "frame" if len(runs) == 1 and runs[0][0] == runs[0][1] else "frames"
    return f"{word} {', '.join(texts[:6])}" + (f" and {len(texts) - 6} more" if len(texts) > 6 else "")


@dataclass(frozen=True)
class _Row:
    """One row: the frame it names, whether a face was found, and the values of the columns asked for."""

    frame: int
    found: bool
    values: list[float]
    confidence: float


def _first(path: Path, frames: Sequence[int], n_frames: int, clip: str) -> int:
    """Return the number of the first frame, 0 or 1 (in a folder any). BenchError unless first and last are there."""
    if not frames:
        raise BenchError(f"{path}: no rows, {clip} has {n_frames} frames. Give the table of this clip.")
    low, high = min(frames), max(frames)
    first = low if path.is_dir() or low == 0 else 1
    if (low, high) != (first, first + n_frames - 1):
        raise BenchError(
            f"{path}: frames {low} to {high} in {len(frames)} rows, {clip} has {n_frames} frames. Give the table of"
            " this clip."
        )
    return first


def _numbered_files(folder: Path, presences: bool) -> list[_Row]:
    """Return a row for each file of a folder, of several faces in a picture the surest; no rows mean no face."""
    files = sorted(folder.glob("*.csv"), key=lambda path: natural(path.name))
    if not files:
        raise BenchError(f"{folder}: no CSV files of OpenFace are in this folder.")
    numbers: dict[int, Path] = {}
    rows = []
    for file in files:
        digits = re.findall(r"\d+", file.stem)
        if not digits:
            raise BenchError(f"{file}: no frame number in its name. Call the files as frame1.csv, frame2.csv ...")
        number = int(digits[-1])
        if number in numbers:
            raise BenchError(f"{file}: frame {number} is {numbers[number].name} already. Remove one of the files.")
        numbers[number] = file
        faces = _rows(file, presences, one_frame=True)
        surest = max(faces, key=lambda row: row.confidence, default=_Row(number, False, [], 0.0))
        rows.append(_Row(number, surest.found, surest.values, surest.confidence))
    return rows


def _rows(path: Path, presences: bool, one_frame: bool = False) -> list[_Row]:
    """Return the rows of a file. BenchError for a column that is missing, a second face or a cell that is no number.

    one_frame: the file is of one picture, whose rows are its faces.
    """
    sheet = read_sheet(path, LIMITS)
    if not sheet.rows:
        raise BenchError(f"{path}: the file is empty. Give {LIMITS.what} with the columns {COLUMNS[0]} ...")
    header = [cell.removeprefix("#").strip() for cell in sheet.rows[0]]  # as NumPy writes a header
    _check_columns(path, header, COLUMNS + PRESENCES * presences)
    reader = _Reader(path, sheet, header, COLUMNS + PRESENCES * presences)
    rows = [reader.row(at, cells) for at, cells in enumerate(sheet.rows[1:]) if any(cells)]
    if one_frame:
        return rows
    ids = sorted({reader.text(cells, "face_id") for cells in sheet.rows[1:] if any(cells)} - {""})
    if len(ids) > 1:
        raise BenchError(
            f"{path}: holds {len(ids)} faces (face_id {' and '.join(ids[:5])}): more than one face. Keep the rows of"
            " the one that is meant."
        )
    frame, count = Counter(row.frame for row in rows).most_common(1)[0] if rows else (0, 0)
    if count > 1:
        raise BenchError(
            f"{path}: several rows for frame {frame}: more than one face. Keep the rows of the one that is meant."
        )
    return rows


def _check_columns(path: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    """Raise BenchError for a column that is missing or doubled, naming the program whose columns these are."""
    if lacking := [name for name in needed if name not in header]:
        program = next(
            (text for name, text in OTHER_PROGRAMS.items() if any(re.fullmatch(name, h) for h in header)), ""
        )
        if program and not set(COLUMNS) & set(header):
            raise BenchError(f"{path}: has {program}. Give OpenFace's table with {COLUMNS[0]} ... {COLUMNS[-1]}.")
        alike = {name.lower(): name for name in header}
        near = get_close_matches(lacking[0].lower(), alike, n=1, cutoff=0.8)
        has = f"The nearest is {alike[near[0]]!r}." if near else f"It has: {', '.join(header[:20])[:200]}."
        if lacking[0] in PRESENCES:
            has = "Without presences it can be used as au_source=table, from .megbench/aus/table."
        raise BenchError(f"{path} lacks the column {lacking[0]}; OpenFace writes it with -aus. {has}")
    if twice := [name for name in needed if header.count(name) > 1]:
        raise BenchError(f"{path}: {header.count(twice[0])} columns are called {twice[0]}. Keep one of them.")


class _Reader:
    """Reads rows of one file."""

    def __init__(self, path: Path, sheet: Sheet, header: list[str], needed: list[str]) -> None:
        self.path, self.sheet, self.needed = path, sheet, needed
        lower = [name.lower() for name in header]
        self.at = {name: header.index(name) for name in needed}
        self.at |= {name: lower.index(name) for name in FACTS if name in lower}

    def text(self, cells: list[str], name: str) -> str:
        """Return a cell, "" where the file has no such column or the row is too short."""
        at = self.at.get(name, len(cells))
        return cells[at].strip() if at < len(cells) else ""

    def number(self, cells: list[str], name: str, line: int) -> float:
        """Return the number in a cell, NaN for a blank one. BenchError for anything else."""
        text = self.text(cells, name)
        value = self.sheet.number(text) if text else np.nan
        if value is None:
            raise BenchError(f"{self.path}, line {line}: {name} is {text[:40]!r}, not a number.")
        return value

    def row(self, at: int, cells: list[str]) -> _Row:
        """Return row `at` below the header; without a column `frame` rows are in the order of the frames, from 1."""
        line = at + 2
        frame = self.number(cells, "frame", line) if "frame" in self.at else at + 1
        if not (float(frame).is_integer() and frame >= 0):
            raise BenchError(f"{self.path}, line {line}: {self.text(cells, 'frame')!r} is no frame number.")
        confidence = self.number(cells, "confidence", line)
        success = self.success(cells, line) if "success" in self.at else None
        values = [] if success is False else [self.number(cells, name, line) for name in self.needed]
        if np.isnan(confidence):
            return _Row(int(frame), any(value > 0 for value in values) if success is None else success, values, 1.0)
        return _Row(int(frame), success is not False and confidence > 0, values, confidence)

    def success(self, cells: list[str], line: int) -> bool:
        """Return what the column `success` says. BenchError unless it is 0, 1, True, False or blank, which means 0."""
        text = self.text(cells, "success").lower()
        value = SUCCESS.get(text, self.sheet.number(text))
        if value not in (0, 1):
            raise BenchError(f"{self.path}, line {line}: success is {text[:40]!r}, neither 0 nor 1.")
        return bool(value)
