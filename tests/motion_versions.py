"""Compare both versions of motion agreement: `python -m tests.motion_versions TITLE=RUN ... > docs/FILE.md`.

The runs must use `--metrics motion_agreement,motion_agreement_v1`; other metrics may be added. A run of few cells is
also reported cell by cell.
"""

import sys
from pathlib import Path

from megbench.reports.run_files import FinishedRun, Found
from megbench.reports.table import Column, Entry, Section, Table

FIGURES = ("agreement", "gain", "error")
POOLED = "agreement_pooled"
FEW = 4
INTRODUCTION = """# Motion agreement, versions 2 and 1

Version 2 measures motion with `faces/flow.py`, version 1 with DIS over the whole frame (`--metrics
motion_agreement_v1`). Each pair of columns shows one figure for the same frames, as measured first by version 2 and
then by version 1. "Pooled" is the agreement computed over all cells at once. `python -m tests.motion_versions TITLE=RUN
...` prints this page.
"""


def pair(run: FinishedRun, label: str, figure: str, cell: int | None) -> tuple[Entry, Entry]:
    """Return one figure by version 2 and by version 1, over all cells or for one cell."""
    names = (figure, f"{figure}_v1")
    if cell is None:
        found = [run.combined(label, name) for name in names]
    else:
        found = [run.of_cell(label, run.facts.cells[cell], name) for name in names]
    return entry(found[0]), entry(found[1])


def entry(found: Found) -> Entry:
    """Return an entry with a number, or with the reason for its absence."""
    return Entry(found.value, "" if found.value is not None else found.reason or found.status)


def table(run: FinishedRun, title: str) -> Table:
    """Return the table: a row per method and control in each section, one over all cells and, if few, one per cell."""
    figures = (*FIGURES, POOLED)
    columns = [Column("row")]
    for figure in figures:
        columns += [Column(f"{figure.removeprefix('agreement_')} {version}") for version in (2, 1)]
    places: list[tuple[str, int | None]] = [("means over cells", None)]
    if len(run.facts.cells) <= FEW:
        places += [(cell.name, number) for number, cell in enumerate(run.facts.cells)]

    def row(label: str, cell: int | None) -> tuple[Entry, ...]:
        entries = [Entry(label)]
        for figure in figures:
            missing = cell is not None and figure == POOLED
            entries += (Entry("", ""),) * 2 if missing else pair(run, label, figure, cell)
        return tuple(entries)

    labels = [method.label for method in run.facts.methods]
    sections = [Section(name, tuple(row(label, cell) for label in labels)) for name, cell in places]
    return Table(title, tuple(columns), tuple(sections))


def main(named: list[str]) -> str:
    """Return the document for runs given as TITLE=FOLDER."""
    parts = [INTRODUCTION]
    for title, _, folder in (text.partition("=") for text in named):
        run = FinishedRun(Path(folder))
        versions = ", ".join(f"{m.name} {m.version}" for m in run.facts.metrics if m.name.startswith("motion"))
        frames = sum(cell.n_frames for cell in run.facts.cells)
        parts.append(f"## {title}\n\n{len(run.facts.cells)} cells, {frames} frames; {versions}.\n")
        parts.append(table(run, title).markdown())
    return "\n".join(parts)


if __name__ == "__main__":
    print(main(sys.argv[1:]), end="")
