"""A request for a run, and the cells, rows and metrics that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbench.core.errors import BenchError
from megbench.core.files.working_folder import STORE

if TYPE_CHECKING:
    from megbench.core.clip import Cell
    from megbench.core.contracts import CellSource
    from megbench.engine.runner import Row


# Parts of a request that affect only the page, not the scores.
SHOWN = ("named_metrics", "reference")


@dataclass(frozen=True)
class Request:
    """The user's request in plain values: everything that affects scores, and two options for the page.

    named_metrics: the metrics that have columns in every leaderboard; other metrics have columns only if their figures
    request them. reference: the reference whose published rows are shown beside the run's own, or "" for none
    (megbench.reports.reference).
    """

    methods: tuple[str, ...]
    protocol: str
    folders: dict[str, str | None]
    metrics: tuple[str, ...]
    controls: bool
    seed: int
    device: str
    face: str = ""
    named_metrics: tuple[str, ...] = ()
    reference: str = ""

    def deciding(self) -> dict[str, Any]:
        """Return everything that affects the scores, as plain values; the run is named after their hash."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in SHOWN}


def make_protocol(name: str, given: dict[str, Any], face: str = "", workers: int = 0) -> CellSource:
    """Return the protocol `name` on the `given` folders.

    face: the choice of the drivers' faces; "" means the largest. workers: the number of processes that the protocol may
    use; 0 means one per processor.
    """
    from megbench.core.registry import ignored, load
    from megbench.protocols import PROTOCOLS, make

    _note_ignored(ignored("protocol", PROTOCOLS))
    paths = {key: Path(path) if path else None for key, path in given.items()}
    return make(name, load("protocol", name, PROTOCOLS), STORE.resolve() / "clips", paths, face, workers)


def make_rows(request: Request) -> list[Row]:
    """Return the rows of the requested methods, then their companions: flow_warp and the controls."""
    from megbench.engine.runner import Row
    from megbench.methods import COMPANIONS, ignored_methods, parse_label, row_maker

    _note_ignored(ignored_methods())
    companions = COMPANIONS if request.controls else ()
    rows = []
    for text in dict.fromkeys([*request.methods, *companions]):
        label = parse_label(text)
        rows.append(Row.of(label.text, label.name, label.variant, label.options, row_maker(label)))
    labels = [row.label for row in rows]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise BenchError(f"Several rows are called {min(twice)!r}. Rename one of the folders.")
    return rows


def possible_rows(rows: Sequence[Row], request: Request, cells: Sequence[Cell]) -> list[Row]:
    """Return the rows without those companions that these cells do not allow and that nobody requested by name."""
    return [row for row in rows if row.label in request.methods or not impossible(row, cells)]


def impossible(row: Row, cells: Sequence[Cell]) -> str:
    """Return why these cells do not allow a companion, or "" if they do."""
    needs = getattr(row.maker, "needs", "")
    if needs == "truth" and not all(cell.truth for cell in cells):
        return "the true result of the drivers' expressions on these templates is not known"
    if needs == "foil" and not any(cell.foil for cell in cells):
        one = len({cell.driver.name for cell in cells}) == 1
        return "there is only one driver" if one else "no driver has a counterpart that moves another part of the face"
    return ""


def mention(
    rows: Sequence[Row], marks: Mapping[str, Mapping[str, str]], metrics: Sequence[Any], cells: Sequence[Cell]
) -> None:
    """Print which companions and metrics a run will lack and why, with notes on units from flow and on demo weights.

    rows: all requested rows and their companions. marks: the marks of the run's rows on these cells, by label.
    """
    from megbench.core.generator import DEMO_MARK
    from megbench.core.progress import note
    from megbench.engine.scoring import unready
    from megbench.methods.marks import FROM_FLOW

    for row in rows:
        if row.label not in marks:
            note(f"{row.label} is left out: {impossible(row, cells)}.")
    for metric in metrics:
        if reason := unready(metric):
            note(f"{metric.name} is not computed: {reason}")
    estimated = [label for label, words in marks.items() if any(word.startswith(FROM_FLOW) for word in words)]
    if estimated:
        note(
            f"{', '.join(estimated)}: action units are estimated from the drivers' optical flow (au_source=flow);"
            " optical flow is also used to score the outputs. au_source=openface and au_source=table do not use it."
        )
    demo = [label for label, words in marks.items() if DEMO_MARK in words]
    if demo and not all(cell.driver.rendered for cell in cells):
        note(
            f"{', '.join(demo)}: the demo weights were trained briefly on rendered faces. On recordings,"
            " they produce hardly any motion or add noise; they say nothing about the published models"
            " (docs/demo_weights.md)."
        )


def chosen_metrics(given: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that --metrics selects: the defaults if `given` is empty, or the defaults plus names with a +.

    Raise BenchError if only some of the names have a +.
    """
    from megbench.metrics import METRICS, ON_REQUEST

    added = [name.removeprefix("+") for name in given if name.startswith("+")]
    if added and len(added) < len(given):
        bare = next(name for name in given if not name.startswith("+"))
        raise BenchError(
            f"--metrics {','.join(given)}: {bare} alone replaces the default metrics, but +{added[0]} adds to them."
            f" Write either +{bare} or {added[0]}."
        )
    default = [] if given and not added else [name for name in METRICS if name not in ON_REQUEST]
    return tuple(dict.fromkeys([*default, *(added or given)]))


def load_metrics(request: Request) -> list[Any]:
    """Return the classes of the requested metrics.

    Raise BenchError if a metric does not meet the contract, or if two metrics have figures with the same name, or with
    the same short title in one group of columns.
    """
    from megbench.core.registry import ignored, load
    from megbench.engine.plugins import check_metric
    from megbench.metrics import METRICS

    _note_ignored(ignored("metric", METRICS))
    makers = [load("metric", name, METRICS) for name in request.metrics]
    owners: dict[str, str] = {}
    headed: dict[tuple[str, str], str] = {}
    for name, make in zip(request.metrics, makers, strict=True):
        check_metric(name, make)
        for figure in make.figures:
            if (owner := owners.setdefault(figure.name, name)) != name:
                raise BenchError(
                    f"The metrics {owner} and {name} both have a figure called {figure.name!r}, which must be unique in"
                    f" tables. Rename it in one of them, or leave one out: --metrics {name}."
                )
            if (other := headed.setdefault((figure.group or name, figure.label), figure.name)) != figure.name:
                raise BenchError(
                    f"The figures {other} of {owners[other]} and {figure.name} of {name} have the same short title,"
                    f" {figure.label!r}, in a group of columns. Give one of them another `short`, or leave one out:"
                    f" --metrics {name}."
                )
    return makers


def _note_ignored(plugins: Sequence[tuple[str, str]]) -> None:
    from megbench.core.progress import note

    for _, line in plugins:
        note(line)
