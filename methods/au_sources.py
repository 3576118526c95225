"""Sources of action units for the methods that are driven by them: the option `au_source`.

Without the option, the exact units are used for rendered clips, and units estimated from flow for recordings.

| au_source | intensities 0..5 | presences |
|---|---|---|
| `truth` | rendered clips: the exact intensities, times 5 and clipped at 5 | not at rest |
| `openface` | `.megbench/aus/openface/<driver>.csv` as written by OpenFace, or a folder of them | its `_c` columns |
| `table` | `.megbench/aus/table/<driver>.csv`, frames x 17, or a table without `_c` columns | above zero |
| `flow` | estimated from the driver's flow (methods/au_from_flow.py), as in `truth` | above the noise |

Only `flow` uses the driver's pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megbench.core.clip import Clip
from megbench.core.errors import BenchError, CellFailed, plural, shown
from megbench.core.files.working_folder import in_store
from megbench.core.openface_units import LARGEST, OPENFACE, UnitTable, shares
from megbench.core.registry import load
from megbench.core.tables.reading import read_sheet, table_called
from megbench.core.tables.sheet import Sheet
from megbench.faces.openface import ActionUnitTable, read_table, spans, tell, within
from megbench.faces.openface_rows import COLUMNS, LIMITS, files_in

# Sources that read a table of the driver.
TABLES = ("openface", "table")
# The largest number of consecutive missing frames that are interpolated; even a blink lasts longer at 200 fps.
LONGEST_GAP = 3


@dataclass(frozen=True)
class ActionUnits:
    """Action units of a clip's frames: intensity (T, 17), 0..5 in OpenFace's order; presence (T, 17), 0 or 1."""

    intensity: UnitTable
    presence: UnitTable


def truth(driver: Clip) -> ActionUnits:
    """Return the exact units of a rendered clip. Raise CellFailed for a recording."""
    known = driver.known()
    if known is None:
        others = " or ".join(f"au_source={name}" for name in SOURCES if name != "truth")
        raise CellFailed(f"driver {driver.name} is a recording, so its true action units are unknown. Use {others}.")
    units = dict(zip(known.action_units, known.au_intensity.T, strict=True))
    intensity = np.clip(LARGEST * np.broadcast_to(shares(units), (driver.n_frames, len(OPENFACE))), 0, LARGEST)
    return ActionUnits(intensity, np.asarray(intensity > 0, np.float64))


def table_path(source: str, driver: Clip) -> Path:
    """Return the path of a driver's table for `au_source=openface` and `au_source=table`.

    It is a CSV file, another table or a workbook named after the driver, or a folder of that name containing one CSV
    file per frame.
    """
    folder = in_store("aus") / source / driver.name
    return folder if folder.is_dir() else table_called(folder) or folder.with_name(f"{driver.name}.csv")


def openface(driver: Clip) -> ActionUnits:
    """Return OpenFace's units. Raise CellFailed if the table is missing, does not fit or has gaps that are too long."""
    path, found = _table_of("openface", driver)
    tell(path, found.remarks)
    assert found.presence is not None
    presence = _bridged(found.presence, path, found.first)
    return ActionUnits(_bridged(found.intensity, path, found.first), np.asarray(presence >= 0.5, np.float64))


def table(driver: Clip) -> ActionUnits:
    """Return the user's own values: 17 columns in OpenFace's order, or a table whose header has AU01_r ... AU45_r."""
    path, found = _table_of("table", driver)
    tell(path, found.remarks)
    intensity = _bridged(found.intensity, path, found.first)
    if 0 < (largest := intensity.max()) <= 1:
        tell(
            path,
            [
                f"{path}: the largest intensity is {largest:.2g}; intensities are read as 0 to 5, so multiply them"
                " by 5 if yours are 0 to 1"
            ],
        )
    return ActionUnits(intensity, np.asarray(intensity > 0, np.float64))


# Sources are listed by name, as in all tables of this kind, so that only the requested one is imported.
SOURCES = {
    "truth": "megbench.methods.au_sources:truth",
    "openface": "megbench.methods.au_sources:openface",
    "table": "megbench.methods.au_sources:table",
    "flow": "megbench.methods.au_from_flow:flow",
}
# For sources that examine pictures, the functions that return units estimated earlier.
SEEN_BEFORE = {"flow": "megbench.methods.au_from_flow:seen_before"}


def chosen(name: str, driver: Clip) -> str:
    """Return the name of a driver's source: the one requested or, by default, the truth if known, otherwise flow."""
    return name or ("truth" if driver.rendered else "flow")


def check(name: str, driver: Clip) -> None:
    """Raise CellFailed if a driver's files or metadata already show that the source `name` cannot supply action
    units."""
    if name == "truth":
        truth(driver)
    if name in TABLES:
        path, found = _table_of(name, driver)
        for values in (found.intensity, found.presence):
            if values is not None:
                _gaps(values, path, found.first)


def source(name: str) -> Callable[[Clip], ActionUnits]:
    """Return the source named `name`. Raise BenchError with the choices if there is none."""
    found: Callable[[Clip], ActionUnits] = load("source of action units", name, SOURCES)
    return found


def known_units(name: str, driver: Clip) -> ActionUnits | None:
    """Return a driver's action units if they are available without examining its pictures, otherwise None."""
    try:
        if name not in SEEN_BEFORE:
            return source(name)(driver)
        seen: Callable[[Clip], ActionUnits | None] = load("source of action units", name, SEEN_BEFORE)
        return seen(driver)
    except CellFailed:
        return None  # the cell fails with this reason


def stronger(units: ActionUnits, factor: float) -> ActionUnits:
    """Return action units with unchanged presences and with intensities multiplied by a factor and clipped at 5."""
    return ActionUnits(np.clip(factor * units.intensity, 0, LARGEST), units.presence)


def clipped_frames(units: ActionUnits, factor: float) -> int:
    """Return the number of frames in which `stronger` clips an intensity."""
    return int((factor * units.intensity > LARGEST).any(1).sum())


def files_of(name: str, driver: Clip) -> list[Path]:
    """Return the files that a source reads in addition to the driver's clip."""
    if name not in TABLES:
        return []
    path = table_path(name, driver)
    return files_in(path) if path.is_dir() else [path]


def interpolates(name: str, driver: Clip) -> bool:
    """Return whether a source interpolates frames that are missing from the driver's table.

    Raise CellFailed in the same cases as `check`.
    """
    if name not in TABLES:
        return False
    _, found = _table_of(name, driver)
    return any(bool(np.isnan(values).any()) for values in (found.intensity, found.presence) if values is not None)


def _table_of(name: str, driver: Clip) -> tuple[Path, ActionUnitTable]:
    """Return the path and the values of a driver's table. Raise CellFailed if it is missing or does not fit."""
    path = table_path(name, driver)
    if not path.exists():
        raise CellFailed(
            f"{path} does not exist. Put the driver's action units there as CSV, or beside it as TSV, XLSX, XLS or ODS,"
            f" or as a folder {driver.name} with a CSV file for each frame; nothing else (such as .npy) is read."
        )
    try:
        own = name == "table"
        matrix = _matrix(path, driver) if own else None
        return path, matrix or read_table(path, driver.n_frames, not own, f"driver {driver.name}", own)
    except CellFailed:
        raise
    except BenchError as error:
        raise CellFailed(str(error)) from None


def _matrix(path: Path, driver: Clip) -> ActionUnitTable | None:
    """Return the units of a table without a header, or None if its first row has column names or it has no values."""
    sheet = read_sheet(path, LIMITS) if path.is_file() else Sheet("", [])
    _, first = next(iter(sheet.lines()), (0, []))
    if not first or any(re.search(r"AU_?\d", cell, re.IGNORECASE) for cell in first):
        return None
    intensity, clipped = within(_numbers(path, sheet, driver), str(path), 1)
    return ActionUnitTable(intensity, None, 1, (clipped,) if clipped else ())


def _numbers(path: Path, sheet: Sheet, driver: Clip) -> UnitTable:
    """Return the cells as (T, 17) float64, with NaN for blanks.

    Raise CellFailed unless there is one row of 17 values per frame.
    """
    lines = [row for _, row in sheet.lines()]
    width = max(map(len, lines))
    rows = [row + [""] * (width - len(row)) for row in lines]
    if width != len(OPENFACE):
        raise CellFailed(
            f"{path} has {plural(width, 'column')}; it needs {len(OPENFACE)}, separated by commas, semicolons"
            f" or tabs, or a header with {COLUMNS[0]} ..."
        )
    if len(rows) != driver.n_frames:
        # pandas writes such a row above an array.
        numbered = [cell.strip() for cell in rows[0]] == [str(column) for column in range(width)]
        remedy = "Delete the first row, which numbers the columns" if numbered else "Supply the table for this clip"
        raise CellFailed(
            f"{path} has {plural(len(rows), 'row')}, but driver {driver.name} has {driver.n_frames} frames. {remedy}."
        )
    values = [[sheet.number(cell) if cell.strip() else np.nan for cell in row] for row in rows]
    for frame, (row, cells) in enumerate(zip(values, rows, strict=True), 1):
        if None in row:
            unit = row.index(None)
            raise CellFailed(
                f"{path}, frame {frame}: {COLUMNS[unit]} is {shown(cells[unit])}, not a number. Correct it."
            )
    return np.array(values, np.float64)


def _bridged(values: UnitTable, path: Path, first: int) -> UnitTable:
    """Return values (T, 17) with the gaps that `_gaps` finds interpolated linearly, after printing their frames."""
    lacking = _gaps(values, path, first)
    if not lacking:
        return values
    tell(path, [f"{path}: action units of {spans(frame + first for frame in lacking)} are interpolated"])
    frames = np.arange(len(values))
    columns = [np.interp(frames, frames[known], column[known]) for column in values.T for known in [~np.isnan(column)]]
    return np.stack(columns, axis=1)


def _gaps(values: UnitTable, path: Path, first: int) -> list[int]:
    """Return the frames in gaps, none of which may be longer than LONGEST_GAP frames.

    first: the number of the file's first frame. Raise CellFailed, naming the frames, if a gap is longer, or if it is at
    the beginning or end of the clip, where it cannot be interpolated.
    """
    lacking = np.flatnonzero(np.isnan(values).any(1))
    for gap in np.split(lacking, np.flatnonzero(np.diff(lacking) > 1) + 1) if len(lacking) else ():
        where = f"{path}: no action units in {spans(int(frame) + first for frame in gap)}"
        if gap[0] == 0 or gap[-1] == len(values) - 1:
            raise CellFailed(f"{where}, where the clip {'begins' if gap[0] == 0 else 'ends'}. Leave these frames out.")
        if len(gap) > LONGEST_GAP:
            raise CellFailed(
                f"{where}; at most {LONGEST_GAP} frames in a row are interpolated. Cut the driver at the gap."
            )
    return [int(frame) for frame in lacking]
