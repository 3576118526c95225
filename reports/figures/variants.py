"""Variants side by side (Zhang et al., MM '21, figure 5): each cell at its apex, with differences below."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from megbench.reports.figures.grid import Row, TilePicture, draw_grid
from megbench.reports.figures.shown import (
    SOURCE,
    apex,
    chosen_rows,
    difference,
    driver_clip,
    fitting_factor,
    frame_title,
    onset,
    output_clips,
    source_picture,
)
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun


def draw_variants(run: FinishedRun, cells: Sequence[CellFacts], labels: Sequence[str]) -> Figure:
    """Draw the source, the driver and the run's rows as columns, with two lines per cell.

    The first line shows the apex (the middle frame if no apex is coded), the second its amplified change since onset.
    """
    chosen = chosen_rows(run, labels)
    rows: list[Row] = []
    titles: list[str] = []
    for cell in cells:
        clips = [driver_clip(run, cell), *output_clips(run, cell, chosen)]
        titles = [clip.title for clip in clips]
        factor = fitting_factor(cell, clips)
        pictures: list[TilePicture | str] = [source_picture(run, cell)]
        changes: list[TilePicture | str] = [""]
        for clip in clips:
            pictures.append(clip.reason if clip.frames is None else clip.frames[apex(cell)])
            changes.append("" if clip.frames is None else difference(clip.frames, apex(cell), onset(cell), factor))
        shown = frame_title(cell, apex(cell))
        shown = shown if " " in shown else f"frame {shown}"
        rows += [(f"{cell.driver}\non {cell.template}\n{shown}", pictures), (f"difference,\n{factor} times", changes)]
    return draw_grid([SOURCE, *titles], rows)
