"""Commands on finished runs and on the store behind them: `report`, `clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.options import STORE, MediaAllOption


def report(run: Path, media_all: MediaAllOption = False) -> None:
    """Make the report of a run again from its files."""
    from core.manifest import seal
    from reports.html import write_report

    print(write_report(run, media_all))
    seal(run)


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only say what would go.")] = False,
) -> None:
    """Delete the store (.megbench), from which runs are made faster; runs keep what they hold."""
    from core.store import KINDS, entries, remove

    found = entries(STORE)
    for kind in KINDS:
        of_kind = [entry for entry in found if entry.path.parent.name == kind]
        if of_kind:
            freed, size = (sum(getattr(entry, part) for entry in of_kind) / 1e6 for part in ("freed", "size"))
            print(f"{kind:10} {len(of_kind):6} entries {size:9.1f} MB, of which {freed:.1f} MB are held by no run")
    if not found:
        print(f"Nothing to free: {STORE} is empty or not there.")
    elif yes:
        for entry in found:
            remove(entry)
        print(f"Freed {sum(entry.freed for entry in found) / 1e6:.1f} MB.")
    else:
        print("Nothing was deleted. Add --yes to do it.")
