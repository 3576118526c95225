"""Figures reported by papers and challenges, which are always shown as reported, never as measured."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from megbench.reports.table import Column, Entry, Section, Table

HERE = Path(__file__).parent
MEGC2021_EXPERTS = HERE / "megc2021_experts.csv"


class Strict(BaseModel):
    """A part of the data file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Group(Strict):
    """Values of one figure in one source, as printed there, by method."""

    paper: str
    figure: str
    better: Literal["higher", "lower"]
    note: str
    values: dict[str, Annotated[str, Field(pattern=r"^\d+\.\d+$")]]


class Published(Strict):
    """The data file beside this one: sources by short name, and groups of figures."""

    papers: dict[str, str]
    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _known_papers(self) -> Published:
        for group in self.groups:
            if group.paper not in self.papers:
                raise ValueError(f"paper {group.paper!r} of {group.figure!r} is not listed under papers")
        return self


@functools.cache
def published() -> Published:
    """Return all reported figures."""
    return Published.model_validate(yaml.safe_load((HERE / "figures.yaml").read_text(encoding="utf-8")))


def reported_table() -> Table:
    """Return every reported figure, with a section for each source and figure; each row is marked as reported."""
    columns = (Column("method"), Column("value"), Column("status"), Column("source"))
    found = published()
    sections = tuple(
        Section(
            f"{group.figure} ({'↑' if group.better == 'higher' else '↓'})",
            tuple((Entry(m), Entry(v), Entry("reported"), Entry(group.paper)) for m, v in group.values.items()),
        )
        for group in found.groups
    )
    sources = [f"{name}: {text}." for name, text in found.papers.items()]
    notes = [f"{group.paper}, {group.figure}: {group.note}" for group in found.groups]
    title = "Reported by papers and challenges, not measured here"
    return Table(title, columns, sections, (*sources, *dict.fromkeys(notes)))
