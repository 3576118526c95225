"""An animated table as in the papers' repositories: source, driver and methods side by side in slow motion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from megbench.core.errors import BenchError
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import SIZE, Frames
from megbench.reports.figures.shown import (
    SOURCE,
    Shown,
    chosen_rows,
    difference,
    driver_clip,
    fitting_factor,
    onset,
    output_clips,
    source_picture,
)
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun

HEADER, CAPTION, GAP = 24, 18, 4
# The number of characters of a title that fit above a picture.
LETTERS = 32
INK, GROUND = (28, 30, 33), (255, 255, 255)
# GIF's unit is a hundredth of a second; viewers slow down frames that are shorter than two.
SHORTEST = 20
FPS = 25.0


def write_gif(
    run: FinishedRun, cells: Sequence[CellFacts], labels: Sequence[str], slower: float, differences: bool, path: Path
) -> Path:
    """Animate a table with a line for each cell, `slower` times slower than recorded, and return its path.

    differences: whether to show amplified differences from the onset below the pictures. Clips that end early hold
    their last frame.
    """
    if path.suffix != ".gif":
        raise BenchError(f"{path} is not a name for an animation. Give --out a name that ends in .gif.")
    lines = [_line(run, cell, chosen_rows(run, labels), differences) for cell in cells]
    titles = [SOURCE, *(clip.title for clip in lines[0].clips)]
    count = max(cell.n_frames for cell in cells)
    frames = [_table(titles, lines, frame) for frame in range(count)]
    fps = cells[0].fps or FPS
    return _save(frames, max(SHORTEST, round(1000 * slower / fps)), path)


@dataclass(frozen=True)
class _Line:
    """A cell in the table: the template, the clips, and the amplification of their differences (0: not shown)."""

    cell: CellFacts
    source: Frames
    clips: Sequence[Shown]
    factor: int

    def pictures(self, frame: int) -> list[Frames | None]:
        """Return the template and the clips at a frame."""
        return [self.source, *(None if clip.frames is None else clip.frames[frame] for clip in self.clips)]

    def changes(self, frame: int) -> list[Frames | None]:
        """Return the amplified differences shown below the pictures; the template has none."""
        rest = onset(self.cell)
        return [
            None,
            *(c.frames if c.frames is None else _grey(c.frames, frame, rest, self.factor) for c in self.clips),
        ]


def _grey(frames: Frames, frame: int, rest: int, factor: int) -> Frames:
    return np.repeat(difference(frames, frame, rest, factor)[..., None], 3, axis=2)


def _line(run: FinishedRun, cell: CellFacts, labels: Sequence[str], differences: bool) -> _Line:
    clips = [driver_clip(run, cell), *output_clips(run, cell, labels)]
    return _Line(cell, source_picture(run, cell), clips, fitting_factor(cell, clips) if differences else 0)


def _table(titles: Sequence[str], lines: Sequence[_Line], frame: int) -> Image.Image:
    """Return one frame of the animation."""
    tall = sum(SIZE * (2 if line.factor else 1) + CAPTION + GAP for line in lines)
    width = len(titles) * (SIZE + GAP) - GAP
    header = HEADER * max(len(title.splitlines()) for title in titles)
    table = Image.new("RGB", (width, header + tall - GAP), GROUND)
    pen, font, small = ImageDraw.Draw(table), ImageFont.load_default(15), ImageFont.load_default(12)
    for column, title in enumerate(titles):
        shown = "\n".join(shorten(line, LETTERS) for line in title.splitlines())
        pen.text((column * (SIZE + GAP) + SIZE // 2, header // 2), shown, INK, font, "mm", align="center")
    top = header
    for line in lines:
        at = min(frame, line.cell.n_frames - 1)
        for pictures in (line.pictures(at), *([line.changes(at)] if line.factor else [])):
            for column, picture in enumerate(pictures):
                if picture is not None:
                    table.paste(Image.fromarray(picture), (column * (SIZE + GAP), top))
            top += SIZE
        change = f", differences {line.factor} times" if line.factor else ""
        pen.text((0, top + CAPTION // 2), f"{line.cell.driver} on {line.cell.template}{change}", INK, small, "lm")
        top += CAPTION + GAP
    return table


def shorten(text: str, letters: int) -> str:
    """Return text, cut to `letters` characters with "..." at its end if it is longer."""
    return text if len(text) <= letters else f"{text[: letters - 3]}..."


def _save(frames: Sequence[Image.Image], duration: int, path: Path) -> Path:
    """Write the frames with one palette and no dithering, because flickering colours would hide the motion."""
    palette = frames[len(frames) // 2].quantize(256, Image.Quantize.MEDIANCUT)
    coded = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    try:
        with whole_file(path) as file:
            coded[0].save(file, "GIF", save_all=True, append_images=coded[1:], duration=duration, loop=0)
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error.strerror}). Choose another --out.") from None
    return path
