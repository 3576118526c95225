"""What the page shows first: the best and the worst cell at the apex, as faces and amplified differences."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from megbench.core.frames import Frames
from megbench.reports.cells import CellView
from megbench.reports.figures.shown import (
    difference,
    driver_clip,
    fitting_amplification,
    head_still,
    onset,
    output_clips,
)
from megbench.reports.headlines import FAMILY, RANKED_BY
from megbench.reports.run_facts import CellFacts, MethodFacts
from megbench.reports.run_files import FinishedRun

# A WebP quality at which ten pictures take about 100 KB.
QUALITY = 80


@dataclass(frozen=True)
class Tile:
    """One picture: WebP as a data URI, its caption and its alternative text."""

    picture: str
    title: str
    alt: str


@dataclass(frozen=True)
class Sight:
    """One cell of one row: a heading such as "Best cell", the cell, the row's label, its numbers and five pictures.

    head_still: whether head motion is removed from the differences, which requires motion measured by scoring.
    """

    heading: str
    cell: CellFacts
    label: str
    numbers: str
    head_still: bool
    tiles: tuple[Tile, ...]


def first_sight(run: FinishedRun, views: Sequence[CellView]) -> list[Sight]:
    """Return the cells with the highest and lowest agreement of any row except controls, or [] if none was scored.

    If only one cell was scored, return that cell alone. Pictures show the frame at which the page opens the cell.
    """
    found = list(_scored(run, views))
    if not found:
        return []
    best, worst = (choose(found, key=lambda scored: scored[0]) for choose in (max, min))
    named = [("Best cell", best), ("Worst cell", worst)] if best is not worst else [("The only cell", best)]
    return [_sight(run, heading, method, view) for heading, (_, method, view) in named]


def _scored(run: FinishedRun, views: Sequence[CellView]) -> Iterator[tuple[float, MethodFacts, CellView]]:
    """Yield the agreement of every row except controls, for every cell that has the row's frames and the driver's."""
    for method in run.methods:
        for view in views:
            value = run.of_cell(method.label, view.facts, RANKED_BY).value
            whole = run.failure(method.label, view.facts) is None and run.driver_frames(view.facts).exists()
            if value is not None and whole:
                yield value, method, view


def _sight(run: FinishedRun, heading: str, method: MethodFacts, view: CellView) -> Sight:
    cell = view.facts
    moments = [min(frame, cell.n_frames - 1) for frame in (onset(cell), view.first_frame)]
    clips = [driver_clip(run, cell), *output_clips(run, cell, [method.label])]
    driver, output = (clip.frames[moments] for clip in clips if clip.frames is not None)
    stilled = [frames for clip in clips if (frames := head_still(clip, moments)) is not None]
    compared = stilled if len(stilled) == len(clips) else [driver, output]
    factor = fitting_amplification(compared[0], 1, 0)
    changes = [difference(frames, 1, 0, factor) for frames in compared]
    start = "onset" if cell.onset_frame is not None else "first frame"
    most = "apex" if cell.apex_frame is not None else "frame that moves most"
    head = ", head motion removed" if compared is stilled else ""
    what = f"difference between {most} and {start}, {factor} times, on grey{head}"
    tiles = (
        _tile(driver[0], f"driver, {start}", f"{cell.driver}, frame {moments[0]}"),
        _tile(driver[1], f"driver, {most}", f"{cell.driver}, frame {moments[1]}"),
        _tile(changes[0], f"driver, difference, {factor} times", f"The driver's {what}"),
        _tile(output[1], f"{method.label}, {most}", f"{method.label}'s output on {cell.template}, frame {moments[1]}"),
        _tile(changes[1], f"{method.label}, difference, {factor} times", f"The output's {what}"),
    )
    return Sight(heading, cell, method.label, _numbers(run, method, cell), compared is stilled, tiles)


def _numbers(run: FinishedRun, method: MethodFacts, cell: CellFacts) -> str:
    """Return a cell's agreement, gain and error as text, leaving out absent values."""
    values = ((name, run.of_cell(method.label, cell, name).value) for name in FAMILY)
    return ", ".join(f"{name} {value:.2f}" for name, value in values if value is not None)


def _tile(picture: Frames, title: str, alt: str) -> Tile:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", quality=QUALITY, method=4)
    return Tile(f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}", title, alt)
