"""The difference strip (Zhang et al., MM '21, figure 4): frames of each clip over time, with differences below."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from megbench.reports.figures.grid import Row, draw_grid
from megbench.reports.figures.shown import (
    Shown,
    chosen_rows,
    difference,
    driver_clip,
    fitting_factor,
    frame_title,
    head_still,
    key_frames,
    onset,
    output_clips,
    source_picture,
    truth_clip,
)
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun


def draw_strip(run: FinishedRun, cell: CellFacts, labels: Sequence[str], without_head: bool = False) -> Figure:
    """Draw the template, then driver, truth and outputs from onset through apex to offset, with differences below.

    Differences are relative to the clip's own onset, and amplified. without_head: whether the head is moved back to its
    place in frame 0 before differences are computed.
    """
    clips = [driver_clip(run, cell), *truth_clip(run, cell), *output_clips(run, cell, chosen_rows(run, labels))]
    factor, frames = fitting_factor(cell, clips), key_frames(cell)
    rows: list[Row] = [("template", [source_picture(run, cell), *[""] * (len(frames) - 1)])]
    for clip in clips:
        rows += _rows(clip, cell, frames, factor, without_head)
    return draw_grid([frame_title(cell, frame) for frame in frames], rows)


def _rows(clip: Shown, cell: CellFacts, frames: Sequence[int], factor: int, without_head: bool) -> list[Row]:
    if clip.frames is None:
        return [(clip.title, [clip.reason] * len(frames))]
    title = f"difference,\n{factor} times"
    compared, places = clip.frames[[onset(cell), *frames]], range(1, len(frames) + 1)
    if without_head:
        still = head_still(clip, [onset(cell), *frames])
        title += "\nwithout head" if still is not None else "\n(head not measured)"
        compared = compared if still is None else still
    changes = [difference(compared, place, 0, factor) for place in places]
    return [(clip.title, [clip.frames[frame] for frame in frames]), (title, changes)]
