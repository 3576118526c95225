"""Motion curves of one cell: how far each part of the face moves over time, driver against outputs.

Drawn by matplotlib as SVG. Colours are the page's CSS variables, so that they follow light and dark; every panel holds
a cursor line that the page's script moves with the scrubber.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.run_facts import CellFacts

# Order and titles of the panels; only groups that the series have are drawn.
GROUPS = {
    "brows": "brows",
    "eyes": "eyes",
    "nose": "nose",
    "cheeks": "cheeks",
    "mouth": "mouth",
    "head": "head (rigid)",
}
# Stand-ins that become CSS variables; matplotlib must see real colours.
INK, FAINT, CURSOR = "#010101", "#010102", "#010103"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", CURSOR: "var(--accent)"}
SETTINGS: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Line:
    """One clip's curves: `curves` by region group, % of the eye distance per frame.

    `colour` is the number of a method's CSS variable, None for the ink of driver and truth (dashed).
    """

    curves: Mapping[str, Sequence[float]]
    colour: int | None = None
    dashed: bool = False

    @property
    def name(self) -> str:
        """What the page's script calls the line: "driver", "truth" or the number of its colour."""
        return str(self.colour) if self.colour is not None else "truth" if self.dashed else "driver"


def method_colour(index: int) -> str:
    """The stand-in colour that becomes `var(--m<index>)`."""
    return f"#0201{index:02x}"


def curves_of(series: Mapping[str, Sequence[float]], role: str) -> dict[str, Sequence[float]]:
    """The curves of a role ("output", "driver", "truth") by group; {} where the metric kept none."""
    return {group: series[f"{group}_{role}"] for group in GROUPS if series.get(f"{group}_{role}")}


def motion_curves(cell: CellFacts, lines: Sequence[Line]) -> Markup | None:
    """The panels of one cell as inline SVG, None where no line has a curve."""
    groups = [group for group in GROUPS if any(group in line.curves for line in lines)]
    if not groups:
        return None
    # Salted with the cell's name, so that no two pictures on the page share an id.
    with mpl.rc_context(SETTINGS), mpl.rc_context({"svg.hashsalt": cell.name}):
        figure = Figure(figsize=(2.35 * len(groups), 2.05), layout="constrained")
        panels = figure.subplots(1, len(groups), squeeze=False)[0]
        facial = [panel for panel, group in zip(panels, groups, strict=True) if group != "head"]
        for panel, group in zip(panels, groups, strict=True):
            _draw(panel, group, cell, lines)
        # The face's panels share one scale: a quiet region must look quiet.
        top = max((panel.get_ylim()[1] for panel in facial), default=1.0)
        for panel in facial:
            panel.set_ylim(0, top)
            panel.tick_params(labelleft=panel is facial[0])
        panels[0].set_ylabel("% of eye distance")
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # Widths are known once the layout is done; SVG units are points.
    per_frame = 72 * figure.get_figwidth() / max(cell.n_frames - 1, 1)
    return _inline(out.getvalue(), [panel.get_position().width * per_frame for panel in panels])


def _draw(panel: Axes, group: str, cell: CellFacts, lines: Sequence[Line]) -> None:
    panel.set_title(GROUPS[group], fontsize=9, loc="left", pad=14)
    panel.spines[["top", "right"]].set_visible(False)
    for mark, name in ((cell.onset_frame, "on"), (cell.apex_frame, "apex"), (cell.offset_frame, "off")):
        if mark is not None:
            panel.axvline(mark, color=FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
            panel.annotate(name, (mark, 1), xycoords=("data", "axes fraction"), fontsize=7, ha="center", va="bottom")
    for line in lines:
        if group in line.curves:
            colour = INK if line.colour is None else method_colour(line.colour)
            style = (0, (4, 2)) if line.dashed else "solid"
            width = 1.8 if line.colour is None else 1.3
            panel.plot(line.curves[group], color=colour, linewidth=width, linestyle=style, gid=f"curve-{line.name}")
    panel.set_xlim(0, max(cell.n_frames - 1, 1))
    panel.set_ylim(0, max(panel.get_ylim()[1], 1e-3))
    panel.axvline(0, color=CURSOR, linewidth=1, gid="cursor")


def _inline(svg: str, steps: Sequence[float]) -> Markup:
    """SVG for the page: no header, no fixed size, no ids but those it refers to, CSS variables for colours.

    `steps` are the cursors' ways per frame. Built from matplotlib's own output, which escapes the text it is given.
    """
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box, "matplotlib wrote an SVG without a viewBox"
    data = " ".join(f"{step:.4f}" for step in steps)
    svg = re.sub(r' id="(cursor|curve-\w+)"', r' class="\1"', svg)
    svg = re.sub(r' id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib)[\w.]*"', "", svg)
    svg = re.sub(r" font-family: [^;]*;", "", svg).replace("xlink:href", "href")
    svg = re.sub(r"(\d\.\d)\d+", r"\1", svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(r"#0201([0-9a-f]{2})", lambda found: f"var(--m{int(found[1], 16)})", svg)
    # Last, so that the steps keep their decimals: a long clip would drift away from its axis.
    svg = re.sub(r"^<svg[^>]*>", f'<svg class="curves" {box[0]} data-steps="{data}" role="img">', svg)
    return Markup(svg)
