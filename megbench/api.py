"""MEG-Bench as a library: `megbench.score` measures outputs, `megbench.run` runs a complete benchmark.

Both work like the command line and give the same numbers. They raise `megbench.BenchError`, with a one-line message,
for unusable input. They start worker processes, but a script that calls them needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from megbench.clips.handed_over import Given, drivers_folder, outputs_folder, templates_folder
from megbench.commands import benchmarking
from megbench.commands.options import Device, folders, names, resolve_device
from megbench.commands.request import Request, chosen_metrics, load_metrics, mention
from megbench.commands.scored_cells import by_cell, read_scores
from megbench.core.errors import BenchError, check_choice
from megbench.core.files.working_folder import STORE
from megbench.core.processors import usable
from megbench.core.progress import note
from megbench.engine.run_folder import REPORT

if TYPE_CHECKING:
    from megbench.reports.table import Table

Place = str | os.PathLike[str]


def score(
    outputs: Given,
    drivers: Given,
    templates: Given,
    metrics: str | Sequence[str] = (),
    *,
    face: str = "",
    workers: int = 0,
    store: Place | None = None,
) -> pd.DataFrame:
    """Measure generators' outputs against their drivers; return a table with one row per driver and template.

    outputs: a folder with one video, GIF or folder of pictures per cell, named `<driver>__<template>`, or with other
    names and a `mapping.csv`; or a mapping from such names, or from (driver, template), to paths or uint8 arrays (T, H,
    W, 3) in RGB; or one array. drivers: a folder of videos and folders of pictures, or a mapping from names to paths or
    arrays; or one array, named "driver". templates: a folder of portraits, or a mapping from names to paths or uint8
    arrays (H, W, 3) in RGB; or one array, named "template". All are cropped and compared as with `--protocol folder`.
    metrics: as for `--metrics`, names that replace the defaults, or +NAME to add to them. face: as for `--face`.
    workers: the number of worker processes; 0 means one per core. store: a folder that keeps prepared clips and scores
    for later calls; if it is None, they are not kept.

    The table has the columns driver and template, one column per figure (NaN where it is absent), and reason, which
    explains every absent figure. `attrs["over_all_cells"]` holds each figure aggregated as in the leaderboard, or None
    where it is absent. Raise BenchError for unusable inputs.
    """
    from megbench.engine.benchmark import Benchmark
    from megbench.engine.foreseen import foreseen
    from megbench.engine.runner import Row, Settings
    from megbench.engine.scoring import Scorer
    from megbench.faces.features import Seen
    from megbench.methods import make_method
    from megbench.protocols.folder import Folder

    request = _request(("outputs",), "folder", {}, metrics, controls=False, face=face)
    with _without_script(), TemporaryDirectory(prefix="megbench-") as work:
        place = Path(work).resolve()
        made = outputs_folder(outputs, place / "outputs")
        kept = Path(store).expanduser().resolve() if store else place / "store"
        settings = Settings(kept, request.device, request.seed, workers or usable())
        scorer = Scorer(load_metrics(request), Seen, kept, settings.workers)
        row = Row.of("outputs", "outputs", "", {"folder": str(made)}, make_method("outputs"))
        given = drivers_folder(drivers, place / "drivers"), templates_folder(templates, place / "templates")
        source = Folder(kept / "clips", *given, face)
        cells = source.cells()
        run = Benchmark(place / "run", {}, source, cells, [row], settings, scorer)
        mention([row], {row.label: row.marks_on(cells)}, scorer.metrics, cells)
        for line in foreseen(run.jobs, [row.label]):
            note(line)
        run.complete()
        return by_cell(read_scores(run.folder), cells, [make() for make in scorer.metrics])


@dataclass(frozen=True)
class Result:
    """A finished run. folder: the run's folder. failures: one line per failure."""

    folder: Path
    failures: tuple[str, ...]

    @property
    def report(self) -> Path:
        """The path of the report, a page that opens directly from disk."""
        return self.folder / REPORT

    @property
    def scores(self) -> pd.DataFrame:
        """Every figure of every row, per cell (scope "cell") and aggregated over all cells and over groups of cells."""
        return read_scores(self.folder)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The report's tables by name ("leaderboard", "figures", ...); each `attrs["notes"]` holds the footnotes."""
        from megbench.reports.export import tables_of

        return {name: _frame(table) for name, table in tables_of(self.folder).items()}


def run(
    methods: str | Sequence[str],
    protocol: str = "demo",
    out: Place | None = None,
    *,
    drivers: Place | None = None,
    templates: Place | None = None,
    data: Place | None = None,
    portraits: Place | None = None,
    face: str = "",
    metrics: str | Sequence[str] = (),
    controls: bool = True,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
) -> Result:
    """Run a benchmark as the command line does, with options of the same names and meanings; return the finished run.

    methods, metrics: names, in a sequence or separated by commas. out: the run's folder; None means
    runs/<protocol>-<hash> in the current folder, which also holds the store (.megbench). Raise BenchError for unknown
    names and unusable inputs; failed cells are listed in `Result.failures`.
    """
    from megbench.engine.runner import Settings

    paths = [Path(place) if place is not None else None for place in (drivers, templates, data, portraits)]
    where = resolve_device(Device(check_choice("device", device, list(Device))))
    asked = tuple(names(methods) if isinstance(methods, str) else methods)
    if not asked:
        raise BenchError("run: no method was given. Name at least one: megbench.run('fpfomm,fomm').")
    request = _request(asked, protocol, folders(*paths), metrics, controls=controls, face=face, seed=seed, device=where)
    settings = Settings(STORE.resolve(), request.device, seed, workers or usable())
    with _without_script():
        planned = benchmarking.planned(request, settings, Path(out) if out else None, media_all=False, dry_run=False)
        return Result(planned.folder, tuple(benchmarking.completed(planned, (), media_all=False)))


def _request(
    methods: tuple[str, ...],
    protocol: str,
    given: dict[str, str | None],
    metrics: str | Sequence[str],
    *,
    controls: bool,
    face: str,
    seed: int = 0,
    device: str = "cpu",
) -> Request:
    named = names(metrics) if isinstance(metrics, str) else tuple(metrics)
    bare = tuple(name.removeprefix("+") for name in named)
    return Request(methods, protocol, given, chosen_metrics(named), controls, seed, device, face, bare)


def _frame(table: Table) -> pd.DataFrame:
    """Return a table of the report as a data frame, with absent values as NaN."""
    rows = [[section.heading, *(entry.value for entry in row)] for section in table.sections for row in section.rows]
    frame = pd.DataFrame(rows, columns=["section", *table.keys()])
    frame.attrs["notes"] = list(table.footnotes)
    return frame


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Keep processes that are started in this block from running the calling script again.

    A spawned process normally runs the script up to `if __name__ == "__main__"`. That is not needed here, because
    everything that the processes work on is defined in modules.
    """
    main = vars(sys.modules["__main__"])
    # The variables that `multiprocessing.spawn.get_preparation_data` reads.
    before: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        del main["__spec__"]
        main.update(before)
