"""OpenFace 2's AU intensities, read from the CSV files that it writes; the program itself is the user's.

FeatureExtraction writes one file a clip, FaceLandmarkImg one a picture; headers come with and without spaces. Where no
face was found OpenFace writes zeros, which are no scores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import BenchError
from core.openface import LARGEST
from core.places import started
from core.store import write_text

UNITS = tuple(f"AU{number:02d}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
COLUMNS = [f"{unit}_r" for unit in UNITS]
LARGEST_BYTES = 200_000_000
# Imported files, by the content of the clip they were made from; never deleted by the store.
FOLDER = Path(".megbench/openface")

Scores = npt.NDArray[np.float64]


def read_openface(path: Path, n_frames: int) -> Scores:
    """Intensities 0..5 of UNITS (n_frames, 17), NaN in frames without a face.

    path: one file with a row a frame, or a folder with one file a frame, sorted by name. BenchError if it cannot be
    read, lacks a column or has another number of frames.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise BenchError(f"{path}: no CSV files of OpenFace are in this folder.")
    tables = [_table(file) for file in files]
    if path.is_dir():
        tables = [_strongest(table).assign(frame=k) for k, table in enumerate(tables, start=1)]
    table = pd.concat(tables)
    if "frame" not in table:
        table["frame"] = np.arange(1, len(table) + 1)
    if table["frame"].duplicated().any():
        raise BenchError(f"{path}: several rows for one frame: more than one face. Run OpenFace on one face only.")
    strange = table["frame"][~table["frame"].isin(range(1, n_frames + 1))]
    if len(strange):
        raise BenchError(f"{path}: has frame {strange.iloc[0]:g}, the clip has {n_frames}. Give the CSV of this clip.")
    numbers = table["frame"].to_numpy(int)
    if len(numbers) == 0 or (path.is_dir() and len(files) != n_frames):
        raise BenchError(f"{path}: has {len(numbers)} frames, the clip has {n_frames}. Give the CSV of this clip.")
    scores = np.full((n_frames, len(UNITS)), np.nan)
    found = table[COLUMNS].to_numpy(np.float64, copy=True)
    found[~_with_face(table, found)] = np.nan
    if np.isinf(found).any() or np.nanmin(found, initial=0) < 0 or np.nanmax(found, initial=0) > LARGEST:
        raise BenchError(f"{path}: AU intensities must be numbers from 0 to {LARGEST:g}. Run OpenFace again.")
    scores[numbers - 1] = found
    return scores


def keep(content: str, scores: Scores) -> Path:
    """Keep the scores of the clip whose frames have this hash, for the metric."""
    table = pd.DataFrame(scores, columns=COLUMNS)
    table.insert(0, "frame", np.arange(1, len(scores) + 1))
    table.insert(1, "success", (~np.isnan(scores).any(1)).astype(int))
    path = kept_path(content)
    write_text(path, table.fillna(0).to_csv(index=False, lineterminator="\n"))
    return path


def kept_path(content: str) -> Path:
    """Return where the imported scores of the clip with this hash lie, whether there are any or not."""
    return started(FOLDER) / f"{content}.csv"


def kept(content: str, n_frames: int) -> Scores | None:
    """The scores kept for a clip; None if there are none."""
    path = kept_path(content)
    return read_openface(path, n_frames) if path.is_file() else None


def _table(path: Path) -> pd.DataFrame:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise BenchError(f"{path} is larger than {LARGEST_BYTES} bytes; it is not OpenFace's.")
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: not a readable CSV file ({str(error).splitlines()[0]}).") from None
    table.columns = [str(name).strip() for name in table.columns]
    if lacking := [name for name in COLUMNS if name not in table]:
        raise BenchError(
            f"{path} lacks {lacking[0]}; OpenFace writes it with -aus. It has: {', '.join(map(str, table))[:200]}."
        )
    if twice := [name for name in COLUMNS if list(table.columns).count(name) > 1]:
        raise BenchError(f"{path}: the column {twice[0]} stands twice. Keep one of them.")
    used = [*COLUMNS, *(name for name in ("frame", "success", "confidence") if name in table)]
    try:
        return table[used].astype(np.float64)
    except ValueError:
        raise BenchError(f"{path}: a value that is not a number in its AU columns.") from None


def _strongest(table: pd.DataFrame) -> pd.DataFrame:
    """Of several faces in one picture the surest; a picture without rows is one without a face."""
    if table.empty:
        return pd.DataFrame([dict.fromkeys(table.columns, 0.0)])
    if "confidence" in table:
        table = table.sort_values("confidence", ascending=False)
    return table.head(1)


def _with_face(table: pd.DataFrame, found: Scores) -> npt.NDArray[np.bool_]:
    """Which rows are scores: those that OpenFace calls successful; where it does not say, those that are not zero."""
    marks = [table[name].to_numpy() > 0 for name in ("success", "confidence") if name in table]
    return np.asarray(np.all(marks, axis=0) if marks else found.any(axis=1), np.bool_)
