"""An entry to a challenge: a row's outputs as videos in one zip, each decoded again and compared with its frames."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from megbench.core.errors import BenchError, CellFailed
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import Frames, content_hash, grey, read_frames, read_png
from megbench.core.progress import track
from megbench.core.video_writing import VIEWED, decoded, write_video
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.landmarks import Points, landmarks
from megbench.faces.motion import facial_motion
from megbench.faces.regions import REGIONS, face_regions
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun

# MEGC asks for 256 x 256 at 100 frames a second, whatever the driver's rate.
FPS = 100.0
# Finer than for viewers: at crf 4 a noisy clip with hardly any motion loses some of it in its noise.
FINE = {**VIEWED, "crf": "1"}
# What a video may change of a region's motion, as a root mean square over frames: so many pixels, or this share of it.
# On rendered faces with peaks of .05 to .6 px, with camera noise and without, crf 1 changes at most .025 px; x264's
# usual settings change .035 px and more at crf 12, .05 and more at crf 18.
PIXELS, SHARE = 0.03, 0.05
# Of files in the zip: the earliest that the format knows, so that the same videos give the same zip.
DATE = (1980, 1, 1, 0, 0, 0)


def write_entry(run: FinishedRun, label: str, names: Mapping[str, str], target: Path) -> None:
    """Write a row's outputs as `<name>.mp4` into a zip, the whole file or none.

    names: what each of the run's cells is called in the entry, by the cell's name. BenchError naming the cell if an
    output is missing or not the one that was scored, or if its video does not keep its frames or their motion.
    """
    cells = [cell for cell in run.facts.cells if cell.name in names]
    for cell in cells:  # before anything is encoded
        if (failure := run.failure(label, cell)) is not None:
            raise BenchError(f"{label} on {cell.name} has no output: {failure}. An entry needs all of its videos.")
    with whole_file(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as entry:
        for cell in track(cells, f"Videos of {label}", "video"):
            try:
                data = _video(run, label, cell)
            except CellFailed as error:
                raise BenchError(f"{label} on {cell.name}: its motion cannot be checked: {error}.") from None
            entry.writestr(zipfile.ZipInfo(f"{names[cell.name]}.mp4", DATE), data)


def _video(run: FinishedRun, label: str, cell: CellFacts) -> bytes:
    """Return the video of one output. BenchError if it is not as it should be."""
    frames = read_frames(run.output_frames(label, cell), cell.n_frames)
    where, scored = f"{label} on {cell.name}", run.content(label, cell)
    if scored and content_hash(frames) != scored:
        raise BenchError(f"{where}: its frames are not those that were scored. Run the same command again.")
    buffer = io.BytesIO()
    write_video(buffer, frames, FPS, viewed=FINE)
    shown = decoded(buffer.getvalue())
    if shown.shape != frames.shape:
        raise BenchError(f"{where}: its video shows {_size(shown)}, not {_size(frames)}. Report this as a fault.")
    if lost := lost_motion(frames, shown, _points(run, cell)):
        raise BenchError(f"{where}: its video does not keep the face's motion: {lost}. Report this as a fault.")
    return buffer.getvalue()


def _points(run: FinishedRun, cell: CellFacts) -> Points:
    """Return landmarks of a cell's template, whose face is that of an output's frame 0. CellFailed without a face."""
    return landmarks(grey(read_png(run.template_picture(cell))[None])[0], f"template {cell.template}")


def _size(frames: Frames) -> str:
    return f"{len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}"


def lost_motion(frames: Frames, shown: Frames, points: Points) -> str:
    """Return in which region of a face a video changes most of the motion, and by how much; "" if it keeps it all.

    frames, shown: (T, 256, 256, 3) uint8 RGB, before and after. points: 68 landmarks in their first frame. Head motion
    is taken out of both. A region keeps its motion if at most .03 px or 5 % of it is another (root mean squares over
    the frames).
    """
    own, seen = _region_motion(frames, points), _region_motion(shown, points)
    moves, lost = (np.sqrt(np.square(track).sum(-1).mean(0)) for track in (own, seen - own))
    excess = np.nan_to_num(lost / np.maximum(PIXELS, SHARE * moves))
    worst = int(np.argmax(excess))
    if excess[worst] <= 1:
        return ""
    return (
        f"the region {REGIONS[worst]} moves otherwise by {lost[worst]:.3f} px, its own motion is {moves[worst]:.3f} px"
    )


def _region_motion(frames: Frames, points: Points) -> np.ndarray:
    """Motion of each region from frame 0, head motion removed: (T, 12, 2) pixels, NaN outside the picture."""
    luma = grey(frames)
    follow = FlowFrom(luma[0], box_around(face_regions(points).face))
    motion = facial_motion(lambda frame: follow(luma[frame]), len(luma), points)
    return motion.trajectory.astype(np.float64) * motion.eye_distance
