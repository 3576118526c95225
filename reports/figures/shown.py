"""What a figure of a run shows: the cells, the rows, their frames and the differences from the onset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megbench.core.errors import check_choice
from megbench.core.frames import Frames, read_frames, read_png
from megbench.core.head_at_rest import head_at_rest
from megbench.core.spline import as_type
from megbench.reports.cells import amplification
from megbench.reports.fields import read_head
from megbench.reports.marks import words
from megbench.reports.media import LUMA
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun

DRIVER, TRUTH, SOURCE = "driver", "truth", "source"


@dataclass(frozen=True)
class Shown:
    """A clip in a figure: `frames` uint8 (T, 256, 256, 3), or None with the `reason`.

    motion: the file in which scoring stored the clip's motion.
    """

    title: str
    frames: Frames | None
    reason: str = ""
    motion: Path | None = None


def chosen_cells(run: FinishedRun, names: Sequence[str]) -> list[CellFacts]:
    """Return the cells called `names`, or the run's first cell by default. Raise BenchError for an unknown name."""
    known = {cell.name: cell for cell in run.facts.cells}
    for name in names:
        check_choice("cell", name, list(known))
    return [known[name] for name in names] or list(run.facts.cells[:1])


def chosen_rows(run: FinishedRun, labels: Sequence[str]) -> list[str]:
    """Return the rows called `labels`, or all methods if there are none. Raise BenchError for an unknown label."""
    for label in labels:
        check_choice("row", label, [method.label for method in run.facts.methods])
    return list(labels) or [method.label for method in run.methods]


def driver_clip(run: FinishedRun, cell: CellFacts) -> Shown:
    """Return the cell's driver."""
    folder = run.driver_frames(cell)
    if not folder.exists():
        return Shown(DRIVER, None, "not prepared in this run")
    return Shown(DRIVER, read_frames(folder, cell.n_frames), motion=run.motion_of(folder))


def truth_clip(run: FinishedRun, cell: CellFacts) -> list[Shown]:
    """Return the cell's truth, or [] if it is unknown."""
    if not cell.has_truth:
        return []
    folder = run.truth_frames(cell)
    return [Shown(TRUTH, read_frames(folder, cell.n_frames), motion=run.motion_of(folder))]


def output_clips(run: FinishedRun, cell: CellFacts, labels: Sequence[str]) -> list[Shown]:
    """Return the outputs of some rows, in that order, titled with the rows' marks."""
    clips = []
    for label in labels:
        failure = run.failure(label, cell)
        folder = run.output_frames(label, cell)
        frames = None if failure else read_frames(folder, cell.n_frames)
        title = "\n".join([label, *(f"({word})" for word in words(run, label))])
        clips.append(Shown(title, frames, failure or "", run.motion_of(folder)))
    return clips


def source_picture(run: FinishedRun, cell: CellFacts) -> Frames:
    """Return the cell's template (256, 256, 3)."""
    return read_png(run.template_picture(cell))


def onset(cell: CellFacts) -> int:
    """Return the frame that differences refer to: the onset, or frame 0 if none is coded."""
    return cell.onset_frame or 0


def apex(cell: CellFacts) -> int:
    """Return the frame of the strongest expression: the apex, or the middle frame if none is coded."""
    return cell.n_frames // 2 if cell.apex_frame is None else cell.apex_frame


def key_frames(cell: CellFacts) -> list[int]:
    """Return the onset, apex and offset (or the first, middle and last frame) and the frames halfway between them."""
    start, peak = onset(cell), apex(cell)
    end = cell.n_frames - 1 if cell.offset_frame is None else cell.offset_frame
    return sorted({start, (start + peak + 1) // 2, peak, (peak + end + 1) // 2, end})


def frame_title(cell: CellFacts, frame: int) -> str:
    """Return a frame's number, with "onset", "apex" or "offset" if it is one."""
    marks = {cell.offset_frame: "offset", cell.apex_frame: "apex", cell.onset_frame: "onset"}
    return f"{marks[frame]} {frame}" if frame in marks else str(frame)


def head_still(clip: Shown, chosen: Sequence[int]) -> Frames | None:
    """Return some frames of a clip, uint8 (N, 256, 256, 3), with the head moved back to its place in frame 0.

    Return None if scoring stored no head motion of this clip.
    """
    heads = read_head(clip.motion) if clip.motion else None
    if clip.frames is None or heads is None or len(heads) != len(clip.frames):
        return None
    return np.stack([as_type(head_at_rest(clip.frames[frame], heads[frame]), np.uint8) for frame in chosen])


def difference(frames: Frames, frame: int, rest: int, factor: float) -> npt.NDArray[np.uint8]:
    """Return the luma of a frame minus that of frame `rest`, times `factor`, around mid-grey: uint8 (256, 256)."""
    change = (frames[frame].astype(np.float32) - frames[rest]) @ LUMA
    return np.clip(np.rint(128 + factor * change), 0, 255).astype(np.uint8)


def fitting_factor(cell: CellFacts, clips: Sequence[Shown]) -> int:
    """Return the amplification at which the first clip that has frames nearly reaches full contrast at the apex."""
    for clip in clips:
        if clip.frames is not None:
            return fitting_amplification(clip.frames, apex(cell), onset(cell))
    return 1


def fitting_amplification(frames: Frames, frame: int, rest: int) -> int:
    """Return the amplification at which the difference between a frame and `rest` nearly reaches full contrast."""
    change = (frames[frame].astype(np.float32) - frames[rest]) @ LUMA
    return amplification(float(np.percentile(np.abs(change), 98)))
