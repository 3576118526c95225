"""The cells of the page: the clips in each cell with their scores, remarks and curves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megbench.reports.cell_curves import COLOURS, MOTION, Curves, cell_curves
from megbench.reports.headlines import against_truth, entry, explanation, headlines
from megbench.reports.marks import words
from megbench.reports.media import Media
from megbench.reports.remarks import Remark, read_cell
from megbench.reports.run_facts import CellFacts, MethodFacts
from megbench.reports.run_files import FinishedRun, Series
from megbench.reports.softness import sharpness_of

# The number of grey levels on either side of mid-grey that the amplified difference may use.
FULL_CONTRAST = 127
# The longest arrow of a motion field, in pixels: somewhat more than the distance to the next arrow.
ARROW = 22
# Factors by which the page magnifies facial motion, and the peak motion in pixels that magnification aims at.
FACTORS = (4, 8, 16)
SEEN_EASILY = 8.0


@dataclass(frozen=True)
class ScoreLine:
    """One score under a player, as shown, or the `reason` why it is absent."""

    title: str
    shown: str
    reason: str
    explanation: str


@dataclass(frozen=True)
class Player:
    """One clip in a cell: its index in the page's media (or None with the `reason`), scores and remarks.

    remarks: its scores in words. marks: the words of its row's marks.
    """

    title: str
    role: str
    media: int | None
    reason: str = ""
    colour: int | None = None
    scores: tuple[ScoreLine, ...] = ()
    remarks: tuple[Remark, ...] = ()
    marks: str = ""


@dataclass(frozen=True)
class CellView:
    """A cell as the page shows it."""

    facts: CellFacts
    inputs: tuple[Player, ...]
    outputs: tuple[Player, ...]
    controls: tuple[Player, ...]
    curves: tuple[Curves, ...]
    first_frame: int


class MediaList:
    """The clips that the page needs, each once, in the order of first use."""

    def __init__(self) -> None:
        self.wanted: dict[tuple[Path, int], int] = {}

    def place(self, path: Path, count: int) -> int:
        """Return the index of a frame folder (or picture) among the page's media, after adding it if it is new."""
        return self.wanted.setdefault((path, count), len(self.wanted))


def with_outputs(run: FinishedRun) -> tuple[CellFacts, ...]:
    """Return the cells in which the largest number of methods have frames, or all cells if no method has any."""
    counts = [sum(run.failure(method.label, cell) is None for method in run.methods) for cell in run.facts.cells]
    return tuple(cell for cell, count in zip(run.facts.cells, counts, strict=True) if count == max(counts))


def two_cells(cells: tuple[CellFacts, ...]) -> list[CellFacts]:
    """Return the first cell and the first one that differs from it in both template and emotion.

    If no cell does, return the first and the last cell; return [] if there are no cells.
    """
    if not cells:
        return []
    first = cells[0]
    other = [cell for cell in cells if cell.template != first.template and cell.emotion != first.emotion]
    return [first, other[0] if other else cells[-1]]


def cell_view(run: FinishedRun, cell: CellFacts, media: MediaList | None, with_controls: bool) -> CellView:
    """Return the players, scores, remarks and curves of one cell. media: None for a page without pictures."""
    inputs: list[Player] = []
    if media is not None:
        inputs = [
            _input(
                "template", _sharp(run, cell, "template", "the face to animate"), run.template_picture(cell), 1, media
            ),
            _input(
                "driver",
                _sharp(run, cell, "driver", "the motion to transfer"),
                run.driver_frames(cell),
                cell.n_frames,
                media,
            ),
        ]
        if cell.has_truth:
            inputs.append(_input("truth", "the ground truth", run.truth_frames(cell), cell.n_frames, media))
    outputs = [_player(run, cell, method, media, number % COLOURS) for number, method in enumerate(run.methods)]
    controls = [_player(run, cell, method, media, None) for method in run.controls] if with_controls else []
    series = {method.label: run.series(method.label, cell) for method in run.methods}
    driver = next((kept[MOTION].of("driver") for kept in series.values() if MOTION in kept), {})
    curves = tuple(cell_curves(cell, series, run.detectors))
    return CellView(cell, tuple(inputs), tuple(outputs), tuple(controls), curves, first_frame(cell, driver))


def first_frame(cell: CellFacts, driver: Mapping[str, Sequence[float]]) -> int:
    """Return the frame at which a cell opens: its coded apex or, if none, the peak of the driver's strongest region."""
    if cell.apex_frame is not None:
        return cell.apex_frame
    facial = [curve for group, curve in driver.items() if group != "head"]
    return max((max(curve), int(np.argmax(curve))) for curve in facial)[1] if facial else cell.n_frames // 2


def _player(
    run: FinishedRun, cell: CellFacts, method: MethodFacts, media: MediaList | None, colour: int | None
) -> Player:
    failure = run.failure(method.label, cell)
    if failure is not None:
        return Player(method.label, "output", None, failure, colour, marks=", ".join(words(run, method.label)))
    motion = run.series(method.label, cell).get(MOTION, Series())
    values = {name: run.of_cell(method.label, cell, name).value for name in run.figures}
    figures = {name: figure for name, (_, figure) in run.figures.items()}
    return Player(
        method.label,
        "output",
        None if media is None else media.place(run.output_frames(method.label, cell), cell.n_frames),
        colour=colour,
        scores=tuple(score_lines(run, cell, method)),
        remarks=tuple(read_cell(values, figures, motion.of("driver"), motion.of("output"))),
        marks=", ".join(words(run, method.label)),
    )


def score_lines(run: FinishedRun, cell: CellFacts, method: MethodFacts) -> Iterator[ScoreLine]:
    """Yield the leaderboard's figures of one cell, leaving out those that are defined only over many cells."""
    for figure in headlines(run):
        if figure.pooling == "pooled" or (figure.target == "truth" and not cell.has_truth):
            continue
        score = entry(run.of_cell(method.label, cell, figure.name))
        title, text = against_truth(figure, "{}, truth"), explanation(*run.figures[figure.name])
        yield ScoreLine(title, score.shown(figure.decimals), score.reason, text)


def _input(role: str, what: str, path: Path, count: int, media: MediaList) -> Player:
    """Return a template, driver or truth as a player, without a clip if the run could not prepare it."""
    if not path.exists():
        return Player(role, "input", None, "not prepared in this run: see the reason beside it")
    return Player(role, "input", media.place(path, count), what)


def _sharp(run: FinishedRun, cell: CellFacts, role: str, what: str) -> str:
    """Return the caption of a template or driver, with its sharpness if that was measured."""
    found = sharpness_of(run, cell, role)
    return what if found is None else f"{what}; sharpness {found:.0f}"


def amplification(reach: float) -> int:
    """Return the largest power of two (2 to 32) at which differences of `reach` grey levels fit full contrast; at least
    2."""
    return max((factor for factor in (2, 4, 8, 16, 32) if factor * reach <= FULL_CONTRAST), default=2)


def stretch(moves: float) -> int:
    """Return the largest power of two (1 to 64) by which arrows of `moves` pixels can be lengthened and fit; at least
    1."""
    return max((factor for factor in (1, 2, 4, 8, 16, 32, 64) if factor * moves <= ARROW), default=1)


def magnification(moves: float) -> int:
    """Return the factor that makes a peak motion of `moves` pixels easiest to see; the largest factor for 0."""
    if not moves:
        return FACTORS[-1]
    return min(FACTORS, key=lambda factor: abs(math.log(factor * moves / SEEN_EASILY)))


def driver_clip(view: CellView, coded: Sequence[Media]) -> Media | None:
    """Return the cell's driver among the page's clips, or None if there is none to show."""
    shown = (player.media for player in view.inputs if player.title == "driver")
    return next((coded[media] for media in shown if media is not None), None)
