"""`bench.py experts`: import score sheets, make blinded sheets for experts, and compare metrics with experts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.commands.judged_runs import blinded, chosen, known, open_run, show_on_page
from megbench.commands.options import names as names_in
from megbench.core.errors import BenchError, plural
from megbench.core.tables.spreadsheet_text import printable

if TYPE_CHECKING:
    from megbench.experts.blinded import Key
    from megbench.experts.importing import Imported
    from megbench.experts.judgements import Judgement
    from megbench.reports.run_files import FinishedRun

app = typer.Typer(help="Experts' judgements: import sheets, make blinded ones, and compare metrics with experts.")
MOST_LINES = 30
RowsOption = Annotated[str, typer.Option(help="Comma-separated rows of the run; default: all but controls.")]


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Score sheets (CSV, TSV, XLSX, XLSM, XLS, ODS, HTML), completed blinded sheets, or answers to pairs"
            " (JSON)."
        ),
    ],
    mapping: Annotated[Path | None, typer.Option(help="YAML file that maps the sheets' names to the suite's.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run whose outputs were judged; judgements are kept there as experts.csv.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables as HTML, CSV, Markdown and LaTeX.")] = None,
) -> None:
    """Check score sheets; print Table 1 with intervals and expert agreement or, for pairs, the methods' strengths."""
    from megbench.commands.pairs import answered, import_pairs
    from megbench.core.files.folder_lock import RUN, locked_existing
    from megbench.experts.blinded import FOLDER
    from megbench.experts.importing import import_files
    from megbench.experts.judgements import FILE, write_judgements
    from megbench.experts.names import Names
    from megbench.reports.experts import gap
    from megbench.reports.export import experts_tables, write_tables
    from megbench.reports.marks import exported
    from megbench.reports.table import notes_once

    if answered(files):
        import_pairs(files, run, out)
        return
    with locked_existing(run, RUN) if run else contextlib.nullcontext():
        opened = open_run(run) if run else None
        imported = import_files(files, Names.read(mapping, known(opened)), blinded(opened))
        _say(imported)
        _refuse(imported)
        judgements = imported.judgements
        if run:
            judgements = _kept(run, judgements)
            sheets = [f"{FOLDER}/{each.name}" for each in (run / FOLDER).glob("*") if each.is_dir()]
            show_on_page(run, opened, FILE, *sheets)
    tables = experts_tables(judgements, opened)
    print("\n".join(table.text() for table in notes_once(tables.values())))
    print(gap(judgements))
    if out:
        write_judgements(out / FILE, judgements)
        written = {name: exported(table, opened) for name, table in tables.items()} if opened else tables
        print(f"Judgements and tables: {len(write_tables(out, written)) + 1} files in {out}")


def _say(imported: Imported) -> None:
    """Print what was found: counts, remarks and problems, one line each."""
    sums = f"{plural(imported.sums, 'row sum')} and {plural(imported.totals, 'total')} checked"
    counts = f"{plural(len(imported.judgements), 'judgement')}; {sums}"
    print(counts, file=sys.stderr)
    lines = [f"Note: {remark}" for remark in imported.remarks]
    if imported.lacking and imported.judgements:
        lines.insert(0, f"Note: {plural(sum(imported.lacking.values()), 'row')} left out: {_lacking(imported)}")
    lines += [f"{'Fault' if problem.fatal else 'Warning'}: {problem}" for problem in imported.problems]
    for line in lines[:MOST_LINES]:
        print(printable(line), file=sys.stderr)
    if len(lines) > MOST_LINES:
        print(f"... and {len(lines) - MOST_LINES} more", file=sys.stderr)


def _lacking(imported: Imported) -> str:
    """Return the names that the sheets use but the run does not have, with the number of rows that use them."""
    named = ", ".join(f"{what} ({plural(count, 'row')})" for what, count in imported.lacking.items())
    return f"the run has no {named}. If the run uses other names for them, map the names in a --mapping file."


def _refuse(imported: Imported) -> None:
    """Raise BenchError if the scores cannot be trusted or if there are none."""
    if imported.errors:
        rows = "; ".join(problem.where for problem in imported.errors[:10])
        faults = plural(len(imported.errors), "contradiction or fault", "contradictions or faults")
        raise BenchError(f"Nothing was imported: {faults} ({rows}). Correct them.")
    if not imported.judgements and imported.lacking:
        raise BenchError(f"Nothing was imported: {_lacking(imported)}")
    if not imported.judgements:
        raise BenchError("Nothing was imported: no row has all three scores. Fill in upper, lower and noise.")


def _kept(folder: Path, new: Sequence[Judgement]) -> list[Judgement]:
    """Write and return a run's judgements: the new ones, and those earlier ones that no new one replaces."""
    from megbench.experts.judgements import FILE, read_judgements, write_judgements

    path = folder / FILE
    old = read_judgements(path) if path.exists() else []
    judged = {(judgement.expert, judgement.method, judgement.cell) for judgement in new}
    others = [each for each in old if (each.expert, each.method, each.cell) not in judged]
    judgements = [*others, *new]
    write_judgements(path, judgements)
    if replaced := len(old) - len(others):
        named = ", ".join(sorted({judgement.expert for judgement in new}))
        told = f"Replaced {plural(replaced, 'earlier judgement')} of the same outputs by {named}."
        print(printable(f"Note: {told}"), file=sys.stderr)
    print(f"{path}: {plural(len(judgements), 'judgement')}", file=sys.stderr)
    return judgements


@app.command()
def sheet(
    run: Path,
    expert: Annotated[
        str, typer.Option(help="Comma-separated names; each expert gets a separate folder, order and set of codes.")
    ] = "E1,E2,E3",
    methods: RowsOption = "",
) -> None:
    """Make blinded sheets with videos for your own experts. The keys stay in the run."""
    from megbench.engine.seal import seal_again
    from megbench.experts.blinded import FOLDER, make_key, replaceable, write_key

    opened = open_run(run)
    outputs = chosen(opened, methods)
    keys = [make_key(opened.facts.id, name, outputs) for name in names_in(expert)]
    for key in keys:
        if (run / FOLDER / key.expert).exists() or not replaceable(run, key):
            taken = f"{run / FOLDER / key.expert} or its key already exists"
            raise BenchError(
                f"{taken}, and the expert may be scoring the videos. Pass another name to --expert, or delete both."
            )
    for key in keys:
        write_key(run, key)
        _hand_over(opened, run / FOLDER / key.expert, key)
        print(f"{run / FOLDER / key.expert}: give this folder to {key.expert}; the key stays beside it")
    seal_again(run, *(f"{FOLDER}/{key.expert}{end}" for key in keys for end in ("", ".key.json")))


@app.command()
def pairs(
    run: Path,
    rater: Annotated[
        str, typer.Option(help="Comma-separated names; each rater gets a separate folder, set of questions and order.")
    ] = "R1,R2,R3",
    methods: RowsOption = "",
    each: Annotated[int, typer.Option(min=1, help="Pairs per rater; a tenth of them are asked twice.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be asked; write nothing.")] = False,
) -> None:
    """Make folders in which people compare outputs in pairs, in a browser, without knowing the methods."""
    from megbench.commands.pairs import hand_over
    from megbench.core.files.folder_lock import RUN, locked_existing

    with locked_existing(run, RUN):
        opened = open_run(run)
        hand_over(opened, names_in(rater), chosen(opened, methods), each, dry_run)


def _hand_over(run: FinishedRun, folder: Path, key: Key) -> None:
    """Write the folder for one expert: the sheet, the videos under their codes, the drivers and the templates."""
    import shutil

    from megbench.core.files.cache import whole_folder
    from megbench.core.frames import read_frames
    from megbench.core.progress import track
    from megbench.core.video_writing import write_video
    from megbench.experts.blinded import Shown, write_sheet

    cells = {(cell.driver, cell.template): cell for cell in run.facts.cells}
    # As in the challenge, nothing is played faster than 100 frames a second.
    with whole_folder(folder) as place:
        for part in ("videos", "drivers", "templates"):
            (place / part).mkdir()
        for code, output in track(sorted(key.codes.items()), f"Videos for {key.expert}", "video"):
            cell = cells[output.driver, output.template]
            fps = min(cell.fps or 25.0, 100.0)
            frames = read_frames(run.output_frames(output.method, cell), cell.n_frames)
            write_video(place / "videos" / f"{code}.mp4", frames, fps)
            driver = place / "drivers" / f"{cell.driver}.mp4"
            if not driver.exists():
                write_video(driver, read_frames(run.driver_frames(cell), cell.n_frames), fps)
            shutil.copyfile(run.template_picture(cell), place / "templates" / f"{cell.template}.png")
        shown = {pair: Shown(cell.emotion, cell.action_units or "") for pair, cell in cells.items()}
        write_sheet(place / "sheet.xlsx", key, shown)


@app.command()
def agreement(
    run: Path,
    everything: Annotated[bool, typer.Option("--all", help="Also compare the tracks of single action units.")] = False,
) -> None:
    """Compare a run's metrics with its experts: tau-b and accuracy or, for pairs, the share of pairs ordered alike."""
    from megbench.commands.pairs import print_tables
    from megbench.experts import pairs as in_pairs
    from megbench.experts.judgements import FILE, read_judgements
    from megbench.reports.metric_agreement import metrics_against_experts
    from megbench.reports.pairs import pairs_tables

    opened = open_run(run)
    print_tables(pairs_tables(opened, everything))
    if (run / FILE).exists() or not (run / in_pairs.FILE).exists():
        print(metrics_against_experts(opened, read_judgements(run / FILE), everything).text())
