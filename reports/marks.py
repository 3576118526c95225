"""Marks: notes for readers of a row's scores, shown as a word beside its name in every table and as a sentence below.

They come from the methods (demo weights, outputs supplied as GIFs) and from the run (trained on its drivers).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from megbench.reports.caveats import caveats
from megbench.reports.run_facts import MethodFacts, MetricFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

SEEN = (
    "Its model was trained on these drivers, or on other clips of the people in them, so its scores on them reflect"
    " what it remembers as well as what it can do."
)


def marks(run: FinishedRun, method: MethodFacts) -> dict[str, str]:
    """Return the marks of a row: words for the tables, and a sentence for each."""
    drivers = len({cell.driver for cell in run.facts.cells})
    kinds = (("drivers", method.seen_drivers), ("people", method.seen_people))
    seen = ", ".join(f"{len(names)} of {drivers} {what}" for what, names in kinds if names)
    return {**method.marks, **({f"trained on {seen}": SEEN} if seen else {})}


def words(run: FinishedRun, label: str) -> list[str]:
    """Return the words of a row's marks, or [] for a row without marks or an unknown label."""
    return next((list(marks(run, method)) for method in run.facts.methods if method.label == label), [])


def titled(run: FinishedRun, label: str) -> str:
    """Return a label with the words of its marks in brackets."""
    found = words(run, label)
    return f"{label} ({', '.join(found)})" if found else label


def footnotes(run: FinishedRun, labels: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return a line for each mark of the rows in `labels` (default: all): the rows, the word and the sentence."""
    chosen = None if labels is None else set(labels)
    rows: dict[tuple[str, str], list[str]] = {}
    for method in run.facts.methods:
        if chosen is None or method.label in chosen:
            for mark in marks(run, method).items():
                rows.setdefault(mark, []).append(method.label)
    return tuple(f"{', '.join(labels)} ({word}): {sentence}" for (word, sentence), labels in rows.items())


def marked(run: FinishedRun, table: Table) -> Table:
    """Return a table with marks added: words beside rows' names, in the first column and in headings, and footnotes."""

    def entry(first: Entry) -> Entry:
        found = words(run, first.value) if isinstance(first.value, str) else []
        return dataclasses.replace(first, remark=", ".join(filter(None, (first.remark, *found)))) if found else first

    def column(of: Column) -> Column:
        return dataclasses.replace(of, remark=", ".join(filter(None, (of.remark, *words(run, of.title)))))

    sections = tuple(
        Section(section.heading, tuple((entry(first), *rest) for first, *rest in section.rows))
        for section in table.sections
    )
    notes = (*table.footnotes, *footnotes(run))
    return dataclasses.replace(
        table, columns=tuple(map(column, table.columns)), sections=sections, footnotes=tuple(dict.fromkeys(notes))
    )


def exported(table: Table, *runs: FinishedRun) -> Table:
    """Return a table for use outside the run's page, with versions of its metrics and caveats as footnotes."""
    lines = [f"Measured by {'; '.join(f'{m.name} {m.version}' for m in _measured(run))}." for run in runs]
    lines += [f"{title} {text}" for run in runs for title, text in caveats(run)]
    return dataclasses.replace(table, footnotes=tuple(dict.fromkeys((*table.footnotes, *lines))))


def _measured(run: FinishedRun) -> list[MetricFacts]:
    """Return the metrics that produced at least one number in the run."""
    return [
        metric
        for metric in run.facts.metrics
        if any(
            run.over_all(row.label, metric, figure).value is not None
            for row in run.facts.methods
            for figure in metric.figures
        )
    ]
