"""`bench.py pack`: pack a row's outputs in the form that a challenge requires."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.core.errors import BenchError, check_choice, few, plural

if TYPE_CHECKING:
    from megbench.reports.run_files import FinishedRun

# Characters that a row's label may contain but a file name should not.
NO_NAME = re.compile(r"[^A-Za-z0-9._@=+-]+")


def pack(
    run: Path,
    method: Annotated[str, typer.Argument(help="A row of the run.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The .zip file; default: RUN_METHOD.zip beside the run.")
    ] = None,
) -> None:
    """Pack a row's outputs as an entry: 256x256 videos at 100 fps under the challenge's names, in one zip.

    Every video is decoded again to check that it has its driver's number of frames and preserves the face's motion. In
    runs of other protocols, the videos are named <driver>__<template>.
    """
    from megbench.commands.entry import write_entry
    from megbench.core.progress import note
    from megbench.reports.run_files import FinishedRun

    opened = FinishedRun(run)
    label = check_choice("row of this run:", method, [row.label for row in opened.facts.methods])
    target = out or run.resolve().with_name(f"{run.resolve().name}_{NO_NAME.sub('_', label)}.zip")
    if target.suffix.lower() != ".zip" or target.is_dir():
        raise BenchError(f"--out {target}: an entry is a single .zip file. Pass a name that ends in .zip.")
    names = _challenge_names(opened)
    if not names:
        names = {cell.name: cell.name for cell in opened.facts.cells}
        note(f"{opened.facts.protocol.name} is not a challenge protocol, so videos are named <driver>__<template>.")
    write_entry(opened, label, names, target)
    size = target.stat().st_size / 1e6
    print(
        f"{target}: {plural(len(names), 'video')} of 256x256 at 100 fps, {size:.1f} MB; each decodes to its"
        " driver's number of frames and preserves the motion of the face"
    )


def _challenge_names(run: FinishedRun) -> dict[str, str]:
    """Return the names of an entry's videos by cell, or {} if the protocol is not a challenge's.

    Raise BenchError if the run lacks cells that the challenge requires.
    """
    from megbench.core.registry import load
    from megbench.protocols import PROTOCOLS

    protocol = run.facts.protocol.name
    named = getattr(load("protocol", protocol, PROTOCOLS), "entry_names", None)
    names: dict[str, str] = named() if named else {}
    here = {cell.name for cell in run.facts.cells}
    if lacking := [name for name in names if name not in here]:
        raise BenchError(
            f"{run.folder}: an entry to {protocol} has {len(names)} videos, but this run has no cells for"
            f" {len(lacking)} of them ({few(lacking)}). Run all drivers and templates of the kit."
        )
    return names
