"""Where action units come from, for the methods that are driven by them: the option `au_source`.

| au_source | intensities 0..5 | presences |
|---|---|---|
| `truth` | rendered clips: the exact ones, 1 micro being 5 of OpenFace's, clipped | not at rest |
| `openface` | `.megbench/aus/openface/<driver>.csv`, as OpenFace's FeatureExtraction writes it | its `_c` columns |
| `table` | `.megbench/aus/table/<driver>.csv`, frames x 17, the user's own | above zero |
| `flow` | estimated from the driver's flow (methods/au_from_flow.py), as in `truth` | above the noise |

But for `flow`, none looks at the driver's pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.clip import Clip
from core.errors import CellFailed
from core.openface import LARGEST, OPENFACE, Table, shares
from core.places import started
from core.registry import load

FOLDER = Path(".megbench/aus")
# A driver of an hour at 200 fps; anything larger is no table of this kind.
LARGEST_BYTES = 500_000_000
INTENSITY = [f"AU{unit:02d}_r" for unit in OPENFACE]
PRESENCE = [f"AU{unit:02d}_c" for unit in OPENFACE]


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
    """Return where a driver's table lies for `au_source=openface` and `au_source=table`."""
    return started(FOLDER) / source / f"{driver.name}.csv"


def openface(driver: Clip) -> ActionUnits:
    """What OpenFace found, one row a frame. CellFailed where the file is missing or does not fit the clip."""
    path = table_path("openface", driver)
    table = _read(path, header=0)
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in INTENSITY + PRESENCE if name not in table.columns]
    if missing:
        raise CellFailed(f"{path} lacks the column {missing[0]}. Write it with OpenFace's FeatureExtraction -aus.")
    if "face_id" in table.columns and table["face_id"].nunique() > 1:
        raise CellFailed(f"{path} holds {table['face_id'].nunique()} faces. Keep the rows of one.")
    return ActionUnits(_numbers(path, table[INTENSITY], driver), _numbers(path, table[PRESENCE], driver))


def table(driver: Clip) -> ActionUnits:
    """The user's own matrix, without a header in OpenFace's order or with AU01_r ... AU45_r in any order."""
    path = table_path("table", driver)
    found = _read(path, header=None)
    first = [str(value).strip() for value in found.iloc[0]] if len(found) else []
    if set(first) >= set(INTENSITY):
        found = found.iloc[1:].set_axis(first, axis=1)[INTENSITY]
    elif found.shape[1] != len(OPENFACE):
        raise CellFailed(
            f"{path} has {found.shape[1]} columns; it needs {len(OPENFACE)}, or a header with {INTENSITY[0]} ..."
        )
    intensity = _numbers(path, found, driver)
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
    return [table_path(name, driver)] if name in ("openface", "table") else []


def _read(path: Path, header: int | None) -> pd.DataFrame:
    if not path.is_file():
        raise CellFailed(f"{path} does not exist. Put the driver's action units there.")
    if path.stat().st_size > LARGEST_BYTES:
        raise CellFailed(f"{path} is larger than {LARGEST_BYTES} bytes; it is no table of action units.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            return pd.read_csv(path, header=header, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError) as error:
        raise CellFailed(
            f"{path} is no table of comma-separated values ({' '.join(str(error).split())[:120]})."
        ) from None


def _numbers(path: Path, found: pd.DataFrame, driver: Clip) -> Table:
    """The values (T, 17) float64. CellFailed unless they are numbers 0..5, one row a frame."""
    if len(found) != driver.n_frames:
        raise CellFailed(f"{path} has {len(found)} rows, driver {driver.name} has {driver.n_frames} frames.")
    values = found.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if not np.isfinite(values).all() or values.min(initial=0) < 0 or values.max(initial=0) > LARGEST:
        row = int(np.argmin(np.isfinite(values).all(1) & (values >= 0).all(1) & (values <= LARGEST).all(1)))
        raise CellFailed(f"{path}, frame {row}: action units must be numbers from 0 to {LARGEST:g}.")
    return values
