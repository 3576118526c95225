"""Commands on finished runs and on the store behind them: `report`, `clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.options import STORE, MediaAllOption

# What a run shows: the page, and the headline figures as text.
REPORT = "report.html"
SUMMARY = "summary.txt"
SHOWN = (SUMMARY, REPORT)


def report(
    runs: list[Path],
    media_all: MediaAllOption = False,
    no_media: Annotated[bool, typer.Option("--no-media", help="A page for sharing: no face in it.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Also the tables as LaTeX, in RUN/tables.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Also the tables as CSV, in RUN/tables.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Also the tables as Markdown, in RUN/tables.")] = False,
) -> None:
    """Make the reports of runs again from their files."""
    from core.manifest import seal_again
    from reports.forms import tables_of, write_tables

    forms = [name for name, wanted in (("latex", latex), ("csv", csv), ("markdown", markdown)) if wanted]
    for run in runs:
        print(make_report(run, media_all, no_media))
        if forms:
            print(f"{len(write_tables(run / 'tables', tables_of(run), forms))} tables in {run / 'tables'}")
        seal_again(run)


def page_recipe() -> str:
    """Return the hash of what decides a page besides the run's files: code, packages and templates."""
    from core.file_hashes import states
    from core.provenance import ROOT, recipe
    from core.store import digest

    assets = sorted(
        path for path in (ROOT / "reports").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    )
    return digest([recipe("reports.html"), recipe("faces.seen"), states(assets)])


def make_report(run: Path, media_all: bool, no_media: bool = False) -> Path:
    """Write a run's page, whose path is returned, and its summary for terminals.

    Motion fields are those that scoring left in the store.
    """
    from core.store import write_text
    from reports.html import Pictures, write_report
    from reports.leaderboard import brief
    from reports.run_files import Run

    write_text(run / SUMMARY, brief(Run(run)).text())
    if no_media:
        return write_report(run, Pictures.none)
    from faces.seen import FieldOf

    pictures = Pictures.all if media_all else Pictures.controls_in_two_cells
    return write_report(run, pictures, FieldOf(STORE.resolve() / "features"))


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only say what would go.")] = False,
) -> None:
    """Delete the store (.megbench), from which runs are made faster; runs keep what they hold."""
    from core.store import KINDS, entries, remove

    found = entries(STORE)
    for kind in KINDS:
        of_kind = [entry for entry in found if entry.path.parent.name == kind]
        if of_kind:
            freed, size = (sum(getattr(entry, part) for entry in of_kind) / 1e6 for part in ("freed", "size"))
            print(f"{kind:10} {len(of_kind):6} entries {size:9.1f} MB, of which {freed:.1f} MB are held by no run")
    if not found:
        print(f"Nothing to free: {STORE} is empty or not there.")
    elif yes:
        for entry in found:
            remove(entry)
        print(f"Freed {sum(entry.freed for entry in found) / 1e6:.1f} MB.")
    else:
        print("Nothing was deleted. Add --yes to do it.")
