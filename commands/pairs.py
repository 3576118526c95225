"""`bench.py experts pairs`: make folders in which people compare outputs in pairs, and import their answers."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from megbench.commands.judged_runs import contents_of, open_run, show_on_page
from megbench.core.errors import BenchError, plural
from megbench.core.tables.spreadsheet_text import printable

if TYPE_CHECKING:
    from megbench.experts.blinded import BlindedOutput
    from megbench.experts.pairs_keys import Asks
    from megbench.reports.run_files import FinishedRun
    from megbench.reports.table import Table

SUFFIX = ".json"


def hand_over(run: FinishedRun, raters: Sequence[str], outputs: Sequence[BlindedOutput], each: int, dry: bool) -> None:
    """Print how many pairs the raters will see and, unless `dry` is set, write a folder and a key for each rater."""
    from megbench.core.files.names import check_name
    from megbench.engine.seal import seal_again
    from megbench.experts.pairs_design import all_pairs, repeats
    from megbench.experts.pairs_keys import (
        FOLDER,
        MOST_QUESTIONS,
        asked_before,
        key_path,
        make_asks,
        read_asks,
        write_asks,
    )
    from megbench.reports.pairs_page import write_pairs_folder

    if not raters:
        raise BenchError("--rater is empty. Pass the raters' names, for example --rater anna,ben.")
    for rater in raters:
        check_name("rater", rater)
        if key_path(run.folder, rater).exists() or (run.folder / FOLDER / rater).exists():
            taken = f"{run.folder / FOLDER / rater} or its key already exists"
            raise BenchError(f"{taken}, and the rater may be answering. Pass another name to --rater, or delete both.")
    possible = len(all_pairs((output.method, f"{output.driver}__{output.template}") for output in outputs))
    if not possible:
        raise BenchError(
            f"No cell of {run.folder} has finished outputs from two methods. Finish the run, or pass other --methods."
        )
    each = min(each, possible)
    if each + repeats(each) > MOST_QUESTIONS:
        raise BenchError(f"--each {each} is more than a rater can answer. Ask for at most {MOST_QUESTIONS // 2}.")
    before = read_asks(run.folder)
    counts = asked_before(before)
    made = make_asks(run.facts.id, raters, outputs, each, counts)
    print(_told(made, outputs, possible, each, len(before)), file=sys.stderr)
    if dry:
        return
    for asks in made:
        page = write_pairs_folder(run, run.folder / FOLDER / asks.key.expert, asks)
        write_asks(run.folder, asks)
        print(f"{page.parent}: give this folder to {asks.key.expert}; the key stays beside it")
    names = [asks.key.expert for asks in made]
    seal_again(run.folder, *(f"{FOLDER}/{name}{end}" for name in names for end in ("", ".key.json")))


def _told(made: Sequence[Asks], outputs: Sequence[BlindedOutput], possible: int, each: int, before: int) -> str:
    """Return sentences on the numbers of methods, pairs and questions."""
    from megbench.experts.pairs_keys import asked_before

    counts = asked_before(made)
    methods, cells = {out.method for out in outputs}, {(out.driver, out.template) for out in outputs}
    questions = sum(len(asks.questions) for asks in made)
    met, asked = counts.methods.values(), counts.pairs.values()
    never = possible - len(counts.pairs)
    again = len(made[0].questions) - each
    lines = [
        f"{plural(len(methods), 'method')} in {plural(len(cells), 'cell')}: {plural(possible, 'pair')} of outputs.",
        f"{plural(len(made), 'rater')}, {plural(each, 'pair')} each, {again} of which are asked twice:"
        f" {plural(questions, 'question')}.",
        f"Each pair of methods is compared {_times(met)}.",
        f"{len(counts.pairs)} pairs of outputs are shown {_times(asked)}"
        + (f"; the other {never} are not shown to these raters." if never else "."),
    ]
    if before:
        lines.append(f"The pairs shown to {plural(before, 'earlier rater')} are taken into account.")
    return printable(" ".join(lines))


def _times(values: Collection[int]) -> str:
    low, high = min(values), max(values)
    return f"{low} to {high} times" if low < high else "once" if low == 1 else f"{low} times"


def answered(files: Sequence[Path]) -> bool:
    """Return whether files are raters' answers (JSON) rather than score sheets. Raise BenchError for a mixture."""
    found = [path.suffix.lower() == SUFFIX for path in files]
    if any(found) and not all(found):
        raise BenchError("Score sheets and answers to pairs (.json) cannot be mixed. Import one kind at a time.")
    return any(found)


def _keep(files: Sequence[Path], run: FinishedRun, contents: Mapping[tuple[str, str, str], str]) -> None:
    """Read raters' answers and save them in the run's `pairs.csv`. A rater's new answers replace the earlier ones."""
    from megbench.experts.pairs import FILE, PairJudgement, read_pairs, write_pairs
    from megbench.experts.pairs_keys import read_answers, read_asks

    keys = read_asks(run.folder)
    found: dict[str, list[PairJudgement]] = {}
    for path in files:
        rater, judgements, blank = read_answers(path, keys, contents)
        if rater in found:
            raise BenchError(f"{path}: the answers of {rater} are given twice. Pass one file for each rater.")
        found[rater] = judgements
        rest = f"; {plural(blank, 'question has', 'questions have')} no answer" if blank else ""
        print(printable(f"{path}: {plural(len(judgements), 'answer')} of {rater}{rest}"), file=sys.stderr)
    path = run.folder / FILE
    old = read_pairs(path) if path.exists() else []
    kept = [judgement for judgement in old if judgement.rater not in found]
    if len(kept) < len(old):
        named = ", ".join(rater for rater in found if any(judgement.rater == rater for judgement in old))
        told = f"Replaced {plural(len(old) - len(kept), 'earlier answer')} of {named}."
        print(printable(f"Note: {told}"), file=sys.stderr)
    judgements = [*kept, *(judgement for given in found.values() for judgement in given)]
    write_pairs(path, judgements)
    print(f"{path}: {plural(len(judgements), 'answer')}", file=sys.stderr)


def import_pairs(files: Sequence[Path], run: Path | None, out: Path | None) -> None:
    """Save answers to pairs in their run, regenerate the run's page and print the tables."""
    from megbench.core.files.folder_lock import RUN, locked_existing
    from megbench.experts.pairs import FILE
    from megbench.reports.export import write_tables
    from megbench.reports.marks import exported
    from megbench.reports.pairs import pairs_tables

    if run is None:
        raise BenchError(f"{files[0]}: answers to pairs cannot be read without their run. Add --run RUN.")
    with locked_existing(run, RUN):
        opened = open_run(run)
        _keep(files, opened, contents_of(opened))
        show_on_page(run, opened, FILE)
    tables = pairs_tables(opened)
    print_tables(tables)
    if out:
        written = {name: exported(table, opened) for name, table in tables.items()}
        print(f"Tables: {len(write_tables(out, written))} files in {out}")


def print_tables(tables: Mapping[str, Table]) -> None:
    """Print tables, each under its title."""
    from megbench.reports.table import notes_once

    for table in notes_once(tables.values()):
        print(f"{table.title}\n\n{table.text()}")
