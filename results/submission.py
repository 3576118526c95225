"""The results file: a run's results in one JSON file without pictures. `results/schema.json` is generated from it.

Reading is strict: it rejects unknown entries, numbers that are not finite, strings that are too long and names that are
not valid file names.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from megbench.core.errors import BenchError
from megbench.core.figures import Pooling
from megbench.core.files.names import check_name

FORMAT = "megbench-results-1"
# Limits of a file: far above any legitimate file, far below what would overload a page or a reader.
MOST_ROWS, MOST_CELLS, MOST_METRICS, MOST_FIGURES, MOST_NAMES = 200, 2_000, 100, 1_000, 5_000
LONGEST_NAME, LONGEST_TEXT = 200, 2_000

# The status of a row's weights: the suite's (by their marks), the user's own, or none because nothing is learned. The
# last two values are for outputs of other programs or people.
Status = Literal[
    "published weights",
    "reproducing",
    "demo weights",
    "own weights",
    "untrained",
    "no weights",
    "external program",
    "outputs made elsewhere",
]
# The status of a row with the suite's weights, by the weights' own status (megbench.core.generator.Weights).
STATUS_OF: dict[str, Status] = {
    "published": "published weights",
    "reproducing": "reproducing",
    "demo": "demo weights",
    "demo with another architecture": "demo weights",
}
Kind = Literal["sealed run", "measured elsewhere"]


def _safe(name: str) -> str:
    """Return a valid file name. Raise ValueError, which pydantic reports, for other names."""
    try:
        return check_name("cell, driver or template", name)
    except BenchError as error:
        raise ValueError(str(error)) from None


def _cell(name: str) -> str:
    """Return a cell's name, whose driver and template are joined by two underscores."""
    driver, joint, template = name.partition("__")
    if not joint:
        raise ValueError(f"{name!r} is not <driver>__<template>")
    _safe(driver), _safe(template)
    return name


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
SafeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@=+-]{0,119}$"), AfterValidator(_safe)]
CellName = Annotated[str, Field(min_length=4, max_length=250), AfterValidator(_cell)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{8,128}$")]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e9)]
Duration = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e9)]
Megabytes = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e8)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Names = Annotated[list[Name], Field(max_length=MOST_NAMES)]
Words = Annotated[dict[Name, Text], Field(max_length=MOST_CELLS)]


class Part(BaseModel):
    """The base class of all parts of the file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Protocol(Part):
    """The protocol that lists the cells."""

    name: Name
    version: Name
    description: Text = ""


class Cell(Part):
    """One driver on one template. Hashes are of the prepared frames, or null if they are unknown.

    foil: the driver that the control wrong_driver shows instead, or "" if there is none.
    """

    name: CellName
    driver: SafeName
    template: SafeName
    database: Name
    emotion: Text
    subject: Text
    frames: Annotated[int, Field(ge=1, le=1_000_000)] | None
    fps: Positive | None
    rendered: bool
    foil: Annotated[str, Field(max_length=LONGEST_NAME)]
    driver_content: Hash | None
    template_content: Hash | None
    truth_content: Hash | None


class FigureFacts(Part):
    """One number that a metric reports; see megbench.core.figures.Figure."""

    name: Name
    title: Text
    label: Text
    description: Text
    target: Text
    unit: Text
    group: Text
    order: int
    brief: bool
    pooling: Pooling
    decimals: Annotated[int, Field(ge=0, le=12)]
    ideal: Number | None
    still: Number | None
    least: Number | None
    most: Number | None


class Metric(Part):
    """A metric with the version of its recipe; `recipe` is the hash of its code and packages."""

    name: Name
    version: Name
    recipe: Hash | None
    figures: Annotated[list[FigureFacts], Field(min_length=1, max_length=MOST_FIGURES)]


class Asked(Part):
    """The run's request, without folders."""

    methods: Names
    controls: bool
    seed: Annotated[int, Field(ge=0, le=2**63)]
    device: Name


class Made(Part):
    """Code, packages and machine of the run."""

    date: Name
    commit: Name
    modified: bool
    python: Name
    packages: Words
    system: Text
    processor: Text
    device: Text
    precision: Words


class Mean(Part):
    """A figure over all cells that have it, with its 95 % interval (drivers resampled), or null with the reason."""

    value: Number | None
    low: Number | None = None
    high: Number | None = None
    n_scored: Count
    n_cells: Count
    reason: Text = ""
    warning: Text = ""


class CellResult(Part):
    """A row's result in one cell: the figures that it has and, by reason, those that it lacks.

    sums: the products from which agreement over all cells is pooled, by metric and target.
    """

    status: Literal["ok", "failed", "missing"]
    reason: Text = ""
    output: Hash | None
    seconds: Duration | None
    peak_mb: Megabytes | None
    scores: Annotated[dict[Name, Number], Field(max_length=MOST_FIGURES)]
    absent: Annotated[dict[Text, Names], Field(max_length=MOST_FIGURES)] = {}
    sums: dict[Name, dict[Name, Annotated[list[Number], Field(min_length=3, max_length=3)]]] = {}


class Row(Part):
    """A method or a control. weights: hashes by file, or null if they are unknown or there are none.

    identity: the hash of everything that determines its frames besides the clips. untimed: why time or memory is null.
    """

    label: Name
    name: Name
    variant: Annotated[str, Field(max_length=LONGEST_NAME)]
    is_control: bool
    status: Status
    marks: Words
    weights: Annotated[dict[Name, Hash], Field(max_length=100)] | None
    identity: Hash | None
    people_known: Names
    seen_drivers: Names
    seen_people: Names
    seconds: Duration | None
    frames_per_second: Positive | None
    peak_mb: Megabytes | None
    untimed: Text = ""
    scores: Annotated[dict[Name, Mean], Field(max_length=MOST_FIGURES)]
    cells: Annotated[dict[CellName, CellResult], Field(max_length=MOST_CELLS)]


class Digests(Part):
    """Hashes of the file's parts and of the whole file, used to locate changes."""

    parts: Annotated[dict[Text, Hash], Field(max_length=MOST_ROWS * MOST_CELLS)]
    whole: Hash


class Submission(Part):
    """The complete file.

    seal: the hash of the run's sealed frames, partial scores and table, or null if there is no run.
    """

    format: Literal["megbench-results-1"]
    kind: Kind
    note: Text
    protocol: Protocol
    cells: Annotated[list[Cell], Field(min_length=1, max_length=MOST_CELLS)]
    metrics: Annotated[list[Metric], Field(min_length=1, max_length=MOST_METRICS)]
    asked: Asked | None
    made: Made | None
    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]
    seal: Hash | None
    digests: Digests

    @property
    def figures(self) -> dict[str, tuple[Metric, FigureFacts]]:
        """Return every figure by name, with its metric."""
        return {figure.name: (metric, figure) for metric in self.metrics for figure in metric.figures}

    @property
    def driver_of(self) -> dict[str, str]:
        """Return the driver of each cell."""
        return {cell.name: cell.driver for cell in self.cells}
