"""`bench.py explain`: how one number of a run came about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.spreadsheet import printable


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    row: Annotated[str, typer.Argument(help="A row's label, such as fomm.")],
    figure: Annotated[str, typer.Argument(help="A figure, such as agreement.")],
    cell: Annotated[str, typer.Argument(help="A cell, as driver__template.")],
) -> None:
    """Say how one number came about: inputs, what the metric found on the way, definition, version."""
    from reports.explain import explanation
    from reports.run_files import Run

    print("\n".join(printable(line) for line in explanation(Run(run), row, figure, cell).split("\n")))
