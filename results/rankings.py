"""Which rows of which submissions may share a table: those with the same protocol, cells, metric and version."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from megbench.core.files.cache import digest
from megbench.results.paper_numbers import Beside, PaperNumber, beside
from megbench.results.submission import Cell, FigureFacts, Mean, Metric, Row, Submission

# The number of a metric's figures that a table shows if none has a group.
FEW = 6


@dataclass(frozen=True)
class Entry:
    """A submission with the name of its file."""

    name: str
    made: Submission

    def page(self, row: Row) -> str:
        """Return the file name of a row's page."""
        return f"{self.name}.{self.made.rows.index(row) + 1}.html"


@dataclass(frozen=True)
class Ranked:
    """A row in a ranking, with the numbers that papers print for it, by figure."""

    entry: Entry
    row: Row
    papers: Mapping[str, Beside]

    @property
    def status(self) -> str:
        """The status by which tables are filtered: "measured elsewhere" takes precedence over that of the weights."""
        return self.entry.made.kind if self.entry.made.kind == "measured elsewhere" else self.row.status


@dataclass(frozen=True)
class Ranking:
    """Rows that may be compared, because they have exactly these cells and this version of this metric; best first."""

    protocol: str
    protocol_version: str
    metric: Metric
    cells: tuple[Cell, ...]
    of_cells: int
    key: str
    rows: list[Ranked] = field(default_factory=list)

    @property
    def figures(self) -> list[FigureFacts]:
        """The columns: the metric's figures that have a group, or else its first few, without those that no row has."""
        grouped = sorted((figure for figure in self.metric.figures if figure.group), key=lambda figure: figure.order)
        chosen = grouped or list(self.metric.figures[:FEW])
        return [figure for figure in chosen if any(_value(ranked.row, figure) is not None for ranked in self.rows)]

    @property
    def methods(self) -> list[Ranked]:
        """Return the rows that are not controls."""
        return [ranked for ranked in self.rows if not ranked.row.is_control]

    @property
    def controls(self) -> list[Ranked]:
        """Return the controls; a control with the same scores in several submissions is listed once."""
        found: dict[str, Ranked] = {}
        for ranked in self.rows:
            if ranked.row.is_control:
                scores = [ranked.row.scores[figure.name].value for figure in self.metric.figures]
                found.setdefault(digest([ranked.row.label, scores]), ranked)
        return list(found.values())


def rankings(entries: Iterable[Entry], numbers: Sequence[PaperNumber]) -> list[Ranking]:
    """Return all rankings that have a method, those of motion agreement first and otherwise those with the most
    rows."""
    found: dict[str, Ranking] = {}
    for entry in entries:
        made = entry.made
        versions = {name: (metric.name, metric.version) for name, (metric, _) in made.figures.items()}
        for row in made.rows:
            papers = beside(row, made.protocol, versions, numbers)
            for metric in made.metrics:
                cells = scored_cells(made, row, metric)
                if not cells:
                    continue
                key = ranking_key(made, cells, metric)
                if key not in found:
                    protocol = made.protocol
                    found[key] = Ranking(protocol.name, protocol.version, metric, cells, len(made.cells), key)
                found[key].rows.append(Ranked(entry, row, papers))
    for ranking in found.values():
        first = next((figure for figure in ranking.figures if figure.ideal is not None), None)
        ranking.rows.sort(key=functools.partial(_distance, first))
    kept = [ranking for ranking in found.values() if ranking.methods]
    return sorted(kept, key=lambda ranking: (not headline(ranking.metric), -len(ranking.rows), ranking.metric.name))


def headline(metric: Metric) -> bool:
    """Return whether a metric is a version of motion agreement, with which the table begins."""
    return metric.name.startswith("motion_agreement")


def scored_cells(made: Submission, row: Row, metric: Metric) -> tuple[Cell, ...]:
    """Return the cells on which a row has any figure of a metric."""
    names = {figure.name for figure in metric.figures}
    return tuple(cell for cell in made.cells if names & row.cells[cell.name].scores.keys())


def ranking_key(made: Submission, cells: Sequence[Cell], metric: Metric) -> str:
    """Return the hash of everything that the rows of a ranking share."""
    contents = [
        [cell.name, cell.frames, cell.driver_content, cell.template_content, cell.truth_content] for cell in cells
    ]
    shared = [made.kind == "measured elsewhere", made.protocol.name, made.protocol.version]
    return digest([shared, sorted(map(str, contents)), metric.name, metric.version])


def _distance(chosen: FigureFacts | None, ranked: Ranked) -> tuple[bool, float, str]:
    """Return the key that orders rows: the distance of their figure from its ideal, with absent values last."""
    value = _value(ranked.row, chosen) if chosen else None
    far = 0.0 if chosen is None or value is None else abs(value - (chosen.ideal or 0.0))
    return value is None, far, ranked.row.label


def _value(row: Row, figure: FigureFacts) -> float | None:
    found: Mean | None = row.scores.get(figure.name)
    return found.value if found else None
