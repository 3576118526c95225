"""Numbers printed in papers, shown beside the rows to which they refer (results/papers.yaml)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from megbench.reports.published import published
from megbench.results.submission import Protocol, Row

FILE = Path(__file__).parent / "papers.yaml"


class PaperNumber(BaseModel):
    """One printed number.

    within: the largest difference at which a row reproduces the number; None if no row can, and `why` then says why
    not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: str
    protocol: str
    cells: Annotated[int, Field(ge=1)]
    metric: str
    version: str
    figure: str
    paper: str
    printed: Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$")]
    within: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    why: str = ""

    @model_validator(mode="after")
    def _explained(self) -> PaperNumber:
        if (self.within is None) != bool(self.why):
            raise ValueError(f"{self.row} {self.figure}: give either `within` or `why`")
        if self.paper not in published().papers:
            raise ValueError(f"paper {self.paper!r} is not listed in reports/published/figures.yaml")
        return self


@dataclass(frozen=True)
class Beside:
    """A printed number shown beside a row: its value, its source, and whether the row reproduces it."""

    printed: str
    paper: str
    reproduced: bool
    why: str


@functools.cache
def paper_numbers() -> tuple[PaperNumber, ...]:
    """Return all printed numbers in the repository."""
    return TypeAdapter(tuple[PaperNumber, ...]).validate_python(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def beside(
    row: Row, protocol: Protocol, versions: dict[str, tuple[str, str]], numbers: Sequence[PaperNumber]
) -> dict[str, Beside]:
    """Return the numbers printed in papers for a row, by figure. versions: metric and version of each figure.

    A number is shown only beside a row of the same protocol, metric version and number of cells.
    """
    found = {}
    for number in numbers:
        mean = row.scores.get(number.figure)
        named = number.row in (row.name, f"{row.name}@{row.variant}")
        same_recipe = versions.get(number.figure) == (number.metric, number.version)
        if not (named and same_recipe and protocol.name == number.protocol and mean and mean.n_scored == number.cells):
            continue
        near = number.within is not None and mean.value is not None
        reproduced = near and abs((mean.value or 0.0) - float(number.printed)) <= (number.within or 0.0)
        why = number.why or f"within {number.within:g} it counts as reproduced"
        found[number.figure] = Beside(number.printed, published().papers[number.paper], reproduced, why)
    return found
