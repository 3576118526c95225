"""`bench.py verify`: is a run unchanged, and can it be reproduced?"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megbench.core.errors import BenchError, plural

if TYPE_CHECKING:
    from megbench.core.files.cache import CellRecord


OTHERS = "made with different code, weights, inputs or package versions"


def verify(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, runs/<id>.")],
    sample: Annotated[int, typer.Option(min=0, help="Number of random cells to animate again and compare.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed for drawing cells.")] = 0,
) -> None:
    """Hash every file of a run again, and recompute a random sample of its cells; exit with code 1 if any differs."""
    from megbench.core.files.cache import read_json
    from megbench.engine.seal import faults

    facts = read_json(run / "run.json")
    if not isinstance(facts, dict) or "request" not in facts:
        raise BenchError(f"{run} is not the folder of a run (no readable run.json). Pass runs/<id>.")
    lines = faults(run)
    print(
        f"{run}: no file has changed" if not lines else f"{run}: {plural(len(lines), 'file has', 'files have')} changed"
    )
    done, differing = _again(run, facts["request"], sample, seed) if sample and not lines else (0, [])
    if done:
        print(f"{plural(done, 'cell')} animated again; {len(differing)} differ")
    for line in [*lines, *differing]:
        print(f"  {line}")
    if lines or differing:
        raise typer.Exit(1)


def _again(run: Path, asked: dict[str, Any], sample: int, seed: int) -> tuple[int, list[str]]:
    """Animate `sample` finished cells again in a temporary store. Return their number, and a line per difference."""
    from megbench.commands.request import Request, make_protocol, make_rows, possible_rows
    from megbench.engine.runner import Settings, animate, cell_folder, plan

    request = Request(**{name: asked[name] for name in Request.__dataclass_fields__ if name in asked})
    source = make_protocol(request.protocol, request.folders, request.face)
    cells = source.cells()
    with tempfile.TemporaryDirectory(prefix="megbench-") as folder:
        settings = Settings(Path(folder) / "store", request.device, request.seed, 1)
        jobs = plan(possible_rows(make_rows(request), request, cells), cells, source.version, settings)
        kept = {job.key: _record(cell_folder(run, job)) for job in jobs}
        finished = [job for job in jobs if kept[job.key].status == "ok"]
        drawn = random.Random(seed).sample(finished, min(sample, len(finished)))
        others = [job for job in drawn if kept[job.key].key != job.key]
        made = animate(Path(folder) / "run", [job for job in drawn if job not in others], settings)
    lines = [f"{job.row.label} on {job.cell.name}: {OTHERS}" for job in others]
    for job in drawn:
        if job.key in made and made[job.key].content != kept[job.key].content:
            lines.append(f"{job.row.label} on {job.cell.name}: {made[job.key].reason or 'different frames'}")
    return len(made), lines


def _record(folder: Path) -> CellRecord:
    """Return a cell's record in the run, whatever its key, or a record without a status if there is none."""
    from megbench.core.files.cache import CellRecord, read_kept

    return CellRecord(**(read_kept(folder / "cell.json") or {"key": "", "status": ""}))
