"""`bench.py export`: export measurements in layouts that other programs read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.commands.clip_stores import clip_stores
from megbench.commands.options import WorkersOption, names
from megbench.commands.recognition import ClassesOption, drivers_of, outputs_of
from megbench.core.errors import BenchError, check_choice, plural
from megbench.core.files.working_folder import STORE

if TYPE_CHECKING:
    from megbench.recognition.flow_export import Exported

# Characters that file names in this layout must not contain.
NO_NAME = re.compile(r"[^A-Za-z0-9-]+")
app = typer.Typer(help="Export measurements in layouts that other programs read.")


@app.callback()
def main() -> None:
    """Export measurements in layouts that other programs read."""


@app.command()
def flow(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    clips: Annotated[str, typer.Option(help="NAME=PATH[,NAME=PATH]: databases, raw or prepared.")] = "",
    run: Annotated[Path | None, typer.Option(help="A run whose outputs are exported, with or without --clips.")] = None,
    methods: Annotated[str, typer.Option(help="Comma-separated rows of the run; default: all but controls.")] = "",
    classes: ClassesOption = "megc2019",
    workers: WorkersOption = 0,
) -> None:
    """Write u, v and strain from onset to apex in the form read by STSTNet, HTNet and CausalNet, one fold per subject.

    If databases are given, a run's outputs are used only for training: in every fold except that of the person in their
    driver. Otherwise, outputs are treated like recorded clips whose subject is the person in their driver.
    """
    from megbench.core.progress import note
    from megbench.recognition.flow_export import write_flow

    if not clips and run is None:
        raise BenchError("Nothing to export: pass --clips NAME=PATH, --run RUN or both.")
    exported: list[Exported] = []
    notes: list[str] = []
    if clips:
        found, told = _recorded(clips, classes, workers)
        exported, notes = [*exported, *found], [*notes, *told]
    if run is not None:
        found, told = _outputs(run, names(methods), classes, workers, generated=bool(clips))
        exported, notes = [*exported, *found], [*notes, *told]
    for line in notes:
        note(line)
    count = write_flow(out, exported, classes, notes)
    print(f"{plural(count, 'clip')} in {out}; recipe.txt describes how they were made.")


def _recorded(text: str, scheme: str, workers: int) -> tuple[list[Exported], list[str]]:
    from megbench.recognition.flow_export import Exported, listed_name
    from megbench.recognition.samples import labelled, stored_samples

    samples, notes = stored_samples(clip_stores(text, "--clips").values(), STORE.resolve(), workers)
    data = labelled(samples, scheme, notes)
    of = zip(data.samples, data.labels, strict=True)
    return [Exported(sample, listed_name(sample), data.classes[place]) for sample, place in of], list(data.notes)


def _outputs(
    folder: Path, methods: tuple[str, ...], scheme: str, workers: int, generated: bool
) -> tuple[list[Exported], list[str]]:
    from megbench.core.errors import few
    from megbench.recognition.classes import classes
    from megbench.recognition.flow_export import Exported
    from megbench.recognition.samples import Sample
    from megbench.recognition.view import pictures_of
    from megbench.reports.run_files import FinishedRun

    run, class_of = FinishedRun(folder), classes(scheme)
    labels = [method.label for method in run.facts.methods]
    chosen = [check_choice("row of this run:", label, labels) for label in methods]
    rows = chosen or [method.label for method in run.methods]
    drivers, cells = drivers_of(run), {cell.name: cell for cell in run.facts.cells}
    shown = [one for one in outputs_of(run) if one.row in rows]
    if not shown:
        raise BenchError(f"{folder} contains no finished output of {few(rows) or 'any method'}. Finish the run first.")
    measured = pictures_of(shown, drivers, STORE.resolve(), workers)
    known = {one.name: one for one in drivers}
    found = []
    for place, kept in measured.found.items():
        one, cell = shown[place], cells[shown[place].cell]
        emotion = class_of(cell.database, cell.emotion)
        if emotion:
            driver = known[one.driver]
            sample = Sample(
                cell.database,
                driver.person,
                f"{one.row} on {one.cell}",
                cell.emotion,
                kept.picture,
                driver.onset,
                kept.apex,
                driver.apex is not None,
                kept.pixels,
            )
            name = NO_NAME.sub("_", f"{one.row}_{one.cell}")
            found.append(Exported(sample, name, emotion, generated))
    lost = list(measured.reasons.values())
    return found, [f"{len(lost)} of {plural(len(shown), 'output')} cannot be used ({few(lost, 2)})"] if lost else []
