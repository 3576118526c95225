"""The difference strip (Zhang et al., MM '21, figure 4): frames of each clip over time, their differences below."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from reports.figures.grid import Row, draw_grid
from reports.figures.shown import (
    Shown,
    chosen_rows,
    difference,
    driver_clip,
    fitting_factor,
    frame_title,
    key_frames,
    onset,
    output_clips,
)
from reports.run_facts import CellFacts
from reports.run_files import Run


def draw_strip(run: Run, cell: CellFacts, labels: Sequence[str]) -> Figure:
    """Driver and outputs from onset over apex to offset; below each the amplified difference to its own onset."""
    clips = [driver_clip(run, cell), *output_clips(run, cell, chosen_rows(run, labels))]
    factor, frames = fitting_factor(cell, clips), key_frames(cell)
    rows: list[Row] = []
    for clip in clips:
        rows += _rows(clip, cell, frames, factor)
    return draw_grid([frame_title(cell, frame) for frame in frames], rows)


def _rows(clip: Shown, cell: CellFacts, frames: Sequence[int], factor: int) -> list[Row]:
    if clip.frames is None:
        return [(clip.title, [clip.reason] * len(frames))]
    changes = [difference(clip.frames, frame, onset(cell), factor) for frame in frames]
    return [(clip.title, [clip.frames[frame] for frame in frames]), (f"difference,\n{factor} times", changes)]
