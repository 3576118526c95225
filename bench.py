"""MEG-Bench's command line. It reads as the benchmark works: clips -> protocols -> methods -> metrics -> reports.

python bench.py --methods fpfomm,fomm,mraa
python bench.py --methods flow_warp --protocol folder --drivers DIR --templates DIR
python bench.py list methods
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import BenchError, check_choice

if TYPE_CHECKING:
    from core.clip import Cell
    from core.contracts import CellSource
    from core.runner import Row

STORE = Path(".megbench")
RUNS = Path("runs")

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=(__doc__ or "").splitlines()[0]
)


class Device(StrEnum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Listed(StrEnum):
    """What `list` can show."""

    methods = "methods"
    metrics = "metrics"
    protocols = "protocols"
    clips = "clips"


Protocol = Annotated[str, typer.Option(help="Which cells: see `list protocols`.")]
Drivers = Annotated[Path | None, typer.Option(help="Folder of videos or frame folders (folder, self).")]
Templates = Annotated[Path | None, typer.Option(help="Folder of portraits (folder).")]
Data = Annotated[Path | None, typer.Option(help="The unpacked kit of a challenge (megc2021).")]
Portraits = Annotated[Path | None, typer.Option(help="Folder of your own portraits to render from (demo).")]


@dataclass(frozen=True)
class Request:
    """What the user asks for: all that decides the scores, in plain values. Its hash names the run."""

    methods: tuple[str, ...]
    protocol: str
    folders: dict[str, str | None]
    metrics: tuple[str, ...]
    controls: bool
    seed: int
    device: str


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    methods: Annotated[str, typer.Option(help="Comma-separated name[@variant][:key=value;...].")] = "",
    protocol: Protocol = "demo",
    drivers: Drivers = None,
    templates: Templates = None,
    data: Data = None,
    portraits: Portraits = None,
    metrics: Annotated[str, typer.Option(help="Comma-separated; default: all.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<protocol>-<hash>.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[Device, typer.Option()] = Device.auto,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one for each core.")] = 0,
    no_controls: Annotated[bool, typer.Option("--no-controls", help="Only the methods named.")] = False,
    media_all: Annotated[bool, typer.Option("--media-all", help="Show the controls in every cell.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
) -> None:
    """Compare generators of facial micro-expressions: animate, measure and report."""
    if context.invoked_subcommand:
        return
    if not methods:
        print(context.get_help())
        raise typer.Exit()
    from metrics import METRICS

    request = Request(
        methods=_names(methods),
        protocol=protocol,
        folders=_folders(drivers, templates, data, portraits),
        metrics=_names(metrics) or tuple(METRICS),
        controls=not no_controls,
        seed=seed,
        device=_resolve(device),
    )
    try:
        raise typer.Exit(benchmark(request, workers or _cores(), out, media_all, dry_run))
    except KeyboardInterrupt:
        print("Interrupted. What is finished is kept; the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from None


def benchmark(request: Request, workers: int, out: Path | None, media_all: bool, dry_run: bool) -> int:
    """Clips -> protocol -> methods -> metrics -> report. Returns the exit code: 1 if any cell failed."""
    from core.estimate import forecast
    from core.run import Run, claimed
    from core.runner import Settings
    from core.scoring import Scorer
    from core.store import digest, trim
    from faces.seen import Seen
    from reports.html import write_report

    began = time.monotonic()
    settings = Settings(STORE.resolve(), request.device, request.seed, workers)
    folder = out or RUNS / f"{request.protocol}-{digest(dataclasses.asdict(request))[:10]}"

    source = _protocol(request)
    cells = source.cells()
    rows = _rows(request, cells)
    scorer = Scorer(_metrics(request), Seen, settings.store, workers)
    run = Run(folder, {**dataclasses.asdict(request), "media_all": media_all}, source, cells, rows, settings, scorer)
    if dry_run:
        print(f"Run {folder}\n{forecast(run.jobs, run.missing(), settings)}")
        return 0
    with claimed(folder):
        failures = run.complete()
        report = folder / "report.html"
        if run.changed or _stale(report):
            write_report(folder, media_all)
        trim(settings.store)
    _show(folder, failures, time.monotonic() - began)
    return 1 if failures else 0


def _stale(report: Path) -> bool:
    """Whether a report is missing or older than the files it shows, as after a kill between scores and report."""
    shown = [report.with_name(name) for name in ("run.json", "scores.csv")]
    return not report.exists() or report.stat().st_mtime_ns < max(path.stat().st_mtime_ns for path in shown)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _folders(drivers: Path | None, templates: Path | None, data: Path | None, portraits: Path | None) -> dict[str, Any]:
    given = {"drivers": drivers, "templates": templates, "data": data, "portraits": portraits}
    return {name: str(path.resolve()) if path else None for name, path in given.items()}


def _resolve(device: Device) -> str:
    """`auto` as cuda where torch finds one. BenchError for a cuda that is not there."""
    if device is Device.cpu:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device is Device.cuda:
        raise BenchError("Device cuda was asked for, but torch finds none here. Choices: auto, cpu.")
    return "cpu"


def _protocol(request: Request) -> CellSource:
    from core.registry import load
    from protocols import PROTOCOLS, make

    folders = {name: Path(path) if path else None for name, path in request.folders.items()}
    return make(request.protocol, load("protocol", request.protocol, PROTOCOLS), STORE.resolve() / "clips", folders)


def _rows(request: Request, cells: Sequence[Cell]) -> list[Row]:
    """The methods asked for, then their companions: flow_warp and the controls that these cells allow."""
    from core.registry import load
    from core.runner import Row
    from methods import COMPANIONS, METHODS, parse_label

    impossible = {
        "truth": not all(cell.truth for cell in cells),
        "wrong_driver": not any(cell.foil for cell in cells),
    }
    companions = [name for name in COMPANIONS if request.controls and not impossible.get(name)]
    rows = []
    for label in dict.fromkeys([*request.methods, *companions]):
        name, variant, options = parse_label(label)
        rows.append(Row.of(label, name, variant, options, load("method", name, METHODS)))
    return rows


def _metrics(request: Request) -> list[Any]:
    from core.registry import load
    from metrics import METRICS

    return [load("metric", name, METRICS) for name in request.metrics]


def _show(folder: Path, failures: Sequence[str], seconds: float) -> None:
    """The headline figures of every row, the failures, the time and where the report is."""
    from reports.leaderboard import brief
    from reports.run_files import Run

    print(brief(Run(folder)).text())
    for line in failures[:10]:
        print(f"Failed: {line}", file=sys.stderr)
    if len(failures) > 10:
        print(f"Failed: {len(failures) - 10} more, see the report", file=sys.stderr)
    print(f"{seconds:.1f} s. Report: {folder / 'report.html'}")


@app.command("list")
def list_(
    what: Listed,
    protocol: Protocol = "demo",
    drivers: Drivers = None,
    templates: Templates = None,
    data: Data = None,
    portraits: Portraits = None,
) -> None:
    """List what there is: methods, metrics, protocols, or the clips of a protocol."""
    if what is Listed.clips:
        folders = _folders(drivers, templates, data, portraits)
        cells = _protocol(Request((), protocol, folders, (), True, 0, "cpu")).cells()
        for clip in {cell.driver.name: cell.driver for cell in cells}.values():
            marks = "-".join(
                "?" if at is None else str(at) for at in (clip.onset_frame, clip.apex_frame, clip.offset_frame)
            )
            facts = f"{clip.n_frames} frames, onset-apex-offset {marks}, AUs {clip.action_units or 'not coded'}"
            print(f"{clip.name}: {clip.database}, {clip.emotion}, {clip.problem or facts}")
        return
    from core.registry import load
    from methods import METHODS
    from metrics import METRICS
    from protocols import PROTOCOLS

    table = {Listed.methods: METHODS, Listed.metrics: METRICS, Listed.protocols: PROTOCOLS}[what]
    for name in [*table, *(point.name for point in entry_points(group=f"megbench.{what}"))]:
        meaning = inspect.getdoc(load(what.removesuffix("s"), name, table)) or ""
        print(f"{name:18} {meaning.partition(chr(10))[0]}")


@app.command()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only say what would go.")] = False,
) -> None:
    """Delete the store (.megbench), from which runs are made faster; runs keep what they hold."""
    from core.store import KINDS, entries, remove

    found = entries(STORE)
    for kind in KINDS:
        of_kind = [entry for entry in found if entry.path.parent.name == kind]
        if of_kind:
            freed, size = (sum(getattr(entry, part) for entry in of_kind) / 1e6 for part in ("freed", "size"))
            print(f"{kind:10} {len(of_kind):6} entries {size:9.1f} MB, of which {freed:.1f} MB are held by no run")
    if not found:
        print(f"Nothing to free: {STORE} is empty or not there.")
    elif yes:
        for entry in found:
            remove(entry)
        print(f"Freed {sum(entry.freed for entry in found) / 1e6:.1f} MB.")
    else:
        print("Nothing was deleted. Add --yes to do it.")


@app.command()
def report(run: Path, media_all: Annotated[bool, typer.Option("--media-all")] = False) -> None:
    """Make the report of a run again from its files."""
    from reports.html import write_report

    print(write_report(run, media_all))


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A method that learns: fpfomm, fomm or mraa.")],
    clips: Annotated[str, typer.Option(help="What to learn from: demo (rendered people).")] = "demo",
    config: Annotated[Path | None, typer.Option(help="Settings; default: configs/<clips>_<name>.yaml.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: .megbench/training/<config>.")] = None,
    device: Annotated[Device, typer.Option()] = Device.auto,
) -> None:
    """Train a method; the same command goes on where it was cut off."""
    from training import TRAINABLES
    from training import command as training

    check_choice("trainable method", name, TRAINABLES)
    check_choice("--clips", clips, ["demo"])
    from clips.synthetic.training_set import demo_set

    settings = config or training.default_config(name, clips)
    weights = training.train(
        name,
        demo_set(STORE.resolve() / "clips"),
        settings,
        overrides or [],
        out or STORE / "training" / settings.stem,
        _resolve(device),
    )
    print(
        f"Weights: {weights}. To use them as {name}@mine: copy this file and its .json to {STORE}/weights/{name}@mine.*"
    )


def main() -> None:
    """Run the command line; the one place where errors become a line and an exit code."""
    try:
        app()
    except BenchError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
