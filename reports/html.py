"""One page for one run: `report.html`, a single file that opens from disk without a network.

It reads what the run left behind (`reports.run_files`) and writes nothing but the page and the coded media, which are
kept by content under `cache` so that a second page costs little.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from core.errors import BenchError
from core.frames import SIZE
from reports import leaderboard
from reports.cells import CellView, MediaList, amplification, cell_view, driver_reach, two_cells
from reports.environment import TEMPLATES, environment
from reports.media import COLUMNS, KNEE, PER_SHEET, Media, media_of_all
from reports.run_files import Run
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
SEEN = (
    "Trained on clips of this run.",
    "A row marked so was trained on some of the drivers it is scored on, or on other clips of the people in them."
    " Its scores there say what it remembers as well as what it can do; train it without them to compare it.",
)
SCOPES = ("database", "emotion", "template")


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
            explained=leaderboard.explained(run),
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
            errors=sorted(clip.error for clip in coded if clip.sheets) or [0.0],
            coded=[_json(clip.for_page()) for clip in coded],
            data=_json(page_data(cells, coded)),
            identities=[(method.label, _lines(method.identity)) for method in run.facts.methods],
            provenance=_lines({"request": run.facts.request, **run.facts.provenance}),
            style=_asset("report.css"),
            script=_asset("report.js"),
        )
    )
    return _write(run_folder / "report.html", page)


def breakdowns(run: Run) -> list[Table]:
    """A table for each scope with more than one group."""
    return [leaderboard.breakdown(run, scope) for scope in SCOPES if len(run.groups(scope)) > 1]


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
    if any(method.seen_drivers or method.seen_people for method in run.facts.methods):
        texts.append(SEEN)
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
                "amplification": amplification(driver_reach(view, coded)),
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
