"""`bench.py openface`: import OpenFace's output for the clips of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError, few, plural


def openface(run: Path, csvs: Path) -> None:
    """Import OpenFace's CSVs for a run: CSVS/<method>/<cell>.csv, CSVS/drivers/<driver>.csv, CSVS/truth/<cell>.csv.

    Each file may also be a TSV, a workbook, or a folder with one CSV per frame. Afterwards, run the benchmark again
    with --metrics +openface_intensity.
    """
    from megbench.core.files.folder_lock import RUN, locked_existing

    with locked_existing(run, RUN):
        _take_over(run, csvs)


def _take_over(run: Path, csvs: Path) -> None:
    """Save the scores in `csvs` for the clips of a run. The run must be locked by the caller."""
    from megbench.core.files.cache import read_json
    from megbench.core.progress import note
    from megbench.core.tables.reading import table_called
    from megbench.faces.openface import keep, read_openface

    outputs = {path.parent.relative_to(run / "cells"): path for path in (run / "cells").glob("*/*/cell.json")}
    inputs = {path.parent.relative_to(run / "inputs"): path for path in (run / "inputs").glob("*/*/clip.json")}
    files: dict[Path, dict[str, Any]] = {}
    for place, facts_file in {**outputs, **inputs}.items():
        folder = csvs / place
        file = table_called(folder) or (folder if folder.is_dir() else None)
        facts = read_json(facts_file)
        if file and facts and facts.get("content"):
            files[file] = facts
    others = sorted(repr(str(path.relative_to(csvs))) for path in csvs.glob("*/[!.]*") if path not in files)
    if not files:
        example = next(iter(inputs), "drivers/NAME")
        has = f" It contains {few(others)}." if others else ""
        raise BenchError(
            f"{csvs} contains no CSV for a clip of {run}.{has} Name each CSV after its clip, for example {example}.csv."
        )
    scores = {facts["content"]: read_openface(file, int(facts["n_frames"])) for file, facts in files.items()}
    for content, found in scores.items():
        keep(content, found)
    if others:
        note(f"Left out, because {run} has no clips with these names: {few(others)}")
    print(f"Imported {len(files)} of {plural(len(outputs) + len(inputs), 'clip')}.")
