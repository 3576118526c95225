"""Everything a reader must know about a figure. Tables, heat maps, remarks and docs/metrics.md are made from it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

# How a figure is aggregated over cells. "mean": the mean over the cells that have it. "pooled": the agreement pooled
# from the products that the cells' `sums` contain for the figure's target (megbench.core.pooled). "set": a value that
# the metric computes from all cells at once.
Pooling = Literal["mean", "pooled", "set"]
Grade = Literal["good", "fair", "bad"]

# The leaderboard's groups of columns, in order; groups that occur only in plug-ins come last.
MOTION = "Motion, against the driver"
TIME = "Time, against the driver"
MOTION_V1 = "Motion, against the driver (version 1)"
MOTION_TRUTH = "Motion, against the truth"
OPENFACE = "Action units, by OpenFace"
ACTION_UNITS = "Action units, from flow"
BLENDSHAPES = "Action units, blendshape course"
PICTURE = "Guards: the picture"
GROUPS = (MOTION, TIME, MOTION_V1, MOTION_TRUTH, OPENFACE, ACTION_UNITS, BLENDSHAPES, PICTURE)
LAST = 100


@dataclass(frozen=True)
class Threshold:
    """A remark on cells whose value is at least `least`. text: may contain {value}. grade: sets the remark's colour."""

    least: float
    text: str
    grade: Grade


@dataclass(frozen=True)
class Figure:
    """One number that a metric reports.

    title, short: its names in a sentence and above a column; if `short` is "", the title is used in both places.
    target: what the output is compared with ("driver", "truth" or "template"), or "output" for a property of the output
    alone.
    ideal: the value of a perfect output. None if no value is better than another, as for counts and properties of the
    inputs.
    still: the value of a still face (the template repeated); None if that depends on the clips or does not exist.
    formula, source: the definition as one expression, and the paper or the repository that it comes from.
    group: its group of columns in the leaderboard; if "", only the list of all figures shows it. order: its position in
    the group; figures of equal order are sorted like their metrics. brief: whether it is also in the terminal's table
    and comes first in LaTeX tables.
    detector: what measured the action units in question ("flow", "OpenFace"); tables show it after the short title.
    heat_map: whether the page shows a heat map of this figure over the cells, from `still` (0) to `ideal` (1).
    neighbours: whether it is computed from neighbouring frames; if so, it cannot be compared between clips of different
    frame rates.
    thresholds: remarks on a cell's value, from high to low; the first threshold that the value reaches determines the
    remark.
    """

    name: str
    title: str
    _: KW_ONLY
    target: str
    ideal: float | None
    description: str
    still: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    unit: str = ""
    pooling: Pooling = "mean"
    formula: str = ""
    source: str = ""
    short: str = ""
    decimals: int = 2
    group: str = ""
    order: int = LAST
    brief: bool = False
    detector: str = ""
    heat_map: bool = False
    neighbours: bool = False
    thresholds: tuple[Threshold, ...] = ()

    @property
    def label(self) -> str:
        """The short title, with the detector of action units in brackets; the long title names the detector anyway."""
        return f"{self.short} ({self.detector})" if self.short and self.detector else self.short or self.title

    @property
    def span(self) -> str:
        """The bounds in words: "0 to ∞"."""
        low, high = self.bounds
        return f"{'-∞' if low is None else f'{low:g}'} to {'∞' if high is None else f'{high:g}'}"

    @property
    def higher_is_better(self) -> bool | None:
        """Whether higher values are better; None if the ideal is neither the highest nor the lowest value."""
        return None if self.ideal is None or self.two_sided else self.ideal == self.bounds[1]

    @property
    def two_sided(self) -> bool:
        """Whether values can be on both sides of the ideal, as a gain can be below or above 1."""
        return self.ideal is not None and self.ideal not in self.bounds

    @property
    def arrow(self) -> str:
        """The direction of improvement: ↑, ↓, "→ 1" if values can be on both sides of 1, or "" if there is no ideal."""
        if self.ideal is None:
            return ""
        return f"→ {self.ideal:g}" if self.two_sided else "↑" if self.higher_is_better else "↓"

    @property
    def aimed(self) -> str:
        """The quantity compared between rows, with its direction of improvement: "error ↓", "|gain - 1| ↓"."""
        return f"|{self.name} - {self.ideal:g}| ↓" if self.two_sided else f"{self.name} {self.arrow}".rstrip()

    @property
    def has_heat_map(self) -> bool:
        """Whether a heat map is wanted and possible: the ideal must differ from the value of a still face."""
        return self.heat_map and self.ideal is not None and self.still not in (None, self.ideal)

    def distance(self, value: float) -> float:
        """Return how far a value is from the ideal. Raise ValueError if the figure has no ideal."""
        if self.ideal is None:
            raise ValueError(f"{self.name} has no ideal")
        return abs(value - self.ideal)

    def shade(self, value: float) -> float:
        """Return 1 for the ideal, 0 for a value as bad as a still face's, and down to -1 for worse values."""
        if self.still is None:
            raise ValueError(f"{self.name} states no value for a still face")
        return min(max(1 - self.distance(value) / self.distance(self.still), -1.0), 1.0)

    def remark(self, value: float) -> tuple[str, Grade] | None:
        """Return the text and the grade of the remark on a cell's value, or None if the value reaches no threshold."""
        reached = next((threshold for threshold in self.thresholds if value >= threshold.least), None)
        return (reached.text.replace("{value}", f"{value:.{self.decimals}f}"), reached.grade) if reached else None
