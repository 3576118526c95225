"""Where action units come from, for the methods that are driven by them: the option `au_source`.

| au_source | intensities 0..5 | presences |
|---|---|---|
| `truth` | rendered clips: the exact ones, 1 micro being 5 of OpenFace's, clipped | not at rest |
| `openface` | `.megbench/aus/openface/<driver>.csv` as OpenFace writes it, or a folder of them | its `_c` columns |
| `table` | `.megbench/aus/table/<driver>.csv`, frames x 17, or a table without `_c` columns | above zero |
| `flow` | estimated from the driver's flow (methods/au_from_flow.py), as in `truth` | above the noise |

But for `flow`, none looks at the driver's pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.clip import Clip
from core.errors import BenchError, CellFailed, shown
from core.openface import LARGEST, OPENFACE, Table, shares
from core.places import started
from core.registry import load
from core.sheet import Sheet
from core.tables import read_sheet, table_called
from faces.openface import ActionUnitTable, read_table, spans, tell, within
from faces.openface_rows import COLUMNS, LIMITS, files_in

FOLDER = Path(".megbench/aus")
# Missing frames in a row that are interpolated; at 200 fps a blink is longer.
LONGEST_GAP = 3


@dataclass(frozen=True)
class ActionUnits:
    """Action units of a clip's frames: intensity (T, 17), 0..5 in OpenFace's order; presence (T, 17), 0 or 1."""

    intensity: Table
    presence: Table


def truth(driver: Clip) -> ActionUnits:
    """The exact units of a rendered clip. CellFailed for a recording."""
    known = driver.known()
    if known is None:
        others = " or ".join(f"au_source={name}" for name in SOURCES if name != "truth")
        raise CellFailed(f"driver {driver.name} is a recording, whose action units nobody knows. Use {others}.")
    units = dict(zip(known.action_units, known.au_intensity.T, strict=True))
    intensity = np.clip(LARGEST * np.broadcast_to(shares(units), (driver.n_frames, len(OPENFACE))), 0, LARGEST)
    return ActionUnits(intensity, np.asarray(intensity > 0, np.float64))


def table_path(source: str, driver: Clip) -> Path:
    """Return where a driver's table lies for `au_source=openface` and `au_source=table`.

    A CSV file, another table or a workbook named after the driver, or a folder of that name with one CSV a frame.
    """
    folder = started(FOLDER) / source / driver.name
    return folder if folder.is_dir() else table_called(folder) or folder.with_name(f"{driver.name}.csv")


def openface(driver: Clip) -> ActionUnits:
    """Return what OpenFace found. CellFailed if the file is missing, does not fit the clip or lacks too many frames."""
    path = table_path("openface", driver)
    found = _read(path, driver, presences=True)
    assert found.presence is not None
    presence = _bridged(found.presence, path, found.first)
    return ActionUnits(_bridged(found.intensity, path, found.first), np.asarray(presence >= 0.5, np.float64))


def table(driver: Clip) -> ActionUnits:
    """Return the user's own values: 17 columns in OpenFace's order, or a table with AU01_r ... AU45_r in its header."""
    path = table_path("table", driver)
    found = _matrix(path, driver) or _read(path, driver)
    intensity = _bridged(found.intensity, path, found.first)
    return ActionUnits(intensity, np.asarray(intensity > 0, np.float64))


# By name, as every table of the house, so that what is not asked for is not imported.
SOURCES = {
    "truth": "methods.au_sources:truth",
    "openface": "methods.au_sources:openface",
    "table": "methods.au_sources:table",
    "flow": "methods.au_from_flow:flow",
}


def source(name: str) -> Callable[[Clip], ActionUnits]:
    """The source called `name`. BenchError with the choices for another name."""
    found: Callable[[Clip], ActionUnits] = load("source of action units", name, SOURCES)
    return found


def files_of(name: str, driver: Clip) -> list[Path]:
    """Return the files that a source reads besides the driver's clip."""
    if name not in ("openface", "table"):
        return []
    path = table_path(name, driver)
    return files_in(path) if path.is_dir() else [path]


def _read(path: Path, driver: Clip, presences: bool = False) -> ActionUnitTable:
    """Return a driver's table, and tell what is odd in it. CellFailed if it is missing or does not fit the driver."""
    if not path.exists():
        raise CellFailed(f"{path} does not exist. Put the driver's action units there.")
    try:
        found = read_table(path, driver.n_frames, presences, f"driver {driver.name}")
    except BenchError as error:
        raise CellFailed(str(error)) from None
    tell(path, found.remarks)
    return found


def _matrix(path: Path, driver: Clip) -> ActionUnitTable | None:
    """Return a table of numbers alone, a row a frame; None if its first row names columns or there is none."""
    try:
        sheet = read_sheet(path, LIMITS) if path.is_file() else Sheet("", [])
        if not sheet.rows or any(re.search(r"AU\d", cell, re.IGNORECASE) for cell in sheet.rows[0]):
            return None
        values = _numbers(path, sheet, driver)
        intensity, clipped = within(values, str(path), 1)
    except CellFailed:
        raise
    except BenchError as error:
        raise CellFailed(str(error)) from None
    tell(path, [clipped] if clipped else [])
    return ActionUnitTable(intensity, None, 1, ())


def _numbers(path: Path, sheet: Sheet, driver: Clip) -> Table:
    """Return the cells as (T, 17) float64, NaN for blanks. CellFailed unless they are numbers, one row a frame."""
    width = max(map(len, sheet.rows))
    rows = [row + [""] * (width - len(row)) for row in sheet.rows if any(row)]
    if width != len(OPENFACE):
        raise CellFailed(
            f"{path} has {width} columns; it needs {len(OPENFACE)}, parted by commas, semicolons or tabs, or a header"
            f" with {COLUMNS[0]} ..."
        )
    if len(rows) != driver.n_frames:
        raise CellFailed(f"{path} has {len(rows)} rows, driver {driver.name} has {driver.n_frames} frames.")
    values = [[sheet.number(cell) if cell.strip() else np.nan for cell in row] for row in rows]
    for frame, (row, cells) in enumerate(zip(values, rows, strict=True), 1):
        if None in row:
            unit = row.index(None)
            raise CellFailed(f"{path}, frame {frame}: {COLUMNS[unit]} is {shown(cells[unit])}, not a number.")
    return np.array(values, np.float64)


def _bridged(values: Table, path: Path, first: int) -> Table:
    """Return values (T, 17) with missing ones interpolated linearly over at most LONGEST_GAP frames, and tell it.

    first: number of the file's first frame. CellFailed, naming the frames, for a longer gap and for one at the
    beginning or end of the clip, where there is nothing to interpolate between.
    """
    lacking = np.flatnonzero(np.isnan(values).any(1))
    for gap in np.split(lacking, np.flatnonzero(np.diff(lacking) > 1) + 1) if len(lacking) else ():
        where = f"{path}: no action units in {spans(int(frame) + first for frame in gap)}"
        if gap[0] == 0 or gap[-1] == len(values) - 1:
            raise CellFailed(f"{where}, where the clip {'begins' if gap[0] == 0 else 'ends'}. Cut the driver there.")
        if len(gap) > LONGEST_GAP:
            raise CellFailed(f"{where}; at most {LONGEST_GAP} frames in a row are interpolated. Cut the driver there.")
    if not len(lacking):
        return values
    tell(path, [f"{path}: action units of {spans(int(frame) + first for frame in lacking)} are interpolated"])
    frames = np.arange(len(values))
    columns = [np.interp(frames, frames[known], column[known]) for column in values.T for known in [~np.isnan(column)]]
    return np.stack(columns, axis=1)
