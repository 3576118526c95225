"""Read action units from tables written by OpenFace 2 and similar programs; users run these programs themselves.

FeatureExtraction writes one file per clip, and FaceLandmarkImg one per picture; pyfaceau counts frames from 0, writes
True and False, and does not classify presences. A row belongs to the frame that it names. In a frame without a face,
values are zeros, blanks or copies of the previous frame; all of them count as missing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from megbench.core.errors import BenchError, plural
from megbench.core.files.cache import write_text
from megbench.core.files.working_folder import in_store
from megbench.core.openface_units import LARGEST
from megbench.core.progress import note
from megbench.faces.openface_rows import COLUMNS, PRESENCES, UNITS, numbered_rows, rows_of

# How far values may lie outside 0 to 5 after post-processing (-.07 and 5.13 were observed); values further outside are
# not intensities.
SLACK = 0.5

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ActionUnitTable:
    """Action units by frame, with remarks for the user.

    intensity: (T, 17) float64 of UNITS, 0 to 5, or NaN if missing.
    presence: (T, 17), each 0, 1 or NaN; None if presences were not requested.
    first: the number of the file's first frame.
    remarks: lines about clipped values and missing rows.
    """

    intensity: Scores
    presence: Scores | None
    first: int
    remarks: tuple[str, ...]


def read_openface(path: Path, n_frames: int) -> Scores:
    """Return intensities 0 to 5 of UNITS (n_frames, 17), NaN in frames without a face, and print the table's remarks.

    path: a file with one row per frame, or a folder with one numbered file per frame. Raise BenchError in the same
    cases as `read_table`.
    """
    table = read_table(path, n_frames)
    tell(path, table.remarks)
    return table.intensity


def read_table(
    path: Path, n_frames: int, presences: bool = False, clip: str = "the clip", own: bool = False
) -> ActionUnitTable:
    """Read a file with one row per frame, or a folder with one file per frame, in any order.

    presences: whether the `_c` columns are also required. clip: the clip's name in messages. own: whether the values
    are the user's own. If the table does not state whether a face was found, a row of zeros means a face at rest in the
    user's own values, and no face in those of a program. Raise BenchError if the table cannot be read, lacks a column,
    has the wrong number of frames, describes a second face, or contains a value that is not a number within SLACK of 0
    to 5.
    """
    rows = numbered_rows(path, presences) if path.is_dir() else rows_of(path, presences)
    rows = [
        row if row.found is not None else replace(row, found=own or any(value > 0 for value in row.values))
        for row in rows
    ]
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
    if blank := [row.frame for row in rows if row.found and np.isnan(row.values).any()]:
        remarks.append(f"{path}: values are missing in {spans(blank)}")
    if several := [row.frame for row in rows if row.faces > 1]:
        remarks.append(f"{path}: several faces in {spans(several)}; the one with the highest confidence is used")
    presence = values[:, len(UNITS) :] if presences else None
    if presence is not None and not np.isin(presence[~np.isnan(presence)], (0, 1)).all():
        frame, unit = np.argwhere(~np.isin(presence, (0, 1)) & ~np.isnan(presence))[0]
        value = f"{presence[frame, unit]:g}"
        raise BenchError(f"{path}, frame {frame + first}: {PRESENCES[unit]} is {value}; presences must be 0 or 1.")
    return ActionUnitTable(intensity, presence, first, tuple(remarks))


def within(values: Scores, where: str, first: int) -> tuple[Scores, str]:
    """Return intensities (T, 17) clipped to 0 to 5, and a remark about the clipped values or "" if there are none.

    where: the file, for messages. first: the number of its first frame. Raise BenchError for infinite values and for
    values outside this range by more than SLACK.
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
    """Store a clip's scores for the metric; return the file's path. content: the hash of the clip's frames."""
    table = pd.DataFrame(scores, columns=COLUMNS)
    table.insert(0, "frame", np.arange(1, len(scores) + 1))
    table.insert(1, "success", (~np.isnan(scores).all(1)).astype(int))
    path = kept_path(content)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def kept_path(content: str) -> Path:
    """Return the path for imported scores of the clip with this hash, whether or not the file exists."""
    return in_store("openface") / f"{content}.csv"


def imported() -> bool:
    """Return whether scores have been imported for any clip."""
    return any(in_store("openface").glob("*.csv"))


def kept(content: str, n_frames: int) -> Scores | None:
    """Return the imported scores of a clip (n_frames, 17), or None if there are none."""
    path = kept_path(content)
    return read_table(path, n_frames).intensity if path.is_file() else None


def tell(path: Path, remarks: Iterable[str]) -> None:
    """Print remarks about a file or folder on the terminal, each of them once, even if several cells read the file."""
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


def _first(path: Path, frames: Sequence[int], n_frames: int, clip: str) -> int:
    """Return the number of the first frame: 0 or 1 in a file, any number in a folder. Raise BenchError if the first or
    last frame is missing."""
    if not frames:
        raise BenchError(f"{path} has no rows, but {clip} has {n_frames} frames. Supply the table for this clip.")
    low, high = min(frames), max(frames)
    first = low if path.is_dir() or low == 0 else 1
    if (low, high) != (first, first + n_frames - 1):
        numbered = "" if path.is_dir() else ", numbered from 0 or 1"
        raise BenchError(
            f"{path} has frames {low} to {high} in {plural(len(frames), 'row')}, but {clip} has {n_frames}"
            f" frames{numbered}. Supply the table for this clip."
        )
    return first
