"""One page for one run: `report.html`, which opens from disk without a network connection.

This module reads the run's files (`megbench.reports.run_files`) and writes only the page and the encoded media. The
media are stored by content under `cache`, so that a second page costs little. If clips would make a page too large for
email and browsers, they are stored in the folder `report_media` beside it.
"""

import shlex
import shutil
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError
from megbench.core.files.cache import whole_folder, write_text
from megbench.core.files.working_folder import STORE
from megbench.core.frames import SIZE
from megbench.engine.run_folder import MEDIA_FOLDER, REPORT, SHARED_PAGE
from megbench.reports import fields, leaderboard
from megbench.reports.caveats import caveats, faces_inside
from megbench.reports.cells import (
    FACTORS,
    CellView,
    MediaList,
    amplification,
    cell_view,
    driver_clip,
    magnification,
    stretch,
    two_cells,
    with_outputs,
)
from megbench.reports.common_cells import common_means, told
from megbench.reports.detectors import disagreements
from megbench.reports.environment import TEMPLATES, environment
from megbench.reports.export import judged_tables
from megbench.reports.first_sight import first_sight
from megbench.reports.headlines import RANKED_BY, left_out
from megbench.reports.heat_map import heat_maps
from megbench.reports.intervals import differences_table
from megbench.reports.magnified import reading
from megbench.reports.media import COLUMNS, KNEE, PER_SHEET, Media, Wanted, media_of_all
from megbench.reports.missing import missing
from megbench.reports.page_script import joined, json_inside, policy, script_of
from megbench.reports.paper import for_paper
from megbench.reports.perturbed import perturbed_tables
from megbench.reports.published import reported_table
from megbench.reports.recognition import recognition_tables
from megbench.reports.reference import reference_tables
from megbench.reports.rewards import rewards_table, summary
from megbench.reports.run_files import FinishedRun
from megbench.reports.spotting import caution, spotting_table
from megbench.reports.table import Table

CACHE = STORE / "media"
SCRIPTS = ("find.js", "tables.js", "clips.js", "magnify.js", "player.js")
# The number of bytes of coded clips that one page may hold. If there are more, the clips are put in a folder beside it.
PAGE_BUDGET = 23_000_000


class Pictures(Enum):
    """Which clips a page shows. Controls are many and show little, so in most cells their scores suffice."""

    none = "none"
    controls_in_two_cells = "two"
    all = "all"


def write_report(
    run_folder: Path,
    pictures: Pictures = Pictures.controls_in_two_cells,
    cache: Path = CACHE,
    reference: str = "",
) -> Path:
    """Write `report.html` to a run folder and return its path. Raise BenchError if the run cannot be read.

    Without pictures, the page is `report_no_media.html`, which contains no face and may be shared. cache: the folder of
    encoded media. reference: the reference whose published rows are shown (megbench.reports.reference), or "".
    """
    run = FinishedRun(run_folder)
    media = None if pictures is Pictures.none else MediaList()
    everywhere = pictures is not Pictures.controls_in_two_cells
    whole = with_outputs(run)
    with_controls = {cell.name for cell in (run.facts.cells if everywhere else two_cells(whole))}
    cells = [cell_view(run, cell, media, cell.name in with_controls) for cell in run.facts.cells]
    wanted = [Wanted(path, count, run.motion_of(path)) for path, count in media.wanted] if media else []
    coded = media_of_all(wanted, cache)
    texts = [json_inside(clip.for_page()) for clip in coded]
    beside = sum(map(len, texts)) > PAGE_BUDGET
    if media is not None:
        _write_beside(run_folder / MEDIA_FOLDER, texts if beside else [])
    opened = run.facts.cells.index(whole[0]) if whole else 0
    board = leaderboard.leaderboard(run)
    script = script_of([TEMPLATES / name for name in SCRIPTS])
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            facts=run.facts,
            when=when(run),
            command=command(run),
            caveats=caveats(run),
            faces=faces_inside(run) if media else "",
            sights=first_sight(run, cells) if media else [],
            with_media=media is not None,
            with_fields=any(clip.field for clip in coded),
            factors=FACTORS,
            leaderboard=board,
            for_paper=for_paper,
            unequal=told(run),
            common_means=common_means(run),
            pairs=differences_table(run, RANKED_BY),
            magnified=reading(run),
            detectors=disagreements(run),
            explained=leaderboard.explained(run),
            with_intervals=any(entry.interval for row in board.rows() for entry in row),
            ranked=RANKED_BY in run.figures,
            has_guards=leaderboard.has_guards(run),
            left_out=left_out(run),
            floor=leaderboard.floor(run),
            above_ceiling=leaderboard.above_ceiling(run),
            floor_caution=leaderboard.floor_caution(run),
            why_no_floor=leaderboard.why_no_floor(run),
            under_floor=leaderboard.under_floor(run),
            floor_cells=len(run.cell_values(leaderboard.FLOOR_CONTROL, "agreement")),
            breakdowns=breakdowns(run),
            perturbed=list(perturbed_tables(run).values()),
            spotting=spotting_table(run),
            spotting_caution=caution(run),
            heat_maps=heat_maps(run),
            missing=missing(run),
            rewards=rewards_table(run),
            rewarded=summary(run),
            all_figures=leaderboard.all_figures(run),
            judged=judged_tables(run),
            recognition=recognition_tables(run),
            reported=reported_table(),
            reference=list(reference_tables(run, reference).values()),
            notes=leaderboard.notes(run),
            cells=cells,
            with_controls=with_controls,
            errors=sorted(clip.error for clip in coded if clip.sheets) or [0.0],
            coded=[] if beside else texts,
            data=json_inside(page_data(cells, coded, beside) | {"opened": opened}),
            identities=[(method.label, _lines(method.identity)) for method in run.facts.methods],
            provenance=_lines({"request": run.facts.request, **run.facts.provenance}),
            policy=policy(script, beside),
            style=joined([TEMPLATES / "report.css"]),
            script=script,
        )
    )
    return _write(run_folder / (REPORT if media else SHARED_PAGE), page)


def breakdowns(run: FinishedRun) -> list[Table]:
    """Return a table for each scope with more than one group."""
    return [leaderboard.breakdown(run, scope) for scope in leaderboard.SCOPES if len(run.groups(scope)) > 1]


def when(run: FinishedRun) -> str:
    """Return the date, machine and code in one line, leaving out what the run did not record."""
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


def command(run: FinishedRun) -> str:
    """Return the command line that made the run, as typed in a shell, or "" if it was not recorded."""
    made = run.facts.provenance.get("argv")
    if not isinstance(made, list) or not made:
        return ""
    program = Path(str(made[0])).name
    started = ["python", program] if program.endswith(".py") else [program.removesuffix(".exe")]
    started = ["python", "-m", "megbench"] if program == "__main__.py" else started
    return shlex.join([*started, *map(str, made[1:])])


def page_data(cells: Sequence[CellView], coded: Sequence[Media], beside: bool) -> dict[str, Any]:
    """Return what the page's script needs besides the media."""
    return {
        "folder": MEDIA_FOLDER if beside else "",
        "field": {"columns": fields.COLUMNS, "knee": fields.KNEE, "farthest": fields.FARTHEST},
        "size": SIZE,
        "columns": COLUMNS,
        "perSheet": PER_SHEET,
        "knee": KNEE,
        "cells": [_cell_data(view, driver_clip(view, coded)) for view in cells],
    }


def _cell_data(view: CellView, driver: Media | None) -> dict[str, Any]:
    cell = view.facts
    marks = {"onset": cell.onset_frame, "apex": cell.apex_frame, "offset": cell.offset_frame}
    return {
        "name": cell.name,
        "frames": cell.n_frames,
        "fps": cell.fps,
        "first": view.first_frame,
        "amplification": amplification(driver.reach if driver else 0.0),
        "stretch": stretch(driver.moves if driver else 0.0),
        "magnification": magnification(driver.moves if driver else 0.0),
        "marks": {name: frame for name, frame in marks.items() if frame is not None},
    }


def _lines(values: Any, path: str = "") -> list[tuple[str, str]]:
    """Return nested JSON values as (dotted name, text) pairs."""
    if isinstance(values, dict):
        return [
            pair for name, value in values.items() for pair in _lines(value, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(values, list):
        return [(path, ", ".join(map(str, values)))]
    return [(path, "—" if values is None else str(values))]


def _write_beside(folder: Path, texts: Sequence[str]) -> None:
    """Write each clip to its own file under `folder`, completely or not at all; remove the folder if there are none."""
    if not texts:
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        with whole_folder(folder) as temporary:
            for number, text in enumerate(texts):
                (temporary / f"{number}.js").write_text(f"receive({number}, {text});\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from None


def _write(path: Path, text: str) -> Path:
    try:
        write_text(path, text)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> BenchError:
    return BenchError(f"{path} cannot be written ({error.strerror}). Free some space or choose another --out.")
