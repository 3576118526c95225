"""The cells of the page: which clips stand in which cell, with their scores, words and curves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from reports import leaderboard
from reports.curves import Line, curves_of, motion_curves
from reports.media import Media
from reports.reading import Remark, read_cell
from reports.run_facts import CellFacts, MethodFacts
from reports.run_files import Run

# Grey levels either side of mid-grey that the amplified difference may fill.
FULL_CONTRAST = 127
# Numbered CSS colours for methods; a ninth method begins anew.
COLOURS = 8


@dataclass(frozen=True)
class ScoreLine:
    """One score under a player, as shown; `reason` where it is absent."""

    title: str
    shown: str
    reason: str
    explanation: str


@dataclass(frozen=True)
class Player:
    """One clip in a cell: its place in the page's media (None with the `reason` why there is none), scores, words."""

    title: str
    role: str
    media: int | None
    reason: str = ""
    colour: int | None = None
    scores: tuple[ScoreLine, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class CellView:
    """A cell as the page shows it."""

    facts: CellFacts
    inputs: tuple[Player, ...]
    outputs: tuple[Player, ...]
    controls: tuple[Player, ...]
    curves: Markup | None
    first_frame: int


class MediaList:
    """The clips that the page needs, each once, in the order in which they are first asked for."""

    def __init__(self) -> None:
        self.wanted: dict[tuple[Path, int], int] = {}

    def place(self, path: Path, count: int) -> int:
        """Number of a frame folder (or picture) among the page's media."""
        return self.wanted.setdefault((path, count), len(self.wanted))


def two_cells(cells: tuple[CellFacts, ...]) -> list[CellFacts]:
    """The first cell, and the first that shares neither its template nor its emotion (else the last); [] of none."""
    if not cells:
        return []
    first = cells[0]
    other = [cell for cell in cells if cell.template != first.template and cell.emotion != first.emotion]
    return [first, other[0] if other else cells[-1]]


def cell_view(run: Run, cell: CellFacts, media: MediaList, with_controls: bool) -> CellView:
    """Players, scores, words and curves of one cell."""
    series = {method.label: run.series(method.label, cell) for method in run.methods}
    inputs = [
        _input("template", "the face to move", run.template_picture(cell), 1, media),
        _input("driver", "the motion to make", run.driver_frames(cell), cell.n_frames, media),
    ]
    if cell.has_truth:
        inputs.append(_input("truth", "the right answer", run.truth_frames(cell), cell.n_frames, media))
    outputs = [_player(run, cell, method, media, number % COLOURS) for number, method in enumerate(run.methods)]
    controls = [_player(run, cell, method, media, None) for method in run.controls] if with_controls else []
    known = next((curves for curves in series.values() if curves), {})
    driver = curves_of(known, "driver")
    lines = [Line(curves_of(known, "truth"), dashed=True)] if cell.has_truth else []
    lines += [Line(curves_of(curves, "output"), i % COLOURS) for i, curves in enumerate(series.values())]
    lines.append(Line(driver))
    curves = motion_curves(cell, lines)
    return CellView(cell, tuple(inputs), tuple(outputs), tuple(controls), curves, first_frame(cell, driver))


def first_frame(cell: CellFacts, driver: Mapping[str, Sequence[float]]) -> int:
    """The frame at which a cell is opened: its apex; where nobody coded it, where a region of the driver moves most."""
    if cell.apex_frame is not None:
        return cell.apex_frame
    facial = [curve for group, curve in driver.items() if group != "head"]
    return max((max(curve), int(np.argmax(curve))) for curve in facial)[1] if facial else cell.n_frames // 2


def _player(run: Run, cell: CellFacts, method: MethodFacts, media: MediaList, colour: int | None) -> Player:
    failure = run.failure(method.label, cell)
    if failure is not None:
        return Player(method.label, "output", None, failure, colour)
    series = run.series(method.label, cell)
    figures = {name: run.of_cell(method.label, cell, name).value for name in run.figures}
    return Player(
        method.label,
        "output",
        media.place(run.output_frames(method.label, cell), cell.n_frames),
        colour=colour,
        scores=tuple(score_lines(run, cell, method)),
        remarks=tuple(read_cell(figures, curves_of(series, "driver"), curves_of(series, "output"))),
    )


def score_lines(run: Run, cell: CellFacts, method: MethodFacts) -> Iterator[ScoreLine]:
    """The leaderboard's figures of one cell, without those that only exist over many cells."""
    for group, line in leaderboard.headlines(run):
        if line.figure in leaderboard.POOLED or ("truth" in group and not cell.has_truth):
            continue
        entry = leaderboard.entry(run.of_cell(method.label, cell, line.figure))
        title = f"{line.title}, truth" if "truth" in group else line.title
        yield ScoreLine(
            title, entry.shown(line.decimals), entry.reason, leaderboard.explanation(*run.figures[line.figure])
        )


def _input(role: str, what: str, path: Path, count: int, media: MediaList) -> Player:
    """A template, driver or truth; without a clip where the run could not prepare it."""
    if not path.exists():
        return Player(role, "input", None, "not prepared in this run: see the reason beside it")
    return Player(role, "input", media.place(path, count), what)


def amplification(reach: float) -> int:
    """The power of two from 2 to 32 that brings differences of `reach` grey levels near full contrast, not over it."""
    return max((factor for factor in (2, 4, 8, 16, 32) if factor * reach <= FULL_CONTRAST), default=2)


def driver_reach(view: CellView, coded: Sequence[Media]) -> float:
    """How far the driver's differences reach; 0 where there is no driver to show."""
    shown = (player.media for player in view.inputs if player.title == "driver")
    return max((coded[media].reach for media in shown if media is not None), default=0.0)
