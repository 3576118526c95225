"""Spotting: a table that compares every row with a constant answer, and MEGC's log of the intervals."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from megbench.core.detections import overlap, rates
from megbench.core.errors import plural
from megbench.core.figures import Figure
from megbench.core.files.cache import write_text
from megbench.core.tables.spreadsheet_text import inert, printable
from megbench.engine.run_folder import SPOTTING_LOG
from megbench.reports.headlines import entry, explanation
from megbench.reports.marks import marked
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

METRIC = "spotting"
WHOLE_CLIP = "whole clip"
FIGURES = ("tp", "fp", "fn", "precision", "recall", "f1", "iou")
RATES = tuple(f"{METRIC}_{name}" for name in FIGURES[3:])
SHORT = {"tp": "TP", "fp": "FP", "fn": "FN", "f1": "F1", "iou": "IoU"}
# What the metric stores for a cell, with the permitted numbers of values.
KEPT = {"counts": (3,), "driver_interval": (2,), "output_interval": (0, 2), "whole_clip": (5,)}
RESULTS = ("TP", "FP", "FN")
COLUMNS = ("video", "method", "true_onset", "true_offset", "spotted_onset", "spotted_offset", "iou", "result")


@dataclass(frozen=True)
class Spotted:
    """What was spotted in one cell: the first and last frames of both intervals, () for none. counts: TP, FP, FN."""

    cell: str
    method: str
    true: tuple[int, ...]
    spotted: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def iou(self) -> float:
        """The intersection over union of the intervals, 0 if none was spotted."""
        return overlap(self.spotted, self.true) if self.spotted else 0.0  # type: ignore[arg-type]

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yield the log's rows: two for a spotted interval that misses the true one, otherwise one."""
        for result, count in zip(RESULTS, self.counts, strict=True):
            if count:
                true = self.true if result != "FP" else ("", "")
                spotted = self.spotted if result != "FN" else ("", "")
                yield (
                    inert(printable(self.cell)),
                    inert(printable(self.method)),
                    *true,
                    *spotted,
                    f"{self.iou:.4f}",
                    result,
                )


def spotting_table(run: FinishedRun) -> Table | None:
    """Return counts and rates of every row and of the whole-clip answer, or None if nothing was measured."""
    constant = constant_answers(run)
    if not constant or any(f"{METRIC}_{name}" not in run.figures for name in FIGURES):
        return None
    figures = [run.figures[f"{METRIC}_{name}"] for name in FIGURES]
    columns = tuple(
        Column(
            SHORT.get(name, name),
            figure.arrow,
            0 if figure.ideal is None else 2,
            explanation(metric, figure),
            better=figure.higher_is_better,
            key=figure.name,
        )
        for name, (metric, figure) in zip(FIGURES, figures, strict=True)
    )
    parts = (("Methods", run.methods), ("Controls", run.controls))
    sections = [
        Section(
            heading,
            tuple(
                (Entry(method.label), *(_shown(run, method.label, figure) for _, figure in figures))
                for method in methods
            ),
        )
        for heading, methods in parts
        if methods
    ]
    sections.append(Section("Constant answer", (_constant_row(constant),)))
    around = -constant[0].spotted[0]
    note = (
        f"{WHOLE_CLIP}: every clip counts as one interval, including the {around} still frames that are assumed on"
        " either side of it."
    )
    below = (*filter(None, [caution(run)]), note)
    return marked(run, Table("Spotting: counts over cells", (Column("method"), *columns), tuple(sections), below))


def _shown(run: FinishedRun, label: str, figure: Figure) -> Entry:
    """Return a row's entry. Only rates show their number of cells, because "3 3/6" would not be a count."""
    found = entry(run.combined(label, figure.name))
    return found if figure.name in RATES else dataclasses.replace(found, remark="")


def caution(run: FinishedRun) -> str:
    """Return a warning about the cells in which the whole clip counts as a hit, or "" if there are none.

    This happens if the driver's interval fills most of a long clip, so that the still frames around it are too few.
    """
    answers = constant_answers(run)
    found = sum(answer.counts[0] for answer in answers)
    if not found:
        return ""
    return (
        f"Caution: the {WHOLE_CLIP} itself counts as found in {found} of {plural(len(answers), 'cell')}, where spotting"
        " therefore proves nothing."
    )


def _constant_row(answers: Sequence[Spotted]) -> tuple[Entry, ...]:
    counts = np.sum([answer.counts for answer in answers], axis=0).tolist()
    numbers = [*counts, *rates(counts), float(np.mean([answer.iou for answer in answers]))]
    return (Entry(WHOLE_CLIP), *(Entry(None if number is None else float(number)) for number in numbers))


def write_log(run: FinishedRun) -> None:
    """Write the intervals of all rows and of the constant answer to the run's log, unless nothing was measured."""
    path, answers = run.folder / SPOTTING_LOG, constant_answers(run)
    if not answers:
        path.unlink(missing_ok=True)
        return
    rows = [_spotted(run, method.label, cell) for method in run.facts.methods for cell in run.facts.cells]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for spotted in (*filter(None, rows), *answers):
        writer.writerows(spotted.rows())
    write_text(path, text.getvalue())


def constant_answers(run: FinishedRun) -> list[Spotted]:
    """Return the whole-clip answer in every cell in which some row was measured."""
    found = []
    for cell in run.facts.cells:
        measured = (_sums(run, method.label, cell) for method in run.facts.methods)
        if sums := next(filter(None, measured), None):
            *counts, first, last = sums["whole_clip"]
            found.append(Spotted(cell.name, WHOLE_CLIP, sums["driver_interval"], (first, last), tuple(counts)))
    return found


def _spotted(run: FinishedRun, label: str, cell: CellFacts) -> Spotted | None:
    sums = _sums(run, label, cell)
    if not sums:
        return None
    return Spotted(cell.name, label, sums["driver_interval"], sums["output_interval"], sums["counts"])


def _sums(run: FinishedRun, label: str, cell: CellFacts) -> dict[str, tuple[int, ...]]:
    """Return what the metric stored for a cell, as whole numbers, or {} if it is missing or has another form."""
    kept = run.sums(label, cell).get(METRIC, {})
    whole = {name: tuple(int(n) for n in numbers if math.isfinite(n)) for name, numbers in kept.items()}
    return whole if all(len(whole.get(name, ())) in lengths for name, lengths in KEPT.items()) else {}
