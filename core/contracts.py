"""The interfaces that plug-ins implement, on one page; `from megbench import Metric, Figure, ...` has them all.

Methods turn cells into frames, trainables learn, metrics measure cells, protocols list cells, adapters list clips.
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
    """A generator. Made as `Class(variant, options)` from `name@variant:key=value`.

    Optional attributes:
    `options`, of the class, names the options that it takes; then any other one is an error. `magnify` is the suite's
    own and not handed over (docs/magnified.md).
    `purpose`, of the class, says in a line what a row that accompanies every run is for; `needs`, what its
    cells must have, a "truth" or a "foil".
    `marks` maps words for the tables to sentences: what a reader of its scores must know.
    `marks_on(cells)` returns such marks for the cells that were scored. It is also called for all cells before anything
    is animated, and may then raise BenchError for files that cannot be read.
    `unused(cells)` returns the names of its files that fit none of the cells.
    `sources(cell)` returns the paths of the files, besides the clips, that it reads for this cell only. Their contents
    become part of the cell's key; a missing file counts as None. Files read for every cell belong in `identity`.
    `check(cell)` raises CellFailed for a cell that it cannot do, as far as that is known before anything is animated;
    NotSupplied if something was to be supplied for it and is not there: then the cell is missing, which is no failure.
    `check_files()` raises BenchError if files read for every cell (weights) cannot be loaded; called once, if there are
    cells to do, before the first of them.
    `identity_on(cell)` returns, as JSON values, whatever else decides the frames of this cell only.
    """

    name: str
    variant: str
    is_control: bool

    def identity(self) -> Mapping[str, Any]:
        """Return all that decides the frames of every cell besides the inputs, as JSON values.

        This includes options, hashes of weights and the resolved config. The suite adds the versions of the code and
        of the packages that it imports (megbench.core.provenance).
        """

    def prepare(self, device: str) -> None:
        """Load weights onto `device`; called once, in the worker, before the first cell."""

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB, T = the driver's. CellFailed with the reason if it cannot be done."""


class Control(Protocol):
    """A control: like a method, but handed the whole cell (truth, foil, reference). A method may be made so, too."""

    name: str
    variant: str
    is_control: bool

    def identity(self) -> Mapping[str, Any]:
        """As a method's."""

    def animate_cell(self, cell: Cell) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB."""


@dataclass(frozen=True)
class OptimiserSpec:
    """One Adam optimiser: the networks it steps, its numbers, and its learning rate over the training.

    Gradients are clipped to `clip_norm` in the norm of order `clip_order` (2: Euclidean, inf: the largest entry).
    `milestones` are epochs after which lr is multiplied by 0.1 (the published schedule). With `warmup` > 0 the
    schedule is instead a linear warm-up over that share of all steps, then a cosine down to 3 % of lr. With `decay` it
    is lr up to the first of two epochs, from there linear to 0 at the second (ULME-GAN).
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
    """Losses to sum, backpropagate and step with the named optimisers before the method goes on.

    pictures: what was painted, (B, 3, H, W) in [0, 1] by name, for sample strips.
    """

    optimisers: tuple[str, ...]
    losses: Mapping[str, Tensor]
    pictures: Mapping[str, Tensor] = field(default_factory=dict)


class Trainable(Protocol):
    """A method that also learns; lives with its networks."""

    stages: tuple[str, ...]

    def networks(self) -> dict[str, nn.Module]:
        """Networks by the published checkpoints' names."""

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Optimisers of a stage by name."""

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """One training step on a batch or a part of it: yield a phase; after each the loop has stepped.

        Losses are means over the samples. Draw for each sample by `megbench.core.draws.each(rng, samples)`: then a step
        is the same however the batch is divided.
        """


@dataclass(frozen=True)
class Partial:
    """What a metric found in one cell. Absent is None, never zero.

    values: figure name -> value or None. sums: what `combine`, or a log of the run, needs. series: curves over
    frames for plots, a value for every frame of the output or, if `frames` names frames of it, for each of those; it
    names whole numbers, ascending, each once.
    reason: why the figures that `values` lacks are lacking. reasons: figure name -> why its value is None.
    files: role -> features in the store that `combine` compares as sets; without them the cell is measured again.
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
        """Why a figure has no value here; "" where it has one."""
        if self.values.get(figure) is not None:
            return ""
        whole = "" if figure in self.values else self.reason
        return self.reasons.get(figure) or whole or "not defined in this cell"


@dataclass(frozen=True)
class Score:
    """A figure over several cells, with how many of how many were scored.

    reason: why there is no value. warning: a few words that every table shows beside the value, "712 and 356 pictures".
    """

    figure: str
    value: float | None
    status: Status
    reason: str
    n_scored: int
    n_cells: int
    warning: str = ""


class Metric(Protocol):
    """A measure. `version` changes when its numbers may change; `figures` say all that tables and pages show of them.

    Figures whose `pooling` is "mean" are summed up by the suite. A metric with any other has a further method
    `combine(partials)`, which returns a Score of each of those over any set of cells.
    A metric that needs weights of other people's networks names them in a further attribute `weights`
    (megbench.core.weights.external_weights); without them it is unavailable and the run goes on. It is so, too, while
    a static method `missing()` says what is to be done first, a package to be installed. A metric that reads files
    besides the cell's clips has a further method `sources(cell, output)`, which returns their paths; `output` is the
    hash of the output's frames. What its `missing()` says is for `doctor` only, as some cells may have the files.
    The contents of these files are part of the partial score's key (a missing file counts as None), as are the
    metric's code, the packages that it imports and its weights.
    """

    name: str
    version: str
    figures: tuple[Figure, ...]

    def measure(self, cell: Cell, seen: Any) -> Partial:
        """Measure one cell; `seen` (docs/seen.md) shows its output, driver, template and truth."""


class CellSource(Protocol):
    """A protocol of the benchmark: a list of cells.

    One that takes long to make them may have a further method `few()`, which returns some to try a plug-in on.
    """

    name: str
    version: str

    def cells(self) -> list[Cell]:
        """All cells, in the order of the tables."""


class Adapter(Protocol):
    """A database on the user's disk."""

    def clips(self) -> list[Clip]:
        """All its clips."""
