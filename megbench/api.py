"""MEG-Bench in a program of yours: `megbench.score` measures outputs, `megbench.run` does a whole benchmark.

Both do what the command line does, give the same numbers and raise `megbench.BenchError`, one line, for what cannot be
used. They work in processes of their own; a script that calls them needs no `if __name__ == "__main__"`.
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
    """Measure outputs of generators against their drivers: a row for each driver on each template.

    outputs: a folder with a video, GIF or folder of pictures for each cell, called `<driver>__<template>`, or with
    other names and a `mapping.csv`; or a mapping of such names, or of (driver, template), to paths or arrays uint8
    (T, H, W, 3) RGB; or one array. drivers: a folder of videos and folders of pictures, or a mapping of names to paths
    or arrays; or one array, called "driver". templates: a folder of portraits, or a mapping of names to paths or arrays
    uint8 (H, W, 3) RGB; or one array, called "template". All are cut and compared as `--protocol folder` does it.
    metrics: as `--metrics`: names instead of the default ones, or +NAME beside them. face: as `--face`. workers:
    processes; 0: one for each core. store: a folder that keeps prepared clips and scores for further calls; None: they
    are not kept.

    The table has the columns driver, template, one for each figure (NaN where it is absent) and reason, which says for
    all absent ones why. `attrs["over_all_cells"]` has each figure summed up as in the leaderboard, None where it is
    absent. Raise BenchError for inputs that cannot be used.
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
    """A finished run. folder: where it lies. failures: what could not be done, a line each."""

    folder: Path
    failures: tuple[str, ...]

    @property
    def report(self) -> Path:
        """The page, which opens from disk."""
        return self.folder / REPORT

    @property
    def scores(self) -> pd.DataFrame:
        """Every figure of every row: in each cell (scope "cell"), and summed up over all and over groups of them."""
        return read_scores(self.folder)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The report's tables by name ("leaderboard", "figures", ...); `attrs["notes"]` has each one's footnotes."""
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
    """Run a benchmark as the command line does, with what its options of the same names mean; return the finished run.

    methods, metrics: names, in a sequence or separated by commas. out: the run's folder; None: runs/<protocol>-<hash>
    in the current folder, where the store (.megbench) is, too. Raise BenchError for wrong names and inputs; cells that
    fail are in `Result.failures`.
    """
    from megbench.engine.runner import Settings

    paths = [Path(place) if place is not None else None for place in (drivers, templates, data, portraits)]
    where = resolve_device(Device(check_choice("device", device, list(Device))))
    asked = tuple(names(methods) if isinstance(methods, str) else methods)
    if not asked:
        raise BenchError("run: no methods. Name some: megbench.run('fpfomm,fomm').")
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
    """Return a table of the report, absent values as NaN."""
    rows = [[section.heading, *(entry.value for entry in row)] for section in table.sections for row in section.rows]
    frame = pd.DataFrame(rows, columns=["section", *table.keys()])
    frame.attrs["notes"] = list(table.footnotes)
    return frame


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Let processes that are started in this block not run the program's own script once more.

    A spawned process does, up to `if __name__ == "__main__"`; what it works on here is defined in modules.
    """
    main = vars(sys.modules["__main__"])
    # What `multiprocessing.spawn.get_preparation_data` goes by.
    before: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        del main["__spec__"]
        main.update(before)
