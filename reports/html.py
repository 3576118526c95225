"""One page for one run: `report.html`, a single file that opens from disk without a network.

It reads what the run left behind (`reports.run_files`) and writes nothing but the page and the coded media, which are
kept by content under `cache` so that a second page costs little.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from core.errors import BenchError
from core.frames import SIZE
from reports import leaderboard
from reports.curves import Line, curves_of, motion_curves
from reports.environment import TEMPLATES, environment
from reports.media import COLUMNS, KNEE, PER_SHEET, Media, media_of_all
from reports.reading import Remark, read_cell
from reports.run_files import CellFacts, MethodFacts, Run
from reports.table import Table

CACHE = Path(".megbench") / "media"
RENDERED = (
    "Rendered clips.",
    "Drivers, templates and truths are morphs of public-domain portraits, moved by an authored model of facial action"
    " units and recorded by a simulated camera. Their motion is known exactly, so every cell has a right answer, which"
    " no real database has. They are not recordings of people: they show whether a method carries small facial motion"
    " to another face, not how it would fare on real micro-expressions. For that, run a protocol on recordings.",
)
DEMO_WEIGHTS = (
    "Small networks trained briefly on rendered faces, so that the whole suite can be seen at work at once. They are"
    " not the published models, and their order here says nothing of the papers'. The model cards tell how they were"
    " trained."
)
SCOPES = ("database", "emotion", "template")
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


def write_report(run_folder: Path, media_all: bool = False, cache: Path = CACHE) -> Path:
    """Write `report.html` into a run folder and return its path; BenchError if the run cannot be read.

    Controls' pictures are shown in two cells, with `media_all` in all. `cache` keeps coded media between reports.
    """
    run = Run(run_folder)
    media = MediaList()
    with_controls = {cell.name for cell in (run.facts.cells if media_all else two_cells(run.facts.cells))}
    cells = [cell_view(run, cell, media, cell.name in with_controls) for cell in run.facts.cells]
    coded = media_of_all(list(media.wanted), cache)
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            facts=run.facts,
            when=when(run),
            caveats=caveats(run),
            leaderboard=leaderboard.leaderboard(run),
            left_out=leaderboard.left_out(run),
            floor=leaderboard.floor(run),
            under_floor=leaderboard.under_floor(run),
            floor_cells=len(run.cell_values(leaderboard.FLOOR_CONTROL, "agreement")),
            breakdowns=breakdowns(run),
            cells_table=leaderboard.cells_table(run),
            all_figures=leaderboard.all_figures(run),
            explanations=[leaderboard.explanation(metric, figure) for metric, figure in run.figures.values()],
            cells=cells,
            with_controls=with_controls,
            error=max((clip.error for clip in coded), default=0.0),
            coded=[_json(clip.for_page()) for clip in coded],
            data=_json(page_data(cells, coded)),
            identities=[(method.label, _lines(method.identity)) for method in run.facts.methods],
            provenance=_lines({"request": run.facts.request, **run.facts.provenance}),
            style=_asset("report.css"),
            script=_asset("report.js"),
        )
    )
    return _write(run_folder / "report.html", page)


def two_cells(cells: tuple[CellFacts, ...]) -> list[CellFacts]:
    """The first cell, and the first that shares neither its template nor its emotion (else the last)."""
    first = cells[0]
    other = [cell for cell in cells if cell.template != first.template and cell.emotion != first.emotion]
    return [first, other[0] if other else cells[-1]]


def breakdowns(run: Run) -> list[Table]:
    """A table for each scope with more than one group."""
    return [leaderboard.breakdown(run, scope) for scope in SCOPES if len(run.groups(scope)) > 1]


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


def when(run: Run) -> str:
    """Date, machine and code in one line; only what the run recorded."""
    made = run.facts.provenance
    machine, code = made.get("machine") or {}, made.get("code") or {}
    commit = str(code.get("commit") or code.get("sources") or "")[:10]
    parts = [
        str(made.get("date", "")).replace("T", " "),
        " on ".join(str(machine[part]) for part in ("device", "processor") if machine.get(part)),
        str(machine.get("system", "")),
        f"code {commit}{' (modified)' if code.get('modified') else ''}" if commit else "",
    ]
    return " · ".join(part for part in parts if part)


def caveats(run: Run) -> list[tuple[str, str]]:
    """What the clips and the weights of this run are and are not, each as a title and a text."""
    texts = []
    if any(cell.rendered for cell in run.facts.cells):
        texts.append(RENDERED)
    demo = [method.label for method in run.methods if method.variant in ("", "demo") and "weights" in method.identity]
    if demo:
        texts.append((f"Demo weights ({', '.join(demo)}).", DEMO_WEIGHTS))
    return texts


def page_data(cells: Sequence[CellView], coded: Sequence[Media]) -> dict[str, Any]:
    """What the page's script must know besides the media."""
    return {
        "size": SIZE,
        "columns": COLUMNS,
        "perSheet": PER_SHEET,
        "knee": KNEE,
        "cells": [
            {
                "name": view.facts.name,
                "frames": view.facts.n_frames,
                "fps": view.facts.fps,
                "first": view.first_frame,
                "amplification": amplification(_driver_reach(view, coded)),
                "marks": {
                    name: frame
                    for name, frame in (
                        ("onset", view.facts.onset_frame),
                        ("apex", view.facts.apex_frame),
                        ("offset", view.facts.offset_frame),
                    )
                    if frame is not None
                },
            }
            for view in cells
        ],
    }


def amplification(reach: float) -> int:
    """The power of two from 2 to 32 that brings differences of `reach` grey levels near full contrast, not over it."""
    return max((factor for factor in (2, 4, 8, 16, 32) if factor * reach <= FULL_CONTRAST), default=2)


def _driver_reach(view: CellView, coded: Sequence[Media]) -> float:
    shown = (player.media for player in view.inputs if player.title == "driver")
    return max((coded[media].reach for media in shown if media is not None), default=0.0)


def _lines(values: Any, path: str = "") -> list[tuple[str, str]]:
    """Nested JSON values as (dotted name, text) pairs."""
    if isinstance(values, dict):
        return [
            pair for name, value in values.items() for pair in _lines(value, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(values, list):
        return [(path, ", ".join(map(str, values)))]
    return [(path, "—" if values is None else str(values))]


def _json(value: Any) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _asset(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise BenchError(
            f"{path}: cannot be written ({error.strerror}). Free some space or choose another --out."
        ) from None
    return path
