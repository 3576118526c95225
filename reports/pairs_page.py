"""The folder that a rater opens from disk: pairs of synchronised outputs with driver and template, without names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megbench.core.files.cache import whole_folder
from megbench.core.frames import SIZE
from megbench.experts.pairs_keys import MARK, Asks
from megbench.reports import fields
from megbench.reports.environment import TEMPLATES, environment
from megbench.reports.html import CACHE
from megbench.reports.media import COLUMNS, KNEE, PER_SHEET, Wanted, media_of_all
from megbench.reports.page_script import joined, json_inside, policy, script_of
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun

PAGE = "index.html"
CLIPS = "clips"
SCRIPTS = ("find.js", "clips.js", "pairs.js")
# As in the challenge, nothing is played faster than 100 frames a second.
FASTEST, USUAL = 100.0, 25.0


def write_pairs_folder(run: FinishedRun, folder: Path, asks: Asks, cache: Path = CACHE) -> Path:
    """Write a rater's folder; return its page's path. Clips are numbered in the key's random order, inputs last."""
    cells = {(cell.driver, cell.template): cell for cell in run.facts.cells}
    clips: dict[Wanted, int] = {}
    asked = {code for question in asks.questions for code in question}
    for code, output in asks.key.codes.items():
        if code in asked:
            cell = cells[output.driver, output.template]
            _number(clips, run.output_frames(output.method, cell), cell.n_frames)
    questions = [_question(run, clips, asks, number, cells) for number in range(len(asks.questions))]
    coded = media_of_all(list(clips), cache)
    script = script_of([TEMPLATES / name for name in SCRIPTS])
    data = {
        "format": MARK,
        "id": asks.id,
        "file": f"pairs_{asks.key.expert}.json",
        "folder": CLIPS,
        "size": SIZE,
        "columns": COLUMNS,
        "perSheet": PER_SHEET,
        "knee": KNEE,
        "field": {"columns": fields.COLUMNS, "knee": fields.KNEE, "farthest": fields.FARTHEST},
        "questions": questions,
    }
    page = (
        environment()
        .get_template("pairs.html.j2")
        .render(
            data=json_inside(data),
            count=len(questions),
            policy=policy(script, beside=True),
            style=joined([TEMPLATES / name for name in ("report.css", "pairs.css")]),
            script=script,
        )
    )
    with whole_folder(folder) as place:
        (place / CLIPS).mkdir()
        for number, media in enumerate(coded):
            text = f"receive({number}, {json_inside(media.for_page())});\n"
            (place / CLIPS / f"{number}.js").write_text(text, encoding="utf-8")
        (place / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def _number(clips: dict[Wanted, int], frames: Path, count: int) -> int:
    """Return a clip's number, assigning one if needed. Motion fields are left out, since the page shows none."""
    return clips.setdefault(Wanted(frames, count), len(clips))


def _question(
    run: FinishedRun, clips: dict[Wanted, int], asks: Asks, number: int, cells: dict[tuple[str, str], CellFacts]
) -> dict[str, Any]:
    left, right = asks.outputs(number)
    cell = cells[left.driver, left.template]
    return {
        "left": _number(clips, run.output_frames(left.method, cell), cell.n_frames),
        "right": _number(clips, run.output_frames(right.method, cell), cell.n_frames),
        "driver": _number(clips, run.driver_frames(cell), cell.n_frames),
        "template": _number(clips, run.template_picture(cell), 1),
        "frames": cell.n_frames,
        "fps": min(cell.fps or USUAL, FASTEST),
    }
