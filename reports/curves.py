"""Curves of one cell over time, driver against outputs: how far each part of the face moves, how strong each AU is.

Any metric that keeps series named `<what>_<role>` (role: output, driver or truth) gets a picture, as SVG inside the
page (templates/curves.svg.j2): it takes its colours from the page's style, so that it follows light and dark, and every
panel holds a cursor line that the page's script moves with the scrubber.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

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
# SVG units, which are pixels on a wide screen: room for the unit, a panel with its tick labels, and its plot.
UNIT = 14
PANEL, LABELS, ACROSS = 217, 34, 173
HEIGHT, TOP, BOTTOM = 190, 38, 168
# At most so many steps between ticks.
STEPS = 5
# Room above the highest curve, and the least that an axis reaches to.
ROOM, LEAST = 1.05, 0.1


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


@dataclass(frozen=True)
class Panel:
    """One plot: where it begins (SVG units), ticks (height, label), curves (name, colour, path).

    numbered: whether its ticks' labels are shown, which panels with the same scale share.
    """

    left: float
    title: str
    ticks: tuple[tuple[float, str], ...]
    numbered: bool
    curves: tuple[tuple[str, int | None, str], ...]


@dataclass(frozen=True)
class Scale:
    """What a plot shows from bottom to top: `low` to `high`."""

    low: float
    high: float

    @classmethod
    def of(cls, curves: Sequence[Sequence[float]]) -> "Scale":
        """Return the scale on which all curves can be seen, with zero in it."""
        values = [value for curve in curves for value in curve if math.isfinite(value)]
        return cls(ROOM * min(0.0, *values, 0.0), max(ROOM * max(0.0, *values, 0.0), LEAST))

    def height(self, value: float) -> float:
        """Return where a value lies in a picture (y, SVG units)."""
        return round(BOTTOM - (BOTTOM - TOP) * (value - self.low) / (self.high - self.low), 1)


def draw_curves(cell: CellFacts, lines: Sequence[Line], panels: Mapping[str, str], unit: str) -> Markup:
    """Draw panels (name -> title) side by side as inline SVG; those of the face share one scale, "head" has its own.

    On the shared scale a quiet region looks quiet.
    """
    step = ACROSS / max(cell.n_frames - 1, 1)
    shared = Scale.of(
        [line.curves[name] for line in lines for name in panels if name in line.curves and name != "head"]
    )
    moments = ((cell.onset_frame, "on"), (cell.apex_frame, "apex"), (cell.offset_frame, "off"))
    drawn = []
    for place, (name, title) in enumerate(panels.items()):
        scale = Scale.of([line.curves[name] for line in lines if name in line.curves]) if name == "head" else shared
        ticks = tuple((scale.height(value), label) for value, label in ticks_between(scale.low, scale.high, STEPS))
        curves = tuple(
            (line.name, line.colour, path_of(line.curves[name], step, scale)) for line in lines if name in line.curves
        )
        drawn.append(Panel(UNIT + LABELS + PANEL * place, title, ticks, place == 0 or name == "head", curves))
    text = (
        environment()
        .get_template("curves.svg.j2")
        .render(
            panels=drawn,
            unit=unit,
            about=f"Curves over {cell.n_frames} frames: {', '.join(panels.values())}; {unit}",
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
    """Yield round numbers from `low` to `high` with their labels, in at most about `steps` steps.

    They are 1, 2 or 5 times a power of ten apart, and at least `least`.
    """
    rough = max((high - low) / steps, least, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough), default=10 * power)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield number * step, f"{number * step:.{digits}f}" if number else "0"


def path_of(curve: Sequence[float], step: float, scale: Scale) -> str:
    """Return an SVG path through a curve's values, a value every `step` units, with gaps where there is none."""
    parts, pen = [], "M"
    for frame, value in enumerate(curve):
        if math.isfinite(value):
            parts.append(f"{pen}{step * frame:.1f} {scale.height(value)}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)
