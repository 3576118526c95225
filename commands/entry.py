"""Pack a row's outputs as a challenge entry: a zip of videos, each decoded again and compared with its frames."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from megbench.core.errors import BenchError, CellFailed, plural
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import Frames, content_hash, grey, read_frames, read_png
from megbench.core.progress import track
from megbench.core.video_writing import VIEWED, decoded, write_video
from megbench.faces.kept_motion import lost_motion
from megbench.faces.landmarks import Points, landmarks
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun

# MEGC requires videos of 256 x 256 pixels at 100 frames a second, whatever the driver's frame rate.
FPS = 100.0
# Videos for viewing are not good enough: at crf 4, a noisy clip with hardly any motion loses some of that motion.
FINE = {**VIEWED, "crf": "1"}
# The date of the files in the zip: the earliest that the format allows, so that equal videos give equal zip files.
DATE = (1980, 1, 1, 0, 0, 0)


def write_entry(run: FinishedRun, label: str, names: Mapping[str, str], target: Path) -> None:
    """Write a row's outputs as `<name>.mp4` into a zip file, completely or not at all.

    names: the cells' names in the entry, keyed by their names in the run. Raise BenchError, naming the cell, if an
    output is missing or is not the one that was scored, or if a video does not preserve the frames or their motion.
    """
    cells = [cell for cell in run.facts.cells if cell.name in names]
    for cell in cells:  # before anything is encoded
        if (failure := run.failure(label, cell)) is not None:
            raise BenchError(
                f"{label} on {cell.name} has no output: {failure}. Complete the run, because an entry must include"
                " every video."
            )
    with whole_file(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as entry:
        for cell in track(cells, f"Videos of {label}", "video"):
            try:
                data = _video(run, label, cell)
            except CellFailed as error:
                raise BenchError(f"{label} on {cell.name}: its motion cannot be checked: {error}.") from None
            entry.writestr(zipfile.ZipInfo(f"{names[cell.name]}.mp4", DATE), data)


def _video(run: FinishedRun, label: str, cell: CellFacts) -> bytes:
    """Return the video of one output. Raise BenchError if it does not match the scored frames."""
    frames = read_frames(run.output_frames(label, cell), cell.n_frames)
    where, scored = f"{label} on {cell.name}", run.content(label, cell)
    if scored and content_hash(frames) != scored:
        raise BenchError(
            f"{where}: its frames are not those that were scored. Rerun the command that created this run."
        )
    buffer = io.BytesIO()
    write_video(buffer, frames, FPS, viewed=FINE)
    shown = decoded(buffer.getvalue())
    if shown.shape != frames.shape:
        raise BenchError(f"{where}: its video has {_size(shown)} instead of {_size(frames)}. Report this as a bug.")
    if lost := lost_motion(frames, shown, _points(run, cell)):
        raise BenchError(f"{where}: its video does not preserve the face's motion: {lost}. Report this as a bug.")
    return buffer.getvalue()


def _points(run: FinishedRun, cell: CellFacts) -> Points:
    """Return the landmarks of a cell's template, which is also what an output shows in frame 0.

    Raise CellFailed if the template has no face.
    """
    return landmarks(grey(read_png(run.template_picture(cell))[None])[0], f"template {cell.template}")


def _size(frames: Frames) -> str:
    return f"{plural(len(frames), 'frame')} of {frames.shape[2]}x{frames.shape[1]}"
