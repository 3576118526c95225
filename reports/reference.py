"""Scores of published outputs, measured elsewhere, beside a run's own on the same cells (`--reference`).

They are only shown: no mean, interval, test or rank of a run includes them. They come from version 1 of motion
agreement, so they are shown only beside a run's scores of that version.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from megbench.core.errors import BenchError, few, plural, unknown_name
from megbench.reports.marks import marked
from megbench.reports.published import HERE
from megbench.reports.run_facts import CellFacts, MethodFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

METRIC, VERSION = "motion_agreement_v1", "1"
# The run's figures, by the columns to which they correspond in the files.
FIGURES = {"agreement": "agreement_v1", "gain": "gain_v1", "error": "error_v1"}
# Protocols that have published rows, with the file that holds them; real_kit.md beside it describes the rows.
REFERENCES = {"megc2021": HERE / "real_kit.csv"}
# If only the independent program measured a row, its `source` ends with these words.
PROTOTYPE_ONLY = "prototype only"
WHAT = (
    "Measured once, elsewhere, by motion agreement 1, on outputs in published repositories. No mean, interval, test or"
    " rank of this run includes these rows. Figures of motion agreement 2, which the other tables have, cannot be"
    " compared with them."
)
PROTOTYPE = "{}: an independent program's figures, from GIFs of 128 pixels; this suite has not measured these outputs."


@dataclass(frozen=True)
class PublishedRow:
    """The scores of one published output. frames: the number of its frames, or None if unknown."""

    system: str
    driver: str
    template: str
    frames: int | None
    scores: dict[str, float]
    prototype_only: bool


def check_reference(reference: str, protocol: str, metrics: Container[str]) -> None:
    """Raise BenchError if there is no such reference, or if a run has nothing to compare with it.

    metrics: the names of the metrics that the run measures.
    """
    if reference not in REFERENCES:
        raise unknown_name("reference", reference, REFERENCES)
    if protocol != reference:
        raise BenchError(
            f"--reference {reference}: its rows belong to the protocol {reference}, but this run uses {protocol}. Leave"
            f" it out, or run --protocol {reference}."
        )
    if METRIC not in metrics:
        raise BenchError(
            f"--reference {reference}: its rows are figures of {METRIC}, which this run does not measure. Add"
            f" --metrics +{METRIC} to its command."
        )


@functools.cache
def published_rows(path: Path) -> tuple[PublishedRow, ...]:
    """Return the published rows in a file, in its order."""
    table = pd.read_csv(path)
    return tuple(
        PublishedRow(
            str(row["system"]),
            str(row["driver"]),
            str(row["template"]),
            None if pd.isna(row["frames"]) else int(row["frames"]),
            {name: float(row[name]) for name in FIGURES},
            str(row["source"]).endswith(PROTOTYPE_ONLY),
        )
        for row in table.to_dict("records")
    )


def reference_tables(run: FinishedRun, reference: str) -> dict[str, Table]:
    """Return the published rows beside a run's methods by file name: means over shared cells, then every cell.

    Return {} if there is no reference. Raise BenchError in the same cases as check_reference, and if the run and the
    rows share no cells.
    """
    if not reference:
        return {}
    versions = {metric.name: metric.version for metric in run.facts.metrics}
    check_reference(reference, run.facts.protocol.name, versions)
    if versions[METRIC] != VERSION:
        raise BenchError(
            f"--reference {reference}: its rows were measured with version {VERSION} of {METRIC}, but this run was"
            f" measured with version {versions[METRIC]}. Omit --reference."
        )
    beside = _Beside(run, published_rows(REFERENCES[reference]))
    if not beside.systems:
        raise BenchError(f"--reference {reference}: this run has no cell with a published output. Omit --reference.")
    tables = {"reference": beside.means()}
    return tables | {f"reference_{name}": beside.every_cell(name) for name in FIGURES}


class _Beside:
    """The published rows on a run's cells, and the scores of the run's methods there."""

    def __init__(self, run: FinishedRun, rows: Sequence[PublishedRow]) -> None:
        places = {(cell.driver, cell.template): cell for cell in run.facts.cells}
        self.run = run
        self.shared = {(row.system, cell.name): row for row in rows if (cell := places.get((row.driver, row.template)))}
        self.systems = list(dict.fromkeys(system for system, _ in self.shared))
        shown = {name for _, name in self.shared}
        self.cells = [cell for cell in run.facts.cells if cell.name in shown]
        prototypes = {row.system for row in rows if row.prototype_only}
        self.prototypes = [system for system in self.systems if system in prototypes]
        self.left_out = [row for row in rows if (row.driver, row.template) not in places]

    def means(self) -> Table:
        """Return each system's means over its cells in the run, and the methods' means over the same cells."""
        methods = self.run.methods
        columns = [
            Column("published system"),
            Column("cells", decimals=0, note="Cells of this run for which the system has outputs."),
        ]
        for name in FIGURES:
            note = "Mean over the cells for which the published system has outputs."
            columns.append(Column("published", note=f"{note} {WHAT}", group=name, key=f"{name} published"))
            columns += [Column(method.label, note=note, group=name, key=f"{name} {method.label}") for method in methods]
        rows = tuple(tuple(self._means_of(system)) for system in self.systems)
        title = (
            "Published outputs, measured elsewhere: means over each system's cells, and this run's means over the same"
            " cells"
        )
        return self._table(title, columns, rows)

    def _means_of(self, system: str) -> Iterator[Entry]:
        cells = [cell for cell in self.cells if (system, cell.name) in self.shared]
        yield self._system(system)
        yield Entry(float(len(cells)))
        for name in FIGURES:
            yield Entry(fmean(self.shared[system, cell.name].scores[name] for cell in cells))
            yield from (self._mean(method, name, cells) for method in self.run.methods)

    def _mean(self, method: MethodFacts, name: str, cells: Sequence[CellFacts]) -> Entry:
        found = [self.run.of_cell(method.label, cell, FIGURES[name]) for cell in cells]
        values = [one.value for one in found if one.value is not None]
        if not values:
            return Entry(None, found[0].reason or found[0].status)
        return Entry(fmean(values), remark="" if len(values) == len(cells) else f"{len(values)}/{len(cells)}")

    def every_cell(self, name: str) -> Table:
        """Return a figure in every cell that has a published row: this run's methods, then the published systems."""
        mark = dict.fromkeys(self.prototypes, PROTOTYPE_ONLY)
        own = (Column(method.label, group="this run", key=method.label) for method in self.run.methods)
        columns = [Column("cell"), *own]
        columns += [
            Column(system, group="measured elsewhere", remark=mark.get(system, ""), key=f"published {system}")
            for system in self.systems
        ]

        def row(cell: CellFacts) -> tuple[Entry, ...]:
            own = (self.run.of_cell(method.label, cell, FIGURES[name]) for method in self.run.methods)
            return (
                Entry(f"{cell.driver} on {cell.template}"),
                *(Entry(found.value, found.reason or found.status) for found in own),
                *(self._published(system, cell, name) for system in self.systems),
            )

        title = f"Published outputs, measured elsewhere: {name} in every cell"
        return self._table(title, columns, tuple(map(row, self.cells)))

    def _published(self, system: str, cell: CellFacts, name: str) -> Entry:
        row = self.shared.get((system, cell.name))
        if row is None:
            return Entry(None, "no published output")
        short = row.frames is not None and row.frames < cell.n_frames
        return Entry(row.scores[name], remark=f"{row.frames} of {cell.n_frames} frames" if short else "")

    def _system(self, system: str) -> Entry:
        return Entry(system, remark=PROTOTYPE_ONLY if system in self.prototypes else "")

    def _table(self, title: str, columns: Sequence[Column], rows: tuple[tuple[Entry, ...], ...]) -> Table:
        notes = [WHAT]
        if self.prototypes:
            notes.append(PROTOTYPE.format(f"{PROTOTYPE_ONLY.capitalize()} ({few(self.prototypes)})"))
        if self.left_out:
            named = few(list(dict.fromkeys(f"{row.driver} on {row.template}" for row in self.left_out)))
            notes.append(
                f"Left out: {plural(len(self.left_out), 'published output')} on cells that this run lacks ({named})."
            )
        return marked(self.run, Table(title, tuple(columns), (Section("", rows),), tuple(notes)))
