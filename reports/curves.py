"""Draw curves over time as SVG inside the page (templates/curves.svg.j2), and choose their axes.

The pictures take their colours from the page's style, so that they follow light and dark mode. Every panel has a cursor
line that the page's script moves with the scrubber.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from megbench.core.errors import plural
from megbench.reports.environment import environment
from megbench.reports.run_facts import CellFacts

# Order and titles of the panels of facial motion.
GROUPS = {
    "brows": "brows",
    "eyes": "eyes",
    "nose": "nose",
    "cheeks": "cheeks",
    "mouth": "mouth",
    "head": "head (rigid)",
}
# Sizes in SVG units, which are pixels on a wide screen. First, widths: room for the unit, a panel, its tick labels,
# and its plot.
UNIT = 14
PANEL, LABELS, ACROSS = 217, 34, 173
HEIGHT, TOP, BOTTOM = 190, 38, 168
# The largest number of steps between ticks.
STEPS = 5
# The factor that leaves room above the highest curve, and the smallest upper end of an axis.
ROOM, LEAST = 1.05, 0.1


@dataclass(frozen=True)
class Line:
    """One clip's curves, keyed by what they show, such as a region group or an AU.

    colour: the number of a method's CSS variable, or None for driver, truth and known values, which are drawn in ink.
    frames: the frames with values, () for all; values of only some frames are also shown as dots.
    """

    curves: Mapping[str, Sequence[float]]
    role: str
    colour: int | None = None
    frames: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The line's name in the page's script: its role, or the number of its colour."""
        return self.role if self.colour is None else str(self.colour)


def panel_names(lines: Sequence[Line], most: int) -> list[str]:
    """Return the names of the curves: all of them if there are at most `most`, otherwise those that reach farthest."""
    names = list(dict.fromkeys(name for line in lines for name in line.curves))
    if len(names) <= most:
        return names
    farthest = {name: max((reach(line.curves.get(name, ())) for line in lines), default=0.0) for name in names}
    chosen = sorted(names, key=lambda name: -farthest[name])[:most]
    return [name for name in names if name in chosen]


def reach(curve: Sequence[float]) -> float:
    """Return how far a curve goes from zero, or 0 if it has no value."""
    return max((abs(value) for value in curve if math.isfinite(value)), default=0.0)


@dataclass(frozen=True)
class Panel:
    """One drawn plot: where it begins (SVG units), ticks (height, label), curves (name, colour, path, path of dots).

    numbered: whether its ticks' labels are shown; panels with the same scale share them.
    """

    left: float
    title: str
    ticks: tuple[tuple[float, str], ...]
    numbered: bool
    curves: tuple[tuple[str, int | None, str, str], ...]


@dataclass(frozen=True)
class Scale:
    """The range of a plot from bottom to top: `low` to `high`."""

    low: float
    high: float

    @classmethod
    def of(cls, curves: Sequence[Sequence[float]]) -> "Scale":
        """Return the scale on which zero and all curves are visible."""
        values = [value for curve in curves for value in curve if math.isfinite(value)]
        return cls(ROOM * min(0.0, *values, 0.0), max(ROOM * max(0.0, *values, 0.0), LEAST))

    def height(self, value: float) -> float:
        """Return the height of a value in a picture (y, SVG units)."""
        return round(BOTTOM - (BOTTOM - TOP) * (value - self.low) / (self.high - self.low), 1)


@dataclass(frozen=True)
class Plot:
    """One panel: which of the lines' curves it shows, its title and its scale."""

    name: str
    title: str
    lines: tuple[Line, ...]
    scale: Scale


def on_one_scale(lines: Sequence[Line], panels: Mapping[str, str], apart: str = "") -> list[Plot]:
    """Return plots that share one scale, so that quiet regions look quiet.

    panels: titles by name. apart: the name of the panel that has a separate scale, or "".
    """
    shared = Scale.of([line.curves[name] for line in lines for name in panels if name in line.curves and name != apart])
    own = Scale.of([line.curves[apart] for line in lines if apart in line.curves])
    return [Plot(name, title, tuple(lines), own if name == apart else shared) for name, title in panels.items()]


def draw_plots(cell: CellFacts, plots: Sequence[Plot], unit: str) -> Markup:
    """Draw panels side by side as inline SVG. Neighbouring panels with the same scale show its numbers once."""
    step = ACROSS / max(cell.n_frames - 1, 1)
    moments = ((cell.onset_frame, "on"), (cell.apex_frame, "apex"), (cell.offset_frame, "off"))
    drawn = []
    for place, plot in enumerate(plots):
        scale = plot.scale
        ticks = tuple((scale.height(value), label) for value, label in ticks_between(scale.low, scale.high, STEPS))
        curves = tuple(
            (
                line.name,
                line.colour,
                path_of(line.curves[plot.name], step, scale, line.frames),
                dots_of(line.curves[plot.name], step, scale, line.frames),
            )
            for line in plot.lines
            if plot.name in line.curves
        )
        numbered = place == 0 or plot.scale != plots[place - 1].scale
        drawn.append(Panel(UNIT + LABELS + PANEL * place, plot.title, ticks, numbered, curves))
    titles = ", ".join(plot.title for plot in plots)
    text = (
        environment()
        .get_template("curves.svg.j2")
        .render(
            panels=drawn,
            unit=unit,
            about=f"Curves over {plural(cell.n_frames, 'frame')}: {titles}{f'; {unit}' if unit else ''}",
            step=step,
            width=UNIT + PANEL * len(drawn),
            height=HEIGHT,
            top=TOP,
            bottom=BOTTOM,
            across=ACROSS,
            marks=[(round(step * frame, 1), short) for frame, short in moments if frame is not None],
            frames=[(round(step * frame, 1), label) for frame, label in ticks_between(0, cell.n_frames - 1, STEPS, 1)],
        )
    )
    return Markup(text)  # escaped by its template


def ticks_between(low: float, high: float, steps: int, least: float = 0.0) -> Iterator[tuple[float, str]]:
    """Yield round numbers from `low` to `high` with their labels, in about `steps` steps or fewer.

    The step between them is 1, 2 or 5 times a power of ten, and at least `least`.
    """
    rough = max((high - low) / steps, least, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough), default=10 * power)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield number * step, f"{number * step:.{digits}f}" if number else "0"


def path_of(curve: Sequence[float], step: float, scale: Scale, frames: Sequence[int] = ()) -> str:
    """Return an SVG path through a curve's values, with gaps where values are absent.

    step: the width of a frame in SVG units. frames: the frames of the values, () for all.
    """
    parts, pen = [], "M"
    for frame, value in zip(frames or range(len(curve)), curve, strict=True):
        if math.isfinite(value):
            parts.append(f"{pen}{step * frame:.1f} {scale.height(value)}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def dots_of(curve: Sequence[float], step: float, scale: Scale, frames: Sequence[int]) -> str:
    """Return an SVG path with a dot at each value of a curve that covers only some frames, or "" if it covers all
    frames."""
    values = zip(frames, curve, strict=bool(frames))
    return "".join(f"M{step * frame:.1f} {scale.height(value)}h0" for frame, value in values if math.isfinite(value))
