"""Does a recogniser see the driver's emotion in the outputs? UF1, UAR and confusion matrix of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from megbench.core.confusion import Recognition, by_chance, constant, pooled_recognition, uar, uf1
from megbench.core.errors import plural
from megbench.core.statistics import Interval
from megbench.reports.leaderboard import FLOOR_CONTROL
from megbench.reports.marks import marked
from megbench.reports.recognised import Answered, Recognised, read_recognised
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

DRIVERS = "the drivers themselves"
UF1 = "Mean over the classes of F1, from one confusion matrix over all cells (MEGC2019)."
UAR = "Mean over the classes of the share that was recognised, from the same matrix."
INTERVALS = (
    "Intervals are 95 % bootstrap intervals, for which drivers are resampled. With fewer than five drivers there is no"
    " interval."
)
WHAT_FOR = (
    "An output counts as recognised if a recogniser labels it with the driver's emotion. The recogniser did not learn"
    " from any clip of the people in the driver and the template. These clips are identified by name and by identical"
    " frames; a clip that is cropped differently is not identified. The recogniser may respond to any motion that"
    " accompanies an emotion, correct or not (docs/recognition.md)."
)
FEWER = (
    '"N by fewer classes" means that N labels come from a recogniser that does not know every class, because one class'
    " occurs only in clips of the person held out."
)


@dataclass(frozen=True)
class Row:
    """A row's labels over the N cells with a class: true classes (N,), predictions (S, N), drivers (N).

    reason: why a cell has no prediction. fewer: the number of predictions from a recogniser that does not know all
    classes.
    """

    name: str
    true: np.ndarray
    answers: np.ndarray
    drivers: tuple[str, ...]
    reason: str
    fewer: int = 0

    def score(self, classes: int) -> Recognition:
        """Return the UF1 and UAR."""
        return pooled_recognition(self.true, self.answers, classes, self.drivers)


def recognition_tables(run: FinishedRun) -> dict[str, Table]:
    """Return scores and confusion matrices by file name, or {} for a run that no recogniser has labelled."""
    found = read_recognised(run)
    if found is None:
        return {}
    tables = {"recognition": _scores(run, found), "recognition_confusion": _confusion(run, found)}
    return {name: marked(run, table) for name, table in tables.items()}


def _rows(run: FinishedRun, found: Recognised) -> list[tuple[str, list[Row]]]:
    methods = [
        (heading, [_row(run, found, method.label, _of(found, method.label)) for method in some])
        for heading, some in (("Methods", run.methods), ("Controls", run.controls))
        if some
    ]
    return [
        *methods,
        ("Inputs", [_row(run, found, DRIVERS, found.of_driver)]),
    ]


def _of(found: Recognised, label: str) -> Callable[[CellFacts], Answered]:
    return lambda cell: found.given(label, cell)


def _row(
    run: FinishedRun,
    found: Recognised,
    name: str,
    given: Callable[[CellFacts], Answered],
    true: Callable[[CellFacts], int | None] | None = None,
) -> Row:
    """Return a row over the cells with a class. true: the class that counts as correct (default: the driver's)."""
    known = [(cell, place) for cell in run.facts.cells if (place := (true or found.true)(cell)) is not None]
    said = [given(cell) for cell, _ in known]
    answers = np.array([one.answers or (-1,) * found.seeds for one in said], np.int64)
    return Row(
        name,
        np.array([place for _, place in known], np.int64),
        answers.reshape(len(known), found.seeds).T,
        tuple(cell.driver for cell, _ in known),
        next((one.reason for one in said if one.reason), ""),
        sum(one.fewer for one in said if one.answers),
    )


def _scores(run: FinishedRun, found: Recognised) -> Table:
    n = len(found.classes)
    columns = (
        Column("method"),
        Column("UF1", "↑", 2, UF1, better=True, brief=True),
        Column("UAR", "↑", 2, UAR, better=True, brief=True),
        *([Column("UF1 of seeds", "", 2, "Lowest and highest UF1 among the seeds.")] if found.seeds > 1 else []),
        *(Column(name, "", 0, f"Cells labelled {name}.", "Labels given") for name in found.classes),
    )

    def entries(row: Row) -> tuple[Entry, ...]:
        score = row.score(n)
        given = int((row.answers >= 0).all(0).sum())
        marks = [f"{given}/{len(row.true)}"] if given < len(row.true) else []
        remark = ", ".join([*marks, *([f"{row.fewer} by fewer classes"] if row.fewer else [])])
        spread = (min(score.of_seeds), max(score.of_seeds)) if score.of_seeds else ()
        texts = [Entry(" to ".join(f"{end:.2f}" for end in spread)) if spread else Entry(None, score.uf1.reason)]
        return (
            Entry(row.name),
            *(_score(interval, row.reason, remark) for interval in (score.uf1, score.uar)),
            *(texts if found.seeds > 1 else []),
            *(Entry(float(count) / found.seeds) for count in score.counts.sum(0)),
        )

    sections = [Section(heading, tuple(map(entries, rows))) for heading, rows in _rows(run, found)]
    sections.append(Section("Trivial baselines", _without_looking(run, found, len(columns))))
    return Table("Recognition of the drivers' emotions", columns, tuple(sections), tuple(_footnotes(run, found)))


def _score(found: Interval, reason: str, remark: str) -> Entry:
    if found.value is None:
        return Entry(None, found.reason if found.n else reason or found.reason)
    drawn = (found.low, found.high) if found.low is not None and found.high is not None else None
    return Entry(found.value, remark=remark, interval=drawn)


def _without_looking(run: FinishedRun, found: Recognised, width: int) -> tuple[tuple[Entry, ...], ...]:
    """Return the scores of a constant prediction and of guessing on the same cells."""
    true = [place for cell in run.facts.cells if (place := found.true(cell)) is not None]
    shown = np.bincount(np.array(true, np.int64), minlength=len(found.classes))
    most = int(np.argmax(found.of_classes))
    rows = []
    for name, counts in ((f"always {found.classes[most]}", constant(shown, most)), ("chance", by_chance(shown))):
        scores = [float(score(counts)) for score in (uf1, uar)]
        values = [Entry(value if np.isfinite(value) else None, "the cells show one class") for value in scores]
        labels = [Entry(float(count)) for count in counts.sum(0)]
        blank = [Entry("")] * (width - 3 - len(labels))
        rows.append((Entry(name), *values, *blank, *labels))
    return tuple(rows)


def _footnotes(run: FinishedRun, found: Recognised) -> Iterable[str]:
    yield WHAT_FOR
    yield INTERVALS
    learnt = "; ".join(
        f"{part.database}: {plural(part.clips, 'clip')} of {plural(part.people, 'person', 'people')}"
        for part in found.learnt_from
    )
    counts = ", ".join(f"{count} {name}" for name, count in zip(found.classes, found.of_classes, strict=True))
    yield f"The recogniser ({found.recogniser}) learned from {learnt} ({counts})."
    most = found.classes[int(np.argmax(found.of_classes))]
    yield (
        f"always {most}: the most common class among the clips from which it learned (the first if several are equally"
        f" common); chance: the mean score of labels drawn evenly from the {len(found.classes)} classes."
    )
    if any(one.fewer for cells in (*found.rows.values(), found.drivers) for one in cells.values()):
        yield FEWER
    if line := _foil(run, found):
        yield line
    without = [driver for driver, emotion in found.emotions.items() if emotion is None]
    if without:
        lacking = plural(len(without), "driver has", "drivers have")
        yield f"{lacking} none of these emotions (not counted): {', '.join(without)}."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in found.notes)


def _foil(run: FinishedRun, found: Recognised) -> str:
    """Return how well the wrong driver's emotion is recognised in its control; "" if there is no such control."""
    if FLOOR_CONTROL not in found.rows:
        return ""
    row = _row(run, found, FLOOR_CONTROL, _of(found, FLOOR_CONTROL), found.of_foil)
    score = row.score(len(found.classes))
    if score.uf1.value is None or score.uar.value is None:
        return ""
    return (
        f"{FLOOR_CONTROL} shows another driver's expression: compared with that driver's emotion it has UF1"
        f" {score.uf1.value:.2f} and UAR {score.uar.value:.2f} ({plural(score.uf1.n, 'cell')})."
    )


def _confusion(run: FinishedRun, found: Recognised) -> Table:
    """Return a line for each row: how many cells of each class received which label."""
    rows = _rows(run, found)
    first = rows[0][1][0]
    shown = np.bincount(first.true, minlength=len(found.classes))
    columns = [Column("method")]
    for true, count in zip(found.classes, shown, strict=True):
        columns += [
            Column(said, "", 0 if found.seeds == 1 else 1, f"Cells of {true} drivers that were labelled {said}.", group)
            for group in (f"{true} drivers, {plural(int(count), 'cell')}",)
            for said in found.classes
        ]

    def entries(row: Row) -> tuple[Entry, ...]:
        counts = row.score(len(found.classes)).counts / found.seeds
        most = counts.sum(1, keepdims=True)
        shares = np.divide(counts, most, out=np.zeros_like(counts), where=most > 0)
        return (
            Entry(row.name),
            *(
                Entry(float(counts[i, j]), shade=float(shares[i, j] if i == j else -shares[i, j]) or None)
                for i in range(len(counts))
                for j in range(len(counts))
            ),
        )

    sections = tuple(Section(heading, tuple(map(entries, some))) for heading, some in rows)
    many = " Means over seeds." if found.seeds > 1 else ""
    note = f"Each line is a confusion matrix: the driver's emotion above, the label given below it.{many}"
    return Table("Confusion matrices", tuple(columns), sections, (note,))
