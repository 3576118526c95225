"""`python -m megbench.commands.metrics_page` writes docs/metrics.md: all figures and how to read them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from megbench.core.contracts import Metric
from megbench.core.figures import Figure
from megbench.core.registry import load
from megbench.metrics import METRICS, ON_REQUEST
from megbench.reports.selfcheck import read_worth
from megbench.reports.table import markdown_row

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
HEAD = """# Metrics

This page is written by `python -m megbench.commands.metrics_page` from the figures of each metric (`core/figures.py`);
do not edit it by hand.

- *ideal*: the value of a perfect output; none if no value is better than another. *still face*: the value of the
  repeated template; — if it depends on the clips or does not exist.
- *against*: what the output is compared with; "output" means a property of the output alone.
- *over cells*: how one value for all cells is computed: as the mean of the cells that have the figure, pooled from sums
  over all cells, or from all cells as one set. Absent values are left out and counted; they never count as zero.
- *shown*: the group of columns in the leaderboard, T if it is also in the terminal's table, H if it has a heat map; —
  if it is only in the list of all figures.
- O and D are the facial motions of output and driver (or truth) as vectors over twelve regions and all T frames, with
  head motion removed, in units of the eye distance. o and d are the changes of action units from onset to apex.
- A metric that is *measured on request* must be named with `--metrics`. [How to add a metric](extend.md#a-metric).
"""
COLUMNS = ("figure", "what it is", "formula", "range", "ideal", "still face", "against", "over cells", "shown")
# Dozens of figures that differ only in their action unit.
TRACK = re.compile(r"_track_AU")


def page() -> str:
    """Return the text of docs/metrics.md."""
    sections = ("\n".join(_section(name, load("metric", name, METRICS))) for name in METRICS)
    return "\n\n".join([HEAD.rstrip(), *sections]) + "\n"


def _section(name: str, metric: type[Metric]) -> Iterator[str]:
    """Yield the lines on one metric."""
    request = ", measured on request" if name in ON_REQUEST else ""
    yield f"## {name}\n"
    yield f"Version {metric.version}{request}. {' '.join((inspect.getdoc(metric) or '').split())}\n"
    yield _line(COLUMNS)
    yield "|" + "---|" * len(COLUMNS)
    tracks = [figure for figure in metric.figures if TRACK.search(figure.name)]
    for figure in metric.figures:
        if figure not in tracks[1:]:
            others = f" and {len(tracks) - 1} more units" if figure in tracks else ""
            yield _line((f"`{figure.name}`{others}", *_cells(figure)))
    if sources := dict.fromkeys(figure.source for figure in metric.figures if figure.source):
        yield f"\nSource: {'; '.join(sources)}."
    yield from _checked(metric)


def _checked(metric: type[Metric]) -> Iterator[str]:
    """Yield what `bench.py selfcheck` found about the leaderboard's figures, if it tested this version."""
    kept = read_worth()
    names = [figure.name for figure in metric.figures if figure.group]
    found = {name: kept.figures[name] for name in names if kept and name in kept.figures}
    lines = [f"- `{name}` {worth.line}" for name, worth in found.items() if worth.version == metric.version]
    if kept and lines:
        clips = f"{kept.cells} ground-truth clips degraded step by step"
        yield f"\nResults of `bench.py selfcheck` on {clips} ({kept.date}):\n"
        yield from lines
    courses = kept.courses.get(metric.name) if kept else None
    if courses and courses.version == metric.version:
        yield (
            "\nThese are the median correlations over time with the true intensity, over the demo's drivers that"
            f" contain the unit (number of drivers in brackets): {courses.line}."
        )


def _cells(figure: Figure) -> Sequence[str]:
    """Return a figure's entries in the table, without its name."""
    places = (figure.group, "T" if figure.brief else "", "H" if figure.heat_map else "")
    return (
        f"{figure.title}. {figure.description}",
        f"`{figure.formula}`" if figure.formula else "",
        f"{figure.span} {figure.unit}".rstrip(),
        "none" if figure.ideal is None else f"{figure.ideal:g}",
        "—" if figure.still is None else f"{figure.still:g}",
        figure.target,
        figure.pooling,
        ", ".join(filter(None, places)) or "—",
    )


def _line(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return markdown_row(cell.replace("|", "\\|") for cell in cells)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
