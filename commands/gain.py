"""`bench.py gain`: does animated training data improve a recogniser on people held out from training?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megbench.commands.clip_stores import clip_stores
from megbench.commands.options import RUNS, Device, DeviceOption, WorkersOption, resolve_device, resumable
from megbench.commands.recognition import ByOption, ClassesOption
from megbench.core.errors import BenchError, plural
from megbench.core.files.working_folder import STORE
from megbench.core.processors import usable
from megbench.engine.dispatch import CELL_LIMIT_S, LOCAL, check_engine

if TYPE_CHECKING:
    from megbench.commands.gain_rows import Plan
    from megbench.engine.runner import Job, Row, Settings
    from megbench.recognition.recogniser import Recogniser
    from megbench.recognition.samples import Sample
    from megbench.recognition.two_frames import Origin
    from megbench.reports.gained import Gain, GainRow

RENDERED = "rendered"
# The number of rendered people that `--clips rendered` means: enough to show within minutes what the command does.
PEOPLE = 12
VERSION = "1"
CONTROL, CONTENDER = "still", "flow_warp"
FILE, PAGE = "gain.json", "gain.html"
# The CPU seconds that it takes to train STSTNet on one picture for one epoch, and to measure the flow of one pair, on
# the machine described in docs/performance.md.
LEARNING_S, FLOW_S = 0.0003, 0.15


@resumable()
def gain(
    methods: Annotated[list[str], typer.Argument(help="Rows as for --methods: name[@variant][:key=value;...].")],
    clips: Annotated[
        str, typer.Option(help="NAME=PATH[,NAME=PATH]: databases, raw or prepared; or rendered: 12 rendered people.")
    ],
    by: ByOption = "svm",
    classes: ClassesOption = "megc2019",
    templates: Annotated[int, typer.Option(min=1, help="Number of templates that each clip animates.")] = 1,
    epochs: Annotated[
        int, typer.Option(min=0, help="Training epochs of ststnet; 0: 500, as published. The last epoch is used.")
    ] = 0,
    show_leak: Annotated[
        bool,
        typer.Option("--show-leak", help="Also show what choosing the best test epoch would give (not a result)."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; default: runs/gain-<hash>.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for pairs and for amplitudes of mirrored copies.")] = 0,
    device: DeviceOption = Device.auto,
    workers: WorkersOption = 0,
    engine: Annotated[str, typer.Option(help="local, or dask://HOST:PORT: a cluster that shares this folder.")] = LOCAL,
    cell_timeout: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Time limit per pair and per fold in seconds.")
    ] = CELL_LIMIT_S,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done and how long it would take.")
    ] = False,
) -> None:
    """Train a recogniser on real clips with and without animated copies, leaving out one person at a time."""
    from megbench.commands.gain_rows import Plan, cells_of, check_possible
    from megbench.core.files.cache import digest, trim
    from megbench.core.files.folder_lock import GAIN, check_free, locked_folder
    from megbench.core.progress import note
    from megbench.engine.runner import Settings, plan
    from megbench.recognition.folds import leave_one_out
    from megbench.recognition.pairs import pairs_of
    from megbench.recognition.samples import labelled

    recogniser = _recogniser(by, epochs)
    rows = _rows(methods)
    store, jobs_at_once = STORE.resolve(), workers or usable()
    settings = Settings(store, resolve_device(device), seed, jobs_at_once, check_engine(engine), cell_timeout)
    asked = {"methods": [row.label for row in rows], "clips": clips, "by": by, "epochs": epochs, "classes": classes}
    folder = out or RUNS / f"gain-{digest([asked, templates, seed, settings.device])[:10]}"
    if not dry_run:
        check_free(folder, GAIN)  # before anything is measured
    samples, notes, origins = _samples(clips, jobs_at_once)
    data = labelled(samples, classes, notes)
    folds = leave_one_out(data)
    chosen = Plan(data, folds, pairs_of(data, folds, templates, seed), templates, seed)
    jobs = plan(rows, cells_of(chosen, origins, settings), VERSION, settings)
    check_possible(jobs)
    for line in folds.notes:
        note(line)
    if dry_run:
        print("\n".join([f"Gain {folder}", *_forecast(folder, chosen, rows, jobs, recogniser, settings)]))
        return
    with locked_folder(folder, GAIN):
        found, failures = _experiment(folder, chosen, rows, jobs, recogniser, settings)
        _write(folder, found, failures, {**asked, "templates": templates, "seed": seed}, show_leak, settings.device)
    trim(store)
    raise typer.Exit(1 if failures else 0)


def _recogniser(by: str, epochs: int) -> Recogniser:
    """Return the recogniser. epochs: the number of training epochs, or 0 for the published number."""
    from megbench.recognition.recogniser import make_recogniser
    from megbench.recognition.ststnet import StstNet

    made = make_recogniser(by)
    if not epochs:
        return made
    if not isinstance(made, StstNet):
        raise BenchError(f"--epochs {epochs}: {by} has no epochs. Leave the option out, or add --by ststnet.")
    return dataclasses.replace(made, epochs=epochs)


def _rows(methods: Sequence[str]) -> list[Row]:
    """Return the rows: those of still copies and of flow_warp, and those of the requested methods.

    Raise BenchError if a method needs something that pairs of clips do not have.
    """
    from megbench.engine.runner import Row
    from megbench.methods import parse_label, row_maker

    rows = []
    for text in dict.fromkeys([CONTROL, CONTENDER, *methods]):
        label = parse_label(text)
        row = Row.of(label.text, label.name, label.variant, label.options, row_maker(label))
        if needs := getattr(row.maker, "needs", ""):
            raise BenchError(f"{text} requires a {needs}, which pairs of clips do not have. Leave it out.")
        rows.append(row)
    return rows


def _samples(clips: str, workers: int) -> tuple[list[Sample], list[str], Mapping[str, Origin]]:
    """Return the clips with their flow pictures, notes on the clips and, by clip name, the origins of their frames."""
    from megbench.recognition.rendered import rendered_samples
    from megbench.recognition.samples import stored_samples
    from megbench.recognition.two_frames import rendered_origins, stored_origins

    if clips == RENDERED:
        samples, notes = rendered_samples(STORE.resolve(), workers, PEOPLE)
        return samples, notes, rendered_origins(PEOPLE)
    stores = clip_stores(clips, "--clips", f"{RENDERED} or ")
    samples, notes = stored_samples(stores.values(), STORE.resolve(), workers)
    return samples, notes, stored_origins(stores.values())


def _experiment(
    folder: Path, plan: Plan, rows: Sequence[Row], jobs: Sequence[Job], recogniser: Recogniser, settings: Settings
) -> tuple[Gain, list[str]]:
    """Animate, measure and train whatever is missing; return the results and the failures."""
    from megbench.commands.gain_rows import animated, copies_of, mirror_copies, no_copies, seen_motion, taught
    from megbench.engine.benchmark import forget_others

    forget_others(folder, jobs)
    records = animated(folder, jobs, settings)
    motion = seen_motion(folder, jobs, records, settings)
    places = {row.label: [place for place, job in enumerate(jobs) if job.row is row] for row in rows}
    still, *generators = (
        copies_of(plan, row, [jobs[place] for place in of_row], [motion[place] for place in of_row])
        for row, of_row in ((row, places[row.label]) for row in rows)
    )
    courses = [no_copies(plan), still, mirror_copies(plan), *generators]
    found, failures = taught(folder, plan, courses, recogniser, settings)
    return _gain(plan, found, recogniser), failures


def _gain(plan: Plan, rows: Sequence[GainRow], recogniser: Recogniser) -> Gain:
    from megbench.reports.gained import Gain

    samples = plan.data.samples
    databases = dict.fromkeys(one.database for one in samples)
    of = {name: [one for one in samples if one.database == name] for name in databases}
    return Gain(
        recogniser.name,
        getattr(recogniser, "epochs", None),
        len(getattr(recogniser, "seeds", (0,))),
        plan.each,
        plan.data.classes,
        {name: (len(some), len({one.person for one in some})) for name, some in of.items()},
        tuple(one.clip for one in samples),
        tuple(plan.folds.people[fold] for fold in plan.folds.fold_of),
        plan.data.labels,
        tuple(rows),
        plan.folds.notes,
    )


def _write(
    folder: Path, found: Gain, failures: Sequence[str], asked: Mapping[str, Any], show_leak: bool, device: str
) -> None:
    """Write the page, tables and JSON file, and print the tables. Equal results give identical bytes."""
    from megbench.core.files.cache import write_json, write_text
    from megbench.core.progress import note
    from megbench.core.provenance import provenance
    from megbench.engine.benchmark import FLEETING
    from megbench.reports.export import write_tables
    from megbench.reports.gain import gain_page, gain_tables
    from megbench.reports.gained import gain_json

    tables = gain_tables(found, show_leak)
    origin = {name: value for name, value in provenance(device).items() if name not in FLEETING}
    write_text(folder / PAGE, gain_page(list(tables.values())))
    write_tables(folder, tables, ("csv", "markdown"), tables)
    write_json(
        folder / FILE,
        {"request": dict(asked), **gain_json(found, show_leak), "failures": list(failures)} | {"provenance": origin},
    )
    print("\n".join(table.text() for table in tables.values()))
    for line in failures:
        note(f"failed: {line}")
    print(f"Page: {folder / PAGE}")


def _forecast(
    folder: Path, plan: Plan, rows: Sequence[Row], jobs: Sequence[Job], recogniser: Recogniser, settings: Settings
) -> Iterator[str]:
    """Yield the lines that a dry run prints."""
    from megbench.core.progress import duration
    from megbench.engine.estimate import PACE_S, Work, estimate, pace
    from megbench.engine.runner import look_up
    from megbench.engine.scoring import Scorer
    from megbench.faces.features import Seen

    todo = look_up(folder, jobs, settings).todo
    data, slower = plan.data, pace()
    scorer = Scorer([], Seen, settings.store, settings.workers)
    animating = estimate(Work(todo, [], 0), scorer, settings, slower)
    parallel = min(settings.workers, usable())
    measuring = FLOW_S * len(todo) * slower / PACE_S / parallel
    real, copies = int(plan.folds.training.sum()), int(plan.pairs.used.sum())
    visits = (len(rows) + 2) * real + (len(rows) + 1) * copies  # all rows but one also have copies
    runs = getattr(recogniser, "epochs", 1) * len(getattr(recogniser, "seeds", (0,)))
    learning = LEARNING_S * runs * visits * slower / PACE_S / parallel
    people = len(plan.folds.people)
    yield f"{len(data.samples)} clips of {people} people ({', '.join(data.classes)}), {people} folds."
    yield "Rows: real only, real + still copies, real + mirror, " + ", ".join(f"real + {row.label}" for row in rows[1:])
    each = len(plan.pairs.drivers)
    yield f"{each} pairs of onset and apex for each generator; {len(todo)} of the {len(jobs)} remain to be animated."
    yield (
        f"About {duration(animating.animate + measuring + learning)} with {plural(settings.workers, 'worker')}:"
        f" animating {duration(animating.animate)}, their flow {duration(measuring)},"
        f" {recogniser.name} on {people} folds of each row {duration(learning)}."
    )
    untimed = [*animating.untimed, "flow", recogniser.name]  # a run never measures the time of either
    yield from dataclasses.replace(animating, untimed=untimed).basis()
