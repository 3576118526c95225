"""Run a benchmark from the request to the report: clips -> protocol -> methods -> metrics -> report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from megbench.commands import perturbing, runs
from megbench.commands.options import RUNS
from megbench.commands.request import Request, load_metrics, make_protocol, make_rows, mention, possible_rows
from megbench.engine.run_folder import PAGES, PERTURBED, RECOGNITION

if TYPE_CHECKING:
    from megbench.clips.perturbed import Perturbation
    from megbench.engine.benchmark import Benchmark
    from megbench.engine.runner import Settings


def planned(request: Request, settings: Settings, out: Path | None, media_all: bool, dry_run: bool) -> Benchmark:
    """Return the requested run with its cells, and print what will be missing from the run.

    out: the run's folder; None means runs/<protocol>-<hash>. Raise BenchError for unknown names, for unusable inputs
    and, unless `dry_run` is set, for a folder that cannot be used.
    """
    from megbench.core.files.cache import digest
    from megbench.core.files.folder_lock import RUN, check_free
    from megbench.core.progress import note
    from megbench.engine.benchmark import Benchmark
    from megbench.engine.foreseen import foreseen
    from megbench.engine.scoring import Scorer
    from megbench.faces.features import Seen

    folder = out or RUNS / f"{request.protocol}-{digest(request.deciding())[:10]}"
    source = make_protocol(request.protocol, request.folders, request.face, settings.workers)
    scorer = Scorer(load_metrics(request), Seen, settings.store, settings.workers, settings.engine, settings.limit_s)
    rows = make_rows(request)  # unknown names are reported before anything is rendered
    named = [row.label for row in rows[: len(set(request.methods))]]
    if not dry_run:
        check_free(folder, RUN)  # before anything is rendered
    cells = source.cells()
    asked, rows = rows, possible_rows(rows, request, cells)
    # Unreadable outputs are reported before anything is animated.
    marks = {row.label: row.marks_on(cells) for row in rows}
    mention(asked, marks, scorer.metrics, cells)
    run = Benchmark(
        folder, {**dataclasses.asdict(request), "media_all": media_all}, source, cells, rows, settings, scorer
    )
    for line in foreseen(run.jobs, named):
        note(line)
    return run


def forecast_of(run: Benchmark, altering: Sequence[Perturbation], media_all: bool) -> str:
    """Return a description of what a run would do and roughly how long it would take, without running it."""
    from megbench.engine.estimate import forecast, outlook, work_left
    from megbench.engine.foreseen import check_files

    missing = run.missing()
    check_files(missing)
    left = work_left(run.folder, run.jobs, missing, media_all)
    lines = [f"Run {run.folder}", forecast(run.jobs, left, run.scorer, run.settings)]
    for altered in perturbing.altered_runs(run, altering):
        left = work_left(altered.folder, altered.jobs, altered.missing(), media_all)
        lines += [str(altered.folder), outlook(dataclasses.replace(left, page_frames=0), run.scorer, run.settings)]
    return "\n".join(lines)


def completed(run: Benchmark, altering: Sequence[Perturbation], media_all: bool) -> list[str]:
    """Complete a run, write its report and seal it; return its failures, one line each.

    altering: alterations of the drivers; the whole run is repeated with each of them (megbench.clips.perturbed).
    """
    from megbench.commands.precision import hint
    from megbench.core.files.cache import trim
    from megbench.core.files.folder_lock import RUN, locked_folder
    from megbench.core.progress import note
    from megbench.engine.seal import page_as_sealed, seal

    folder, settings = run.folder, run.settings
    if settings.device == "cpu" and (faster := hint(run.jobs, run.missing)):
        note(faster)
    page = runs.page_recipe()
    with locked_folder(folder, RUN):
        failures = None if _outdated(folder) else run.finished(page)
        if failures is None:
            failures = run.complete(page)
            run.changed |= runs.keep_motion(folder, run.jobs)
            if run.changed or _outdated(folder) or not page_as_sealed(folder):
                runs.make_report(folder, media_all)
            seal(folder)
        if altering:
            failures = [*failures, *perturbing.complete(run, altering, media_all)]
        trim(settings.store)
    return failures


def _outdated(run: Path) -> bool:
    """Return whether a page or summary is missing, or older than the scores, judgements or labels that it shows."""
    shown = [path for name in ("run.json", "scores.csv", "experts.csv", RECOGNITION) if (path := run / name).exists()]
    shown += run.glob(f"{PERTURBED}/*/scores.csv")
    newest = max((path.stat().st_mtime_ns for path in shown), default=0)
    pages = [run / name for name in PAGES]
    return any(not page.exists() or page.stat().st_mtime_ns < newest for page in pages)
