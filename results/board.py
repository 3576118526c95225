"""The public table as a static site: pages in one folder that open from disk and load nothing else."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from megbench.core.errors import BenchError
from megbench.core.files.cache import whole_folder
from megbench.core.files.names import check_name
from megbench.reports.environment import TEMPLATES as REPORT_TEMPLATES
from megbench.reports.page_script import joined, policy, script_of
from megbench.results.check import findings
from megbench.results.export import text_of
from megbench.results.paper_numbers import PaperNumber, beside, paper_numbers
from megbench.results.rankings import Entry, Ranking, headline, rankings
from megbench.results.reading import read_submission
from megbench.results.submission import FigureFacts, Row

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "index.html"
# A folder with this file is an earlier site, which may be replaced.
MARKER = "made_by_megbench_results_board"


def write_board(
    entries: Path, out: Path, known_weights: Mapping[str, str], numbers: Sequence[PaperNumber] | None = None
) -> Path:
    """Write the site of all results files in a folder; return its first page.

    Raise BenchError if a file is faulty, if there is no file, or if `out` contains anything but an earlier site.
    """
    found = read_entries(entries, known_weights)
    shown = paper_numbers() if numbers is None else numbers
    if out.exists() and not (out.is_dir() and ((out / MARKER).is_file() or not any(out.iterdir()))):
        raise BenchError(f"{out} contains something other than an earlier site. Give --out a new folder.")
    with whole_folder(out.absolute()) as folder:
        (folder / MARKER).write_text("", encoding="utf-8")
        (folder / INDEX).write_text(_index(rankings(found, shown)), encoding="utf-8")
        for entry in found:
            (folder / f"{entry.name}.json").write_text(text_of(entry.made), encoding="utf-8")
            for row in entry.made.rows:
                (folder / entry.page(row)).write_text(_row_page(entry, row, shown), encoding="utf-8")
    return out / INDEX


def read_entries(folder: Path, known_weights: Mapping[str, str]) -> list[Entry]:
    """Return all results files in a folder, sorted by name. Raise BenchError for the first faulty one."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        name = check_name("entry", path.stem)
        made, facts = read_submission(path)
        if lines := findings(facts, known_weights):
            raise BenchError(
                f"{path}: {lines[0]}. `results check` lists all faults; remove the file or export it again."
            )
        found.append(Entry(name, made))
    if not found:
        raise BenchError(f"{folder} contains no results file (*.json). Add one with `results add RUN`.")
    lower = [entry.name.lower() for entry in found]
    if twice := [name for name in lower if lower.count(name) > 1]:
        raise BenchError(f"{folder} contains two files whose names differ only in case: {twice[0]}.json. Rename one.")
    return found


def _index(found: Sequence[Ranking]) -> str:
    rows = [ranked for ranking in found for ranked in ranking.rows]
    return _page(
        "board.html.j2",
        rankings=found,
        headline=headline,
        protocols=list(dict.fromkeys(ranking.protocol for ranking in found)),
        metrics=list(dict.fromkeys(f"{ranking.metric.name} {ranking.metric.version}" for ranking in found)),
        statuses=list(dict.fromkeys(ranked.status for ranked in rows if not ranked.row.is_control)),
        entries=len({ranked.entry.name for ranked in rows}),
    )


def _row_page(entry: Entry, row: Row, numbers: Sequence[PaperNumber]) -> str:
    made = entry.made
    versions = {name: (metric.name, metric.version) for name, (metric, _) in made.figures.items()}
    shown = [
        (metric, [figure for figure in metric.figures if figure.group or len(metric.figures) == 1] or metric.figures)
        for metric in made.metrics
        if any(row.scores[figure.name].value is not None for figure in metric.figures)
    ]
    return _page(
        "row.html.j2",
        entry=entry,
        made=made,
        row=row,
        shown=shown,
        papers=beside(row, made.protocol, versions, numbers),
        reasons={name: _reasons(row, name) for name in row.cells},
    )


def _reasons(row: Row, cell: str) -> dict[str, str]:
    """Return the reasons for a cell's absent figures, by figure."""
    return {figure: reason for reason, figures in row.cells[cell].absent.items() for figure in figures}


def number(value: float | None, figure: FigureFacts) -> str:
    """Return a value as the table shows it."""
    return "" if value is None else f"{round(value, figure.decimals) + 0.0:.{figure.decimals}f}"  # no -0.00


def aim(figure: FigureFacts) -> str:
    """Return the direction of better values: ↑, ↓, or an arrow and the ideal if it lies between the bounds.

    Return "" if there is no ideal.
    """
    if figure.ideal is None:
        return ""
    return "↑" if figure.ideal == figure.most else "↓" if figure.ideal == figure.least else f"→ {figure.ideal:g}"


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader([TEMPLATES, REPORT_TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(number=number, aim=aim)
    return made


def _page(template: str, **values: Any) -> str:
    """Return a page with inline style and script, and with a policy that prevents it from loading anything."""
    script = script_of([folder / name for folder, name in SCRIPTS])
    style = joined([folder / name for folder, name in STYLES])
    page = _environment().get_template(template)
    return page.render(style=style, script=script, policy=policy(script, pictures=False), **values)


STYLES = ((REPORT_TEMPLATES, "report.css"), (TEMPLATES, "board.css"))
SCRIPTS = ((REPORT_TEMPLATES, "find.js"), (REPORT_TEMPLATES, "tables.js"), (TEMPLATES, "board.js"))
