"""The interfaces that plug-ins implement, on one page; all can be imported with `from megbench import Metric, ...`.

Methods turn cells into frames, trainables learn, metrics measure cells, protocols list cells, and adapters list clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from megbench.core.clip import Cell, Clip, Template
from megbench.core.figures import Figure
from megbench.core.frames import Frames

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Status = Literal["ok", "failed", "missing", "skipped", "unavailable"]


class Method(Protocol):
    """A generator, constructed as `Class(variant, options)` from `name@variant:key=value`.

    Optional attributes:
    `options`, on the class, lists the options that the method accepts; any other option is then an error. `magnify`
    belongs to the suite and is not passed on (docs/magnified.md).
    `purpose`, on the class, belongs to a row that accompanies every run; it states in one line what the row is for.
    `needs` states what the cells of such a row must have: a "truth" or a "foil".
    `marks` maps short labels in the tables to notes that a reader of the scores needs.
    `marks_on(cells)` returns such marks for the cells that were scored. It is also called for all cells before anything
    is animated, and may then raise BenchError for files that cannot be read.
    `unused(cells)` returns the names of the method's files that match none of the cells.
    `sources(cell)` returns the paths of the files, besides the clips, that the method reads for this cell only. Their
    contents become part of the cell's key; a missing file counts as None. Files read for every cell belong in
    `identity`.
    `check(cell)` raises CellFailed for a cell that the method cannot animate, as far as that is known before anything
    is animated. It raises NotSupplied if the user has not supplied something that the cell requires; the cell then
    counts as missing rather than failed.
    `check_files()` raises BenchError if files read for every cell (weights) cannot be loaded; it is called once before
    the first cell, if there are any cells to animate.
    `identity_on(cell)` returns, as JSON values, anything else that determines the frames of this cell only.
    """

    name: str
    variant: str
    is_control: bool

    def identity(self) -> Mapping[str, Any]:
        """Return everything besides the inputs that determines the frames of every cell, as JSON values.

        This includes options, hashes of weights and the resolved config. The suite adds the versions of the method's
        code and of the packages that this code imports (megbench.core.provenance).
        """

    def prepare(self, device: str) -> None:
        """Load weights onto `device`. The worker calls this once, before the first cell."""

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Return RGB frames, uint8 (T, 256, 256, 3), as many as the driver has.

        Raise CellFailed, with the reason, if that is impossible.
        """


class Control(Protocol):
    """A control: it is like a method but receives the whole cell, with its truth, foil and reference.

    A method that defines `animate_cell` receives the whole cell, too.
    """

    name: str
    variant: str
    is_control: bool

    def identity(self) -> Mapping[str, Any]:
        """Return the same facts as `Method.identity`."""

    def animate_cell(self, cell: Cell) -> Frames:
        """Return RGB frames, uint8 (T, 256, 256, 3)."""


@dataclass(frozen=True)
class OptimiserSpec:
    """One Adam optimiser: the networks that it updates, its parameters, and its learning-rate schedule.

    Gradients are clipped to `clip_norm` in the norm of order `clip_order` (2: Euclidean, inf: the largest entry).
    `milestones` are the epochs after which lr is multiplied by 0.1 (the published schedule). With `warmup` > 0, the
    schedule is instead a linear warm-up over that share of all steps, followed by a cosine decay to 3 % of lr. With
    `decay`, the rate is lr up to the first of the two epochs and then falls linearly to 0 at the second (ULME-GAN).
    """

    networks: tuple[str, ...]
    lr: float
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_order: float = 2.0
    milestones: tuple[int, ...] = ()
    warmup: float = 0.0
    decay: tuple[int, int] | None = None


@dataclass(frozen=True)
class Phase:
    """A part of a training step: the losses are summed and backpropagated, then the named optimisers take a step.

    After that, the method continues. pictures: images to show in sample strips, (B, 3, H, W) in [0, 1], by name.
    """

    optimisers: tuple[str, ...]
    losses: Mapping[str, Tensor]
    pictures: Mapping[str, Tensor] = field(default_factory=dict)


class Trainable(Protocol):
    """A method that can be trained; it is defined in the same folder as its networks."""

    stages: tuple[str, ...]

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks, keyed by their names in published checkpoints."""

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return the optimisers of a stage, keyed by name."""

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Run one training step on a batch or on part of one and yield its phases; the caller steps the optimisers.

        Losses are means over the samples. Draw random numbers for each sample with
        `megbench.core.draws.each(rng, samples)`, so that a step is the same however the batch is divided.
        """


@dataclass(frozen=True)
class Partial:
    """What a metric measured in one cell. An absent value is None, never zero.

    values: for each figure's name, its value or None. sums: the numbers that `combine` or a log of the run needs.
    series: curves over frames for plots, with a value for every frame of the output or for each frame listed in
    `frames` (whole numbers, ascending, unique). reason: why figures are absent from `values`. reasons: for a figure
    whose value is None, the reason. files: for each role, the cached features that `combine` compares as sets; if these
    are gone, the cell is measured again.
    """

    status: Status
    reason: str = ""
    values: Mapping[str, float | None] = field(default_factory=dict)
    sums: Mapping[str, list[float]] = field(default_factory=dict)
    series: Mapping[str, list[float]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    frames: Sequence[int] = field(default_factory=list)

    def why_absent(self, figure: str) -> str:
        """Return why a figure has no value here, or "" if it has one."""
        if self.values.get(figure) is not None:
            return ""
        whole = "" if figure in self.values else self.reason
        return self.reasons.get(figure) or whole or "not defined in this cell"


@dataclass(frozen=True)
class Score:
    """The value of a figure over several cells.

    reason: why there is no value. n_scored: the number of cells that have the figure. n_cells: the number of all cells.
    warning: a few words that every table shows beside the value, such as "712 and 356 pictures".
    """

    figure: str
    value: float | None
    status: Status
    reason: str
    n_scored: int
    n_cells: int
    warning: str = ""


class Metric(Protocol):
    """A metric.

    `version` changes whenever its numbers may change; `figures` describes these numbers for tables and pages.
    The suite averages figures whose `pooling` is "mean". If a metric has figures with another pooling, it has a method
    `combine(partials)`, which returns a Score for each of these figures over any set of cells.
    A metric that needs weights of third-party networks names them in an attribute `weights`
    (megbench.core.weights.external_weights). Without these weights, the metric is unavailable and the run continues. A
    metric is also unavailable while its static method `missing()` returns what must be done first, such as installing
    a package.
    A metric that reads files besides the cell's clips has a method `sources(cell, output)`, which returns the paths of
    these files; `output` is the hash of the output's frames. In that case, only `doctor` shows the text of `missing()`,
    because some cells may have the files. The contents of the files are part of the partial score's key (a missing file
    counts as None), as are the metric's code, the packages that this code imports, and the metric's weights.
    """

    name: str
    version: str
    figures: tuple[Figure, ...]

    def measure(self, cell: Cell, seen: Any) -> Partial:
        """Measure one cell. seen: the cell's output, driver, template and truth (docs/seen.md)."""


class CellSource(Protocol):
    """A protocol of the benchmark: a list of cells.

    If the cells of a protocol take a long time to create, it may have a method `few()`, which returns a few of them for
    trying out a plug-in. A challenge's protocol may have a class method `entry_names()`, which maps the name of every
    cell to the name of that cell's video in an entry.
    """

    name: str
    version: str

    def cells(self) -> list[Cell]:
        """Return all cells, in the order of the tables."""


class Adapter(Protocol):
    """A database on the user's disk."""

    def clips(self) -> list[Clip]:
        """Return all clips of the database."""
