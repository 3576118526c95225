"""Commands for finished runs and the store behind them: `report`, `clean`."""

from __future__ import annotations

import filecmp
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.commands.options import MediaAllOption, ReferenceOption, names
from megbench.core.errors import plural
from megbench.core.files.working_folder import STORE
from megbench.engine.run_folder import MOTION_FOLDER, SUMMARY

if TYPE_CHECKING:
    from megbench.engine.runner import Job
    from megbench.reports.run_files import FinishedRun

TABLES = "tables"


def report(
    runs: list[Path],
    media_all: MediaAllOption = False,
    no_media: Annotated[bool, typer.Option("--no-media", help="Write a page for sharing, without faces.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Also write the tables as LaTeX to RUN/tables.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Also write the tables as CSV to RUN/tables.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Also write the tables as Markdown to RUN/tables.")
    ] = False,
    columns: Annotated[
        str, typer.Option(help="Comma-separated figures: the exported leaderboard's columns; default: the main ones.")
    ] = "",
    reference: ReferenceOption = "",
) -> None:
    """Regenerate the reports of runs from their files."""
    from megbench.core.files.folder_lock import RUN, locked_existing
    from megbench.core.progress import note
    from megbench.engine.seal import seal_again
    from megbench.reports.export import tables_of, write_tables
    from megbench.reports.run_files import FinishedRun

    forms = [name for name, wanted in (("latex", latex), ("csv", csv), ("markdown", markdown)) if wanted]
    for run in runs:
        with locked_existing(run, RUN):
            print(make_report(run, media_all, no_media, reference))
            if forms:
                # A confusion matrix without some of its columns would be meaningless, so all are exported.
                whole = ["recognition_confusion", *(["leaderboard"] if columns else [])]
                tables = tables_of(run, names(columns), reference or asked_reference(FinishedRun(run)))
                print(f"{plural(len(write_tables(run / TABLES, tables, forms, whole)), 'table')} in {run / TABLES}")
            for name in seal_again(run, *([TABLES] if forms else [])):
                note(f"{run / name} was altered after it was sealed, so `verify` will report it. Make it again.")


def page_recipe() -> str:
    """Return a hash of everything besides the run's files that determines a page: code, packages and templates."""
    from megbench.core.files.cache import digest
    from megbench.core.files.hashes import states
    from megbench.core.installation import ROOT
    from megbench.core.provenance import recipe

    assets = sorted(
        path for path in (ROOT / "reports").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    )
    return digest([recipe("megbench.reports.html"), states(assets)])


def make_report(run: Path, media_all: bool, no_media: bool = False, reference: str = "") -> Path:
    """Write a run's page, its summary for terminals and its spotting log; return the page's path.

    reference: the reference whose published rows are shown beside the run's; "" means the reference named in the
    command that made the run, if any.
    """
    from megbench.core.files.cache import write_text
    from megbench.reports.common_cells import summary
    from megbench.reports.html import Pictures, write_report
    from megbench.reports.run_files import FinishedRun
    from megbench.reports.spotting import write_log

    finished = FinishedRun(run)
    write_text(run / SUMMARY, summary(finished).text())
    write_log(finished)
    pictures = Pictures.all if media_all else Pictures.controls_in_two_cells
    beside = reference or asked_reference(finished)
    return write_report(run, Pictures.none if no_media else pictures, reference=beside)


def asked_reference(run: FinishedRun) -> str:
    """Return the --reference of the command that made a run, or "" if it had none."""
    return str(run.facts.request.get("reference") or "")


def keep_motion(run: Path, jobs: Sequence[Job]) -> bool:
    """Link the motion measured for scoring from the store into a run, where the run's page looks for it.

    Return whether anything changed.

    A driver gets the motion of its reference, against which outputs are scored and which shows the same motion with
    different noise. A motion is missing if no metric of the run used it, or if it was removed from the store since.
    """
    from megbench.core.files.cache import link_file, read_kept, whole_folder
    from megbench.core.frames import read_frames
    from megbench.engine.runner import cell_folder
    from megbench.faces.features import SeenClip

    features = STORE.resolve() / "features"
    seen: dict[Path, SeenClip] = {}
    for job in jobs:
        inputs, cell, output = run / "inputs", job.cell, cell_folder(run, job)
        clips = {inputs / "drivers" / cell.driver.name: cell.reference, inputs / "truth" / cell.name: cell.truth}
        seen |= {place: SeenClip("clip", clip.frames, clip.content, features) for place, clip in clips.items() if clip}
        if content := (read_kept(output / "cell.json") or {}).get("content"):
            load = functools.partial(read_frames, output / "frames", cell.driver.n_frames)
            seen[output] = SeenClip("output", load, content, features)
    held = {str(path.relative_to(run / MOTION_FOLDER)): path for path in (run / MOTION_FOLDER).rglob("*.npz")}
    named = {f"{place.relative_to(run)}.npz": clip for place, clip in seen.items()}
    files = {name: file for name, clip in named.items() if (file := clip.motion_file(again=name in held))}
    if held.keys() == files.keys() and all(filecmp.cmp(held[name], files[name], shallow=False) for name in held):
        return False
    with whole_folder(run / MOTION_FOLDER) as folder:
        for name, file in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            link_file(file, folder / name)
    return True


def clean(
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete the cache; otherwise, only print what would be deleted.")
    ] = False,
) -> None:
    """Delete the cache (.megbench) that makes runs faster; finished runs keep their files."""
    from megbench.core.files.cache import KINDS, entries, remove

    found = entries(STORE)
    for kind in KINDS:
        of_kind = [entry for entry in found if entry.path.parent.name == kind]
        if of_kind:
            freed, size = (sum(getattr(entry, part) for entry in of_kind) / 1e6 for part in ("freed", "size"))
            print(f"{kind:10} {len(of_kind):6} entries {size:9.1f} MB, of which {freed:.1f} MB are used by no run")
    if not found:
        print(f"Nothing to free: {STORE} is empty or missing.")
    elif yes:
        for entry in found:
            remove(entry)
        print(f"Freed {sum(entry.freed for entry in found) / 1e6:.1f} MB.")
    else:
        print("Nothing was deleted. To delete the cache, add --yes.")
