"""List a run's finished outputs for people to judge, and show their judgements on the run's page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from megbench.commands.options import names as names_in
from megbench.core.errors import BenchError, check_choice

if TYPE_CHECKING:
    from megbench.experts.blinded import BlindedOutput
    from megbench.experts.importing import Blinded
    from megbench.experts.names import Known
    from megbench.reports.run_files import FinishedRun


def open_run(folder: Path) -> FinishedRun:
    """Return the run in a folder. Raise BenchError if it cannot be read."""
    from megbench.reports.run_files import FinishedRun

    return FinishedRun(folder)


def known(run: FinishedRun | None) -> Known:
    """Return the names that a run's sheets may use; if there is no run, any name is allowed."""
    from megbench.experts.names import Known

    if run is None:
        return Known()
    cells = run.facts.cells
    return Known(
        tuple(method.label for method in run.facts.methods),
        tuple(dict.fromkeys(cell.driver for cell in cells)),
        tuple(dict.fromkeys(cell.template for cell in cells)),
    )


def blinded(run: FinishedRun | None) -> Blinded | None:
    """Return what is needed to read the run's blinded sheets, or None if there is no run."""
    from megbench.experts.importing import Blinded

    if run is None:
        return None
    return Blinded(run.folder, contents_of(run))


def chosen(run: FinishedRun, methods: str) -> list[BlindedOutput]:
    """Return the finished outputs of the named rows (default: all but controls). Raise BenchError if there are none."""
    labels = [method.label for method in run.facts.methods]
    rows = names_in(methods) or tuple(method.label for method in run.methods)
    outputs = outputs_of(run, [check_choice("row of this run:", label, labels) for label in rows])
    if not outputs:
        raise BenchError(
            f"{run.folder} contains no finished output of {', '.join(rows) or 'any method'}. Finish the run first."
        )
    return outputs


def outputs_of(run: FinishedRun, labels: Sequence[str]) -> list[BlindedOutput]:
    """Return the finished outputs of some rows, each with the hash of its frames."""
    from megbench.core.files.cache import read_json
    from megbench.experts.blinded import BlindedOutput

    found = []
    for label in labels:
        for cell in run.facts.cells:
            record = read_json(run.output_frames(label, cell).parent / "cell.json")
            if record and record.get("status") == "ok":
                content = str(record.get("content", ""))
                found.append(BlindedOutput(method=label, driver=cell.driver, template=cell.template, content=content))
    return found


def contents_of(run: FinishedRun) -> dict[tuple[str, str, str], str]:
    """Return the hash of the frames of every finished output, by (method, driver, template)."""
    outputs = outputs_of(run, [method.label for method in run.facts.methods])
    return {(each.method, each.driver, each.template): each.content for each in outputs}


def show_on_page(folder: Path, run: FinishedRun | None, *made: str) -> None:
    """Regenerate a run's page, if there is one, with the judgements, and seal the run again with the files `made`."""
    from megbench.commands.runs import make_report
    from megbench.engine.run_folder import REPORT
    from megbench.engine.seal import seal_again

    if run and (folder / REPORT).exists():
        page = make_report(folder, media_all=run.facts.request.get("media_all") is True)
        print(f"{page} was regenerated with the judgements", file=sys.stderr)
    seal_again(folder, *made)
