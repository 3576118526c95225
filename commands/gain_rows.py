"""The steps of `bench.py gain`: make cells from pairs, animate them, then train and test a recogniser in each fold."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from megbench.core.clip import Cell, without_camera
from megbench.core.errors import BenchError, few
from megbench.core.files.cache import CellRecord, read_kept, write_kept
from megbench.core.worker import Lane
from megbench.engine.dispatch import perform
from megbench.engine.foreseen import check_files
from megbench.engine.runner import Job, Row, Settings, animate, cell_folder, link_stored, look_up, refusal
from megbench.recognition.folds import Folds
from megbench.recognition.lessons import Course, Learnt, Teacher
from megbench.recognition.mirrored import mirrored_and_scaled
from megbench.recognition.moments import Measured, Moment, grey_frame, measure
from megbench.recognition.pairs import Pairs
from megbench.recognition.recogniser import NO_ANSWER, Recogniser
from megbench.recognition.samples import Labelled
from megbench.recognition.two_frames import Origin, as_drivers, as_template

if TYPE_CHECKING:
    from megbench.reports.gained import GainRow, Kind

REAL, MIRROR = "real only", "real + mirror"
LEARNING, FOLDS = "learning", "folds"
SEEN = (
    "Its model was trained on people who are held out here: the recogniser may learn about them through the model, so"
    " a gain may come from what the model remembers of them."
)


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of an experiment: who is held out in which fold, what is animated, and how often each clip is copied."""

    data: Labelled
    folds: Folds
    pairs: Pairs
    each: int
    seed: int


@dataclass(frozen=True, eq=False)
class Copies:
    """The copies that a row adds to the real clips, and what readers need to know about them.

    pictures: (M, 3, 28, 28). copied: (M,), the index of the sample of which each picture is a copy. used: (F, M) bool,
    whether a fold learns from a picture.
    """

    name: str
    kind: Kind
    pictures: np.ndarray
    copied: np.ndarray
    used: np.ndarray
    marks: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Return the row's name in a form that is valid as a file name."""
        return self.name.replace(" ", "_")

    def taught(self, fold: int) -> bool:
        """Return whether a fold is trained: the row adds copies to this fold, or it is the row of real clips only."""
        return self.kind == "real" or bool(self.used[fold].any())


def cells_of(plan: Plan, origins: Mapping[str, Origin], settings: Settings) -> list[Cell]:
    """Return each pair as a cell: its driver is the onset and apex of a clip, and its template is the onset of one."""
    clips = as_drivers(plan.data.samples, origins, settings.store / "clips", settings.workers)
    faces = {place: as_template(clips[place]) for place in sorted(set(plan.pairs.templates.tolist()))}
    pairs = zip(plan.pairs.drivers.tolist(), plan.pairs.templates.tolist(), strict=True)
    return [Cell("gain", clips[driver], faces[face], reference=clips[driver]) for driver, face in pairs]


def check_possible(jobs: Sequence[Job]) -> None:
    """Raise BenchError, before anything is animated, if a row can animate none of its cells."""
    for label in dict.fromkeys(job.row.label for job in jobs):
        own = [job for job in jobs if job.row.label == label]
        refused = [record for job in own if (record := refusal(job))]
        if len(refused) == len(own):
            raise BenchError(
                f"{label}: none of the {len(own)} pairs can be animated. Reason for the first: {refused[0].reason}"
            )


def animated(run: Path, jobs: Sequence[Job], settings: Settings) -> dict[str, CellRecord]:
    """Animate the cells that are neither in the run's folder nor in the store; return all records by key.

    Raise BenchError before animating anything if a row's own files cannot be loaded.
    """
    found = look_up(run, jobs, settings)
    check_files(found.todo)
    link_stored(run, found.stored, settings)
    return found.done | animate(run, found.todo, settings)


def seen_motion(
    run: Path, jobs: Sequence[Job], records: Mapping[str, CellRecord], settings: Settings
) -> list[Measured | str]:
    """Return, for each job, the motion of its output from onset to apex, or the reason why there is none."""
    done = [job for job in jobs if records[job.key].status == "ok"]
    moments = [_moment(job, records[job.key], cell_folder(run, job)) for job in done]
    measured = measure(moments, settings.store, "Flow of copies", settings.workers)
    found = dict(zip([job.key for job in done], measured, strict=True))
    return [found.get(job.key, records[job.key].reason) for job in jobs]


def copies_of(plan: Plan, row: Row, jobs: Sequence[Job], motion: Sequence[Measured | str]) -> Copies:
    """Return the copies that a row adds.

    jobs: the row's jobs, in the order of the pairs. motion: what `seen_motion` returned for these jobs.
    """
    made = {place: one for place, one in enumerate(motion) if isinstance(one, Measured)}
    reasons = [one for one in motion if isinstance(one, str)]
    places = np.array(list(made), np.int64)
    pictures = [one.picture for one in made.values()]
    kind: Kind = "control" if row.name == "still" else "generator"
    name = "real + still copies" if row.name == "still" else f"real + {row.label}"
    lost = [f"{len(reasons)} of the {len(jobs)} pairs yield no copy ({reason.rstrip('.')})" for reason in reasons[:1]]
    return Copies(
        name,
        kind,
        np.stack(pictures) if pictures else np.zeros((0, *plan.data.pictures.shape[1:]), np.float32),
        plan.pairs.drivers[places],
        plan.pairs.used[:, places],
        {**row.marks_on([jobs[place].cell for place in made]), **seen_mark(row, plan.data)},
        tuple(lost),
    )


def seen_mark(row: Row, data: Labelled) -> dict[str, str]:
    """Return the mark of a row whose model was trained on people who are in these clips, or {} for other rows."""
    people, clips = set(row.seen.get("people", ())), {without_camera(clip) for clip in row.seen.get("clips", ())}
    seen = {one.person for one in data.samples if one.person in people or without_camera(one.clip) in clips}
    return {f"trained on {len(seen)} of {len(set(data.people))} people": SEEN} if seen else {}


def mirror_copies(plan: Plan) -> Copies:
    """Return copies made without a generator: every training clip is mirrored and scaled `plan.each` times."""
    copied = np.tile(np.arange(len(plan.data.samples)), plan.each)
    pictures = mirrored_and_scaled(plan.data, plan.each, plan.seed)
    return Copies(MIRROR, "control", pictures, copied, plan.folds.training[:, copied], {})


def no_copies(plan: Plan) -> Copies:
    """Return the row of real clips only, which adds no copies."""
    nothing = np.zeros(0, np.int64)
    return Copies(REAL, "real", plan.data.pictures[:0], nothing, plan.folds.training[:, :0], {})


def course_of(plan: Plan, copies: Copies) -> Course:
    """Return the data from which each fold learns: its real clips, and the copies that it may use."""
    data = plan.data
    return Course(
        np.concatenate([data.pictures, copies.pictures]),
        np.concatenate([data.labels, data.labels[copies.copied]]),
        np.concatenate([plan.folds.training, copies.used], axis=1),
        plan.folds.fold_of,
        len(data.classes),
    )


def taught(
    run: Path, plan: Plan, rows: Sequence[Copies], recogniser: Recogniser, settings: Settings
) -> tuple[list[GainRow], list[str]]:
    """Train every fold of every row and save each as soon as it is done; return the rows and the failures."""
    courses = [course_of(plan, copies) for copies in rows]
    numbers = range(len(plan.folds.people))
    asked = [(row, fold) for row, copies in enumerate(rows) for fold in numbers if copies.taught(fold)]
    keys = {(row, fold): courses[row].lesson(fold).key(recogniser) for row, fold in asked}
    known = {place: kept for place, key in keys.items() if (kept := _kept(_file(run, rows[place[0]], place[1]), key))}
    lanes = []
    for number, copies in enumerate(rows):
        if waiting := [place for place in keys if place[0] == number and place not in known]:
            path = run / LEARNING / f"{copies.file}.npz"
            teacher = Teacher(path.resolve(), recogniser)
            courses[number].save(path)
            lanes.append(Lane(copies.name, teacher, [[place] for place in waiting]))
    failures = []
    for outcome in perform(lanes, settings.engine, settings.workers, "Learning", settings.limit_s, "fold"):
        number, fold = outcome.item
        if outcome.result is None:
            failures.append(f"{rows[number].name}, fold without {plan.folds.people[fold]}: {outcome.reason}")
            continue
        known[number, fold] = outcome.result
        facts = {"key": keys[number, fold], "answers": outcome.result.answers, "habit": outcome.result.habit}
        write_kept(_file(run, rows[number], fold), facts)
    seeds = len(getattr(recogniser, "seeds", (0,)))
    found = [_row(plan, copies, {f: known.get((n, f)) for f in numbers}, seeds) for n, copies in enumerate(rows)]
    return found, failures


def _row(plan: Plan, copies: Copies, learnt: Mapping[int, Learnt | None], seeds: int) -> GainRow:
    from megbench.reports.gained import GainRow

    added = tuple(map(int, copies.used.sum(1)))
    given = {fold: one for fold, one in learnt.items() if one}
    answers = np.full((seeds, len(plan.data.samples)), NO_ANSWER, np.int64)
    habit = answers.copy() if any(one.habit for one in given.values()) else None
    for fold, one in given.items():
        mine = plan.folds.fold_of == fold
        answers[:, mine] = one.answers
        if habit is not None and one.habit:
            habit[:, mine] = one.habit
    empty = [person for fold, person in enumerate(plan.folds.people) if not copies.taught(fold)]
    told = [*copies.notes]
    if empty:
        told.append(f"{len(empty)} of the {len(added)} folds get no copies and are not scored ({few(empty, 2)})")
    failed = ["a fold failed"] if len(given) + len(empty) < len(added) else []
    reason = next(iter([*told, *failed]), "")
    return GainRow(
        copies.name,
        copies.kind,
        answers,
        habit,
        added,
        copies.marks,
        tuple(told),
        reason,
    )


def _file(run: Path, copies: Copies, fold: int) -> Path:
    return run / FOLDS / copies.file / f"{fold}.json"


def _kept(path: Path, key: str) -> Learnt | None:
    facts = read_kept(path) or {}
    if facts.get("key") != key:
        return None
    habit = facts["habit"]
    return Learnt(_tuples(facts["answers"]), None if habit is None else _tuples(habit))


def _tuples(rows: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, rows))


def _moment(job: Job, record: CellRecord, folder: Path) -> Moment:
    what = f"{job.row.label} on {job.cell.name}"
    return Moment(what, record.content, functools.partial(grey_frame, folder / "frames"), 2, 0, 1)
