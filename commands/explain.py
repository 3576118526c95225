"""`bench.py explain`: how a number in a run was computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from megbench.core.tables.spreadsheet_text import printable


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    row: Annotated[str, typer.Argument(help="A row's label, such as fomm.")],
    figure: Annotated[str, typer.Argument(help="A figure, such as agreement.")],
    cell: Annotated[str, typer.Argument(help="A cell, as driver__template.")],
) -> None:
    """Explain how a number was computed: inputs, the metric's intermediate results, its definition and version."""
    from megbench.reports.explain import explanation
    from megbench.reports.run_files import FinishedRun

    print("\n".join(printable(line) for line in explanation(FinishedRun(run), row, figure, cell).split("\n")))
