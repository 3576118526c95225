"""Repeat a run on altered drivers (`--perturb`). Each alteration is a separate run inside the first run's folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from megbench.core.files.working_folder import STORE
from megbench.core.progress import note
from megbench.engine.run_folder import PERTURBED

if TYPE_CHECKING:
    from megbench.clips.perturbed import Perturbation
    from megbench.engine.benchmark import Benchmark


def altered_runs(run: Benchmark, perturbations: Sequence[Perturbation]) -> Iterator[Benchmark]:
    """Yield one run per alteration. The clips of a run are made only when the run is reached.

    Rows of outputs made elsewhere are left out, because these outputs were made from unaltered drivers.
    """
    from megbench.clips.perturbed import perturbed_cells

    rows = [row for row in run.rows if not hasattr(row.maker, "unused")]
    if left := [row.label for row in run.rows if row not in rows]:
        note(
            f"{', '.join(left)}: left out of runs on altered drivers, because they were made elsewhere from"
            " unaltered ones."
        )
    for one in perturbations:
        note(f"altered drivers, {one.label}: {one.says}.")
        request = {**run.request, "perturb": {"label": one.label, "says": one.says}}
        cells = perturbed_cells(run.cells, one, STORE.resolve() / "clips")
        folder = run.folder / PERTURBED / one.label
        yield dataclasses.replace(run, folder=folder, request=request, cells=cells, rows=rows, changed=False)


def complete(run: Benchmark, perturbations: Sequence[Perturbation], media_all: bool) -> list[str]:
    """Complete the runs on altered drivers and print what changed; return their failures, one line each.

    If anything was done, regenerate the page of the original run and seal that run again.
    """
    from megbench.commands.runs import make_report
    from megbench.engine.seal import seal

    failures: list[str] = []
    changed = False
    for altered in altered_runs(run, perturbations):
        found = altered.finished("")
        if found is None:
            found = altered.complete()
            seal(altered.folder)
            changed = True
        failures += [f"{altered.folder.name}: {line}" for line in found]
    print(_write_tables(run.folder))
    if changed:
        make_report(run.folder, media_all)
        seal(run.folder)
    return failures


def _write_tables(folder: Path) -> str:
    """Write how the figures and the order of the rows change, as CSV files in the run's folder; return this as text."""
    from megbench.core.files.cache import write_text
    from megbench.reports.perturbed import perturbed_tables
    from megbench.reports.run_files import FinishedRun

    tables = perturbed_tables(FinishedRun(folder))
    for name, table in tables.items():
        path, text = folder / PERTURBED / f"{name}.csv", table.csv()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    return "\n".join(table.text() for table in tables.values())
