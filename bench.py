"""The command line of MEG-Bench, ordered by the benchmark's steps: clips, protocols, methods, metrics, reports.

python bench.py --methods fpfomm,fomm,mraa
python bench.py --methods flow_warp --protocol folder --drivers DIR --templates DIR
python bench.py list methods

The commands are implemented in commands/, the benchmark itself in commands/benchmarking.py.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.commands import (
    benchmarking,
    check,
    compare,
    databases,
    experts,
    explain,
    export,
    external,
    figure,
    gain,
    gpu,
    import_,
    listing,
    openface,
    pack,
    recognition,
    results,
    runs,
    selfcheck,
    train,
    verify,
    weights,
)
from megbench.commands.group import Commands
from megbench.commands.options import (
    DataOption,
    Device,
    DeviceOption,
    DriversOption,
    FaceOption,
    MediaAllOption,
    PortraitsOption,
    ProtocolOption,
    ReferenceOption,
    TemplatesOption,
    folders,
    names,
    resolve_device,
    resumable,
)
from megbench.commands.request import Request, chosen_metrics
from megbench.core.errors import BenchError, plural
from megbench.core.files.working_folder import STORE
from megbench.core.processors import usable
from megbench.core.tables.spreadsheet_text import printable
from megbench.engine.dispatch import CELL_LIMIT_S, LOCAL, check_engine
from megbench.engine.run_folder import REPORT, SUMMARY

if TYPE_CHECKING:
    from megbench.engine.runner import Settings

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(__doc__ or "").splitlines()[0],
)
app.command("list")(listing.list_)
app.command()(databases.validate)
app.command()(databases.prepare)
app.command()(train.train)
app.command("import")(import_.import_)
app.add_typer(figure.app, name="figure")
app.command()(runs.report)
app.command()(verify.verify)
app.command()(runs.clean)
app.command()(compare.compare)
app.command()(recognition.recognition)
app.command()(gain.gain)
app.command()(explain.explain)
app.command()(check.check)
app.add_typer(experts.app, name="experts")
app.add_typer(external.app, name="external")
app.add_typer(export.app, name="export")
app.add_typer(results.app, name="results")
app.command()(pack.pack)
app.command()(weights.weights)
app.command()(weights.doctor)
app.command()(selfcheck.selfcheck)
app.command()(gpu.gpu)
app.command()(openface.openface)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    methods: Annotated[str, typer.Option(help="Comma-separated name[@variant][:key=value;...].")] = "",
    protocol: ProtocolOption = "demo",
    drivers: DriversOption = None,
    templates: TemplatesOption = None,
    data: DataOption = None,
    portraits: PortraitsOption = None,
    face: FaceOption = "",
    metrics: Annotated[str, typer.Option(help="Comma-separated, in place of the defaults; +NAME adds to them.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<protocol>-<hash>.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: DeviceOption = Device.auto,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one per core.")] = 0,
    engine: Annotated[str, typer.Option(help="local, or dask://HOST:PORT: a cluster that shares this folder.")] = LOCAL,
    cell_timeout: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Seconds that a cell may take before its worker is stopped.")
    ] = CELL_LIMIT_S,
    no_controls: Annotated[bool, typer.Option("--no-controls", help="Run only the methods named.")] = False,
    media_all: MediaAllOption = False,
    perturb: Annotated[
        str | None,
        typer.Option(
            help="Also run with altered drivers: jpeg, h264, noise, brightness, half_size, shift, half_rate. jpeg=50,"
            " for example, sets the strength."
        ),
    ] = None,
    reference: ReferenceOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what the run would do, without doing it.")] = False,
) -> None:
    """Compare generators of facial micro-expressions: animate, measure and report."""
    if context.invoked_subcommand:
        return
    if not names(methods):
        if sys.argv[1:]:
            raise BenchError("No method was given. Add --methods, for example --methods flow_warp; see `list methods`.")
        print(context.get_help())
        raise typer.Exit()
    from megbench.engine.runner import Settings

    request = Request(
        methods=names(methods),
        protocol=protocol,
        folders=folders(drivers, templates, data, portraits),
        metrics=chosen_metrics(names(metrics)),
        controls=not no_controls,
        seed=seed,
        device=resolve_device(device),
        face=face,
        named_metrics=tuple(name.removeprefix("+") for name in names(metrics)),
        reference=reference,
    )
    if reference:
        from megbench.reports.reference import check_reference

        check_reference(reference, protocol, request.metrics)
    settings = Settings(
        STORE.resolve(), request.device, seed, workers or usable(), check_engine(engine), limit_s=cell_timeout
    )
    # An empty list is a mistake (perhaps an unset variable in a script) and is reported as an unknown name.
    altering = () if perturb is None else names(perturb) or ("",)
    with resumable():
        raise typer.Exit(benchmark(request, settings, out, media_all, dry_run, altering))


def benchmark(
    request: Request,
    settings: Settings,
    out: Path | None,
    media_all: bool,
    dry_run: bool,
    perturb: Sequence[str] = (),
) -> int:
    """Run a benchmark from clips to report. Return the exit code: 1 if any cell failed, otherwise 0.

    perturb: alterations of the drivers; the whole run is repeated with each of them (megbench.clips.perturbed).
    """
    from megbench.clips.perturbed import perturbations

    began = time.monotonic()
    altering = perturbations(perturb)
    run = benchmarking.planned(request, settings, out, media_all, dry_run)
    if dry_run:
        print(benchmarking.forecast_of(run, altering, media_all))
        return 0
    failures = benchmarking.completed(run, altering, media_all)
    _show(run.folder, failures, time.monotonic() - began)
    return 1 if failures else 0


def _show(folder: Path, failures: Sequence[str], seconds: float) -> None:
    """Print each row's headline figures, missing outputs, failures, the time taken and the report's path."""
    from megbench.core.files.cache import read_json
    from megbench.methods import COMPANIONS

    print((folder / SUMMARY).read_text(encoding="utf-8"))
    for label, cells in ((read_json(folder / "run.json") or {}).get("missing") or {}).items():
        if label not in COMPANIONS:
            print(
                printable(f"Missing: {label}: {plural(len(cells), 'cell was', 'cells were')} not supplied"),
                file=sys.stderr,
            )
    for line in failures[:10]:
        print(printable(f"Failed: {line}"), file=sys.stderr)
    if len(failures) > 10:
        print(f"Failed: {len(failures) - 10} more, see the report", file=sys.stderr)
    print(f"{seconds:.1f} s. Report: {folder / REPORT}")


def main() -> None:
    """Run the command line. This is the only place where errors become a one-line message and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape characters that an old terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except BenchError as error:
        print(printable(f"Error: {error}"), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # Errors from the operating system: a name that is too long, a full disk, a folder without write permission.
        named = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or type(error).__name__
        print(printable(f"Error: {named}{reason}. Check the name, the disk and the permissions."), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
