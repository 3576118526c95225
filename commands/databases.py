"""Databases on the user's disk: `validate` reports what is there, `prepare` makes clips for training."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.commands.options import WorkersOption, resumable
from megbench.core.errors import few, plural
from megbench.core.installation import COMMAND
from megbench.core.tables.spreadsheet_text import printable

if TYPE_CHECKING:
    from megbench.clips.databases.survey import Survey
    from megbench.core.prepared_clips import ClipStore
    from megbench.faces.landmarks import Points

CHALLENGE = "MEGC2021"


class Colour(StrEnum):
    """The treatment of colour: kept as recorded, reduced to luma, or reduced to luma with red and blue swapped."""

    recorded = "recorded"
    luma = "luma"
    swapped = "swapped"


DatabaseArgument = Annotated[str, typer.Argument(help="casme2, samm, smic, smic-vis, smic-nir or table.")]
PathArgument = Annotated[Path, typer.Argument(help="The unpacked database; for table, the file itself.")]
SheetOption = Annotated[Path | None, typer.Option("--sheet", help="The coding sheet; default: the one found.")]
WithoutOption = Annotated[
    list[str] | None, typer.Option("--without", help='Correction to skip, or "all" to skip every correction.')
]


def validate(
    database: DatabaseArgument, path: PathArgument, sheet: SheetOption = None, without: WithoutOption = None
) -> None:
    """Report a database's clips, gaps and corrections; write nothing. Exit with code 1 if no clip is usable."""
    found = survey(database, path, sheet, without or [])
    print("\n".join(map(printable, found.describe())))
    from megbench.protocols.megc2021 import recordings

    there = sorted({clip.recording.recording for clip in found.usable} & recordings())
    print(f"drivers of {CHALLENGE}: {', '.join(there) or 'none'}")
    raise typer.Exit(0 if found.usable else 1)


@resumable()
def prepare(
    database: DatabaseArgument,
    path: PathArgument,
    out: Annotated[Path, typer.Option(help="Folder of the clip store.")],
    sheet: SheetOption = None,
    without: WithoutOption = None,
    colour: Annotated[
        Colour, typer.Option(help="Keep colour, or convert to grey: luma, or swapped (as published).")
    ] = Colour.recorded,
    workers: WorkersOption = 0,
) -> None:
    """Crop a database's clips to the face for training; to resume after an interruption, run the same command again."""
    store = prepared(survey(database, path, sheet, without or []), out, colour, workers)
    people = len({clip.person for clip in store.clips})
    print(
        f"{plural(len(store.clips), 'clip')} of {plural(people, 'person', 'people')} in {out},"
        f" {len(store.facts.left_out)} left out."
    )
    print(f"To train on them: {COMMAND} train fpfomm --clips {shlex.quote(f'{store.facts.database}={out}')}")


def survey(database: str, path: Path, sheet: Path | None = None, without: list[str] | None = None) -> Survey:
    """Return the survey of a database at `path`: which clips are there, and what is missing or corrected."""
    from megbench.clips.databases import DATABASES
    from megbench.core.registry import load

    found: Survey = load("database", database, DATABASES).survey(path, sheet, without or [])
    return found


def prepared(found: Survey, out: Path, colour: Colour = Colour.recorded, workers: int = 0) -> ClipStore:
    """Write a database as a clip store to `out`, mark the challenge's drivers and print which clips are left out."""
    from megbench.clips.prepare import prepare as store
    from megbench.protocols.megc2021 import recordings

    made = store(found, out, given_points, recordings(), CHALLENGE, colour.value, workers)
    for name, why in made.facts.left_out.items():
        print(printable(f"left out: {name}: {why}"))
    for what, rows in (("missing on disk", found.missing), ("incomplete", found.incomplete)):
        if rows:
            print(printable(f"{what}: {len(rows)} of the sheet's rows ({few(rows, 3)}); `validate` lists all of them"))
    return made


def given_points(landmarks: Points) -> Points:
    """Return FPB-FOMM's points (18, 2) for 68 landmarks (68, 2)."""
    import numpy as np
    import torch

    from megbench.fpfomm import points

    return np.asarray(points.given_points(torch.from_numpy(landmarks)[None])[0].numpy(), np.float64)
