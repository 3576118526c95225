"""Curves of one cell over time, driver against outputs: how far each part of the face moves, how strong each AU is.

Any metric that keeps series named `<what>_<role>` (role: output, driver or truth) gets a picture. Drawn by matplotlib
as SVG. Colours are the page's CSS variables, so that they follow light and dark; every panel holds a cursor line that
the page's script moves with the scrubber.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.run_facts import CellFacts

# Order and titles of the panels of facial motion.
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
# Inches: a panel's width, the picture's height, and its margins.
PANEL = 2.35
HEIGHT = 2.05
LEFT, RIGHT, TOP, BOTTOM = 0.6, 0.1, 0.42, 0.26
STYLES: dict[str, Any] = {"truth": (0, (4, 2)), "known": (0, (1, 1.5))}
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
    """One clip's curves by what they show: a region group, an AU.

    `colour` is the number of a method's CSS variable; None for the ink of the driver, the truth and what is known.
    """

    curves: Mapping[str, Sequence[float]]
    role: str
    colour: int | None = None

    @property
    def name(self) -> str:
        """What the page's script calls the line: its role, or the number of its colour."""
        return self.role if self.colour is None else str(self.colour)


def method_colour(index: int) -> str:
    """The stand-in colour that becomes `var(--m<index>)`."""
    return f"#0201{index:02x}"


def curves_of(series: Mapping[str, Sequence[float]], role: str) -> dict[str, Sequence[float]]:
    """The curves of a role ("output", "driver", "truth") by what they show; {} where the metric kept none."""
    return {
        name.removesuffix(f"_{role}"): curve for name, curve in series.items() if curve and name.endswith(f"_{role}")
    }


def panel_names(lines: Sequence[Line], most: int) -> list[str]:
    """What there are curves of: in the given order if all are few, else the `most` that reach farthest."""
    names = list(dict.fromkeys(name for line in lines for name in line.curves))
    if len(names) <= most:
        return names
    reach = {name: max((_reach(line.curves.get(name, ())) for line in lines), default=0.0) for name in names}
    chosen = sorted(names, key=lambda name: -reach[name])[:most]
    return [name for name in names if name in chosen]


def _reach(curve: Sequence[float]) -> float:
    return max((abs(value) for value in curve if math.isfinite(value)), default=0.0)


def draw_curves(cell: CellFacts, lines: Sequence[Line], panels: Mapping[str, str], unit: str, salt: str) -> Markup:
    """Panels (name -> title) side by side as inline SVG; those of the face share one scale, "head" has its own.

    `salt` keeps the ids of several pictures of a cell apart.
    """
    with mpl.rc_context(SETTINGS), mpl.rc_context({"svg.hashsalt": f"{cell.name} {salt}"}):
        width = max(PANEL * len(panels), 3.2)
        figure = Figure(figsize=(width, HEIGHT))
        # Fixed, because matplotlib's own layout draws everything twice and takes half of the time.
        left, right, top, bottom = LEFT / width, 1 - RIGHT / width, 1 - TOP / HEIGHT, BOTTOM / HEIGHT
        figure.subplots_adjust(left, bottom, right, top, wspace=0.24)
        axes = dict(zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True))
        for name, panel in axes.items():
            _draw(panel, name, panels[name], cell, lines)
        # A quiet region must look quiet.
        shared = [panel for name, panel in axes.items() if name != "head"]
        low, high = (extreme(panel.get_ylim()[i] for panel in shared) for i, extreme in ((0, min), (1, max)))
        for panel in shared:
            panel.set_ylim(low, high)
            panel.tick_params(labelleft=panel is shared[0])
        next(iter(axes.values())).set_ylabel(unit)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # SVG units are points.
    per_frame = 72 * figure.get_figwidth() / max(cell.n_frames - 1, 1)
    return _inline(out.getvalue(), [panel.get_position().width * per_frame for panel in axes.values()])


def _draw(panel: Axes, name: str, title: str, cell: CellFacts, lines: Sequence[Line]) -> None:
    panel.set_title(title, fontsize=9, loc="left", pad=14)
    panel.spines[["top", "right"]].set_visible(False)
    for mark, short in ((cell.onset_frame, "on"), (cell.apex_frame, "apex"), (cell.offset_frame, "off")):
        if mark is not None:
            panel.axvline(mark, color=FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
            panel.annotate(short, (mark, 1), xycoords=("data", "axes fraction"), fontsize=7, ha="center", va="bottom")
    for line in lines:
        if name in line.curves:
            colour = INK if line.colour is None else method_colour(line.colour)
            width = 1.8 if line.colour is None else 1.3
            panel.plot(
                line.curves[name],
                color=colour,
                linewidth=width,
                linestyle=STYLES.get(line.role, "solid"),
                gid=f"curve-{line.name}",
            )
    panel.set_xlim(0, max(cell.n_frames - 1, 1))
    panel.set_ylim(min(panel.get_ylim()[0], 0) if _below_zero(lines, name) else 0, max(panel.get_ylim()[1], 1e-3))
    panel.axvline(0, color=CURSOR, linewidth=1, gid="cursor")


def _below_zero(lines: Sequence[Line], name: str) -> bool:
    return any(min(line.curves.get(name, (0.0,))) < 0 for line in lines)


def _inline(svg: str, steps: Sequence[float]) -> Markup:
    """SVG for the page: no header, no fixed size, no ids but those it refers to, CSS variables for colours.

    `steps` are the cursors' ways per frame. Built from matplotlib's own output, which escapes the text it is given.
    """
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box, "matplotlib wrote an SVG without a viewBox"
    data = " ".join(f"{step:.4f}" for step in steps)
    svg = re.sub(r' id="(cursor|curve-\w+)"', r' class="\1"', svg)
    svg = re.sub(r' id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib)[\w.]*"', "", svg)
    svg = re.sub(r" font-family: [^;]*;", "", svg).replace("xlink:href", "href")
    # One decimal for what is drawn; what is written between the tags, as 0.25 at an axis, stays.
    svg = re.sub(r">[^<]+<|(\d\.\d)\d+", lambda found: found[1] or found[0], svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(r"#0201([0-9a-f]{2})", lambda found: f"var(--m{int(found[1], 16)})", svg)
    # Last, so that the steps keep their decimals: a long clip would drift away from its axis.
    width = float(box[1].split()[2]) / (72 * PANEL)
    opening = f'<svg class="curves" style="--panels: {width:.2f}" {box[0]} data-steps="{data}" role="img">'
    svg = re.sub(r"^<svg[^>]*>", opening, svg)
    return Markup(svg)
