"""`bench.py compare`: two runs, or two methods, cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from megbench.commands.options import names


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="The folder of a finished run, runs/<id>.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="May be RUN_A again, to compare two of its rows.")],
    methods: Annotated[str, typer.Option(help="FIRST,SECOND: a row of RUN_A and one of RUN_B.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the table as HTML, CSV, Markdown and LaTeX.")] = None,
) -> None:
    """Compare two runs on the same cells: paired differences with intervals and corrected p-values."""
    from megbench.reports.comparison import comparison
    from megbench.reports.export import write_tables
    from megbench.reports.marks import exported
    from megbench.reports.run_files import FinishedRun

    first, second = FinishedRun(run_a), FinishedRun(run_b)
    table = comparison(first, second, names(methods))
    print(table.text())
    if out:
        print("\n".join(map(str, write_tables(out, {"comparison": exported(table, first, second)}))))
