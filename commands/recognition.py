"""`bench.py recognition`: does a recogniser see the drivers' emotions in a run's outputs?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.commands.clip_stores import clip_stores
from megbench.commands.options import WorkersOption, resumable
from megbench.core.errors import BenchError
from megbench.core.files.working_folder import STORE

if TYPE_CHECKING:
    from megbench.recognition.recogniser import Recogniser
    from megbench.recognition.samples import Labelled
    from megbench.recognition.view import Driver, Labels, Shown
    from megbench.reports.recognised import Recognised
    from megbench.reports.run_facts import CellFacts
    from megbench.reports.run_files import FinishedRun

RecogniserOption = Annotated[
    str,
    typer.Option(
        "--recogniser",
        help="NAME=PATH[,NAME=PATH]: databases to learn from, raw or prepared. Default, if the drivers are rendered:"
        " a separate set of rendered people.",
        show_default=False,
    ),
]
ByOption = Annotated[str, typer.Option("--by", help="svm (linear, exact) or ststnet (three seeds, takes minutes).")]


def known_classes(scheme: str) -> str:
    """Return `scheme` if it names known classes. Raise BenchError otherwise, before anything is measured."""
    from megbench.recognition.classes import classes

    classes(scheme)
    return scheme


ClassesOption = Annotated[
    str,
    typer.Option(callback=known_classes, help="megc2019 (negative, positive, surprise) or own (databases' labels)."),
]
StretchedOption = Annotated[
    bool, typer.Option("--stretched", help="Scale every flow picture to its own range, as published.")
]


@resumable()
def recognition(
    run: Path,
    recogniser: RecogniserOption = "",
    by: ByOption = "svm",
    classes: ClassesOption = "megc2019",
    stretched: StretchedOption = False,
    workers: WorkersOption = 0,
) -> None:
    """Label each output of a run with a recogniser that was trained without the people in its driver and template.

    People are identified by their names and by identical frames.
    """
    from megbench.commands.runs import make_report
    from megbench.core.files.folder_lock import RUN, locked_existing
    from megbench.core.progress import note
    from megbench.engine.run_folder import RECOGNITION, REPORT
    from megbench.engine.seal import seal_again
    from megbench.recognition.recogniser import make_recogniser
    from megbench.reports.recognised import write_recognised
    from megbench.reports.recognition import recognition_tables
    from megbench.reports.run_files import FinishedRun

    chosen = make_recogniser(by, stretched)  # an unknown name is reported before anything is measured
    with locked_existing(run, RUN):
        opened = FinishedRun(run)
        recognised = recognise(opened, recogniser, chosen, classes, workers)
        if replaced := _kept(opened):
            note(f"{run / RECOGNITION}: replaces {replaced}")
        write_recognised(run, recognised)
        for line in recognised.notes:
            note(line)
        print(recognition_tables(opened)["recognition"].text())
        if (run / REPORT).exists():
            print(make_report(run, media_all=opened.facts.request.get("media_all") is True))
        seal_again(run, RECOGNITION)


def _kept(run: FinishedRun) -> str:
    """Return a description of the labels that an earlier command has left in a run, or "" if there are none."""
    from megbench.reports.recognised import read_recognised

    try:
        found = read_recognised(run)
    except BenchError:
        return "a file that cannot be read"
    if found is None:
        return ""
    databases = ", ".join(part.database for part in found.learnt_from)
    return f"the labels of {found.recogniser} ({found.scheme}: {', '.join(found.classes)}; learned from {databases})"


def recognise(run: FinishedRun, databases: str, chosen: Recogniser, classes: str, workers: int) -> Recognised:
    """Return a recogniser's labels for a run's outputs. Raise BenchError if there are no outputs or training clips."""
    from megbench.recognition.view import Shown, label

    data = learnt_from(run, databases, classes, workers)
    drivers, outputs = drivers_of(run), outputs_of(run)
    if not outputs:
        raise BenchError(f"{run.folder} contains no finished output. Finish the run first.")
    shown = [*(Shown("", one.name, one.name, one.folder, None) for one in drivers), *outputs]
    found = label(shown, drivers, data, chosen, STORE.resolve(), workers)
    return _recognised(run, chosen.name, classes, data, shown, drivers, found)


def learnt_from(run: FinishedRun, databases: str, classes: str, workers: int) -> Labelled:
    """Return the clips from which a recogniser learns.

    Raise BenchError if drivers are recordings and no database is named.
    """
    from megbench.recognition.rendered import rendered_samples
    from megbench.recognition.samples import labelled, stored_samples

    if databases:
        stores = clip_stores(databases, "--recogniser")
        samples, notes = stored_samples(stores.values(), STORE.resolve(), workers)
        return labelled(samples, classes, notes)
    recorded = sorted({cell.driver for cell in run.facts.cells if not cell.rendered})
    if recorded:
        raise BenchError(
            f"{run.folder}: {len(recorded)} of its drivers are recordings ({recorded[0]}), which need a"
            " recogniser trained on recordings. Pass --recogniser NAME=PATH[,NAME=PATH], such as casme2=/data/CASME2."
        )
    samples, notes = rendered_samples(STORE.resolve(), workers)
    return labelled(samples, classes, notes)


def drivers_of(run: FinishedRun) -> list[Driver]:
    """Return the drivers whose frames are in the run.

    An apex at or before the onset, or outside the clip, becomes None.
    """
    from megbench.recognition.moments import why_guessed
    from megbench.recognition.view import Driver

    def driver(cell: CellFacts) -> Driver:
        onset, apex = cell.onset_frame or 0, cell.apex_frame
        coded = None if why_guessed(onset, apex, cell.n_frames) else apex
        return Driver(cell.driver, cell.database, cell.subject, run.driver_frames(cell), cell.n_frames, onset, coded)

    cells = {cell.driver: cell for cell in run.facts.cells if run.driver_frames(cell).is_dir()}
    return [driver(cell) for cell in cells.values()]


def outputs_of(run: FinishedRun) -> list[Shown]:
    """Return all finished outputs, row by row."""
    from megbench.recognition.view import Shown

    return [
        Shown(method.label, cell.name, cell.driver, run.output_frames(method.label, cell), run.template_picture(cell))
        for method in run.facts.methods
        for cell in run.facts.cells
        if run.content(method.label, cell) and run.driver_frames(cell).is_dir()
    ]


def _recognised(
    run: FinishedRun,
    recogniser: str,
    scheme: str,
    data: Labelled,
    shown: Sequence[Shown],
    drivers: Sequence[Driver],
    found: Labels,
) -> Recognised:
    from megbench.recognition.classes import classes
    from megbench.recognition.moments import guessed_notes, why_guessed
    from megbench.reports.recognised import Answered, LearntFrom, Recognised

    cells = {cell.name: cell for cell in run.facts.cells}
    rows: dict[str, dict[str, Answered]] = {"": {}, **{method.label: {} for method in run.facts.methods}}
    for place, one in enumerate(shown):
        reason = found.reasons.get(place, "")
        said = () if reason else tuple(map(int, found.answers[:, place]))
        content = run.content(one.row, cells[one.cell]) if one.row else ""
        rows[one.row][one.cell] = Answered(
            answers=said,
            reason=reason,
            content=content,
            apex=found.apexes.get(one.driver),
            fewer=place in found.fewer,
        )
    for method in run.facts.methods:
        for cell in run.facts.cells:
            if cell.name not in rows[method.label] and (why := run.failure(method.label, cell)):
                rows[method.label][cell.name] = Answered(reason=why)
    class_of = classes(scheme)
    emotions = {cell.driver: class_of(cell.database, cell.emotion) for cell in run.facts.cells}
    unfinished = []
    if not run.facts.finished:
        here, all_of_them = len(shown) - len(drivers), len(run.facts.methods) * len(run.facts.cells)
        unfinished.append(f"the run was not finished: {here} of the {all_of_them} outputs were available")
    known = {name: emotion if emotion in data.classes else None for name, emotion in emotions.items()}
    clips = Counter(sample.database for sample in data.samples)
    people = {name: len({one.person for one in data.samples if one.database == name}) for name in clips}
    of = {cell.driver: cell for cell in run.facts.cells}
    whys = [why_guessed(one.onset, of[one.name].apex_frame, one.n_frames) for one in drivers]
    return Recognised(
        recogniser=recogniser,
        seeds=len(found.answers),
        scheme=scheme,
        classes=data.classes,
        learnt_from=tuple(LearntFrom(database=n, clips=k, people=people[n]) for n, k in clips.items()),
        of_classes=tuple(int((data.labels == place).sum()) for place in range(len(data.classes))),
        rendered=all(sample.database == "rendered" for sample in data.samples),
        emotions=known,
        drivers=rows.pop(""),
        rows=rows,
        notes=(*unfinished, *data.notes, *guessed_notes(whys, "drivers"), *found.notes),
    )
