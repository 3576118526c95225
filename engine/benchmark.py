"""A run: fill its folder with whatever is missing, and describe the run in run.json."""

from __future__ import annotations

import functools
import inspect
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from megbench.core.clip import Cell, Clip, Template, keep_facts, load_clip, without_camera
from megbench.core.contracts import CellSource
from megbench.core.errors import few, plural
from megbench.core.files.cache import CellRecord, digest, discard, link_folder, read_json, write_json
from megbench.core.files.hashes import file_facts, keep_known
from megbench.core.frames import Frames, encode_png, write_png
from megbench.core.progress import note
from megbench.core.provenance import provenance
from megbench.engine import scoring
from megbench.engine.estimate import remember
from megbench.engine.foreseen import check_files
from megbench.engine.runner import Job, Row, Settings, animate, cell_folder, link_stored, look_up, plan
from megbench.engine.score_table import combine
from megbench.engine.scoring import Scorer
from megbench.engine.seal import sealed

Named = TypeVar("Named", Clip, Template)

# Facts that may differ if the same run is executed twice.
FLEETING = ("date", "argv")


@dataclass
class Benchmark:
    """One run: what was requested, and its folder.

    request: the user's request as JSON values. changed: whether `complete` changed anything in the folder.
    """

    folder: Path
    request: dict[str, Any]
    source: CellSource
    cells: Sequence[Cell]
    rows: Sequence[Row]
    settings: Settings
    scorer: Scorer
    changed: bool = False

    @functools.cached_property
    def jobs(self) -> list[Job]:
        """Every row on every cell, row by row."""
        return plan(self.rows, self.cells, self.source.version, self.settings)

    @functools.cached_property
    def _known_aus(self) -> dict[str, dict[str, list[float]]]:
        """Intensities of the drivers' action units, by the drivers' names."""
        return {name: _known_aus(driver) for name, driver in by_name(cell.driver for cell in self.cells).items()}

    def missing(self) -> list[Job]:
        """Return the jobs whose cells are finished neither in the run's folder nor in the store."""
        return look_up(self.folder, self.jobs, self.settings).todo

    def finished(self, shown: str) -> list[str] | None:
        """Return the failures of a run that is complete and unaltered, or None if there is anything left to do.

        shown: everything besides the run's own files that determines the report.
        """
        facts = read_json(self.folder / "run.json") or {}
        if not facts.get("key") or facts["key"] != self._key(shown) or not sealed(self.folder):
            return None
        keep_known()
        self._tell_unused()
        return [str(line) for line in facts["failures"]]

    def _key(self, shown: str) -> str | None:
        """Return the hash of everything that determines the folder's final content, or None if that may still change.

        It may if a metric reads additional files, because the user may supply these at any time.
        """
        if any(hasattr(make(), "sources") for make in self.scorer.metrics):
            return None
        jobs = [[job.row.label, job.cell.name, job.key] for job in self.jobs]
        compared = [[cell.reference.state(), cell.truth and cell.truth.state()] for cell in self.cells]
        return digest([_lasting(self._facts({})), jobs, compared, scoring.deciding_all(self.scorer), shown])

    def _tell_unused(self) -> None:
        for row in self.rows:
            if names := row.unused(self.cells):
                what = (
                    f"{len(names)} files in its folder match no cell and are"
                    if len(names) > 1
                    else "1 file matches no cell and is"
                )
                note(f"{row.label}: {what} not scored: {few(names)}.")

    def complete(self, shown: str = "") -> list[str]:
        """Animate, measure and aggregate whatever is missing; return the failures, one line each.

        shown: as in `finished`. Raise BenchError, before anything is done, if a row's own files cannot be loaded.
        """
        self._tell_unused()
        key = self._key(shown)
        found = look_up(self.folder, self.jobs, self.settings)
        check_files(found.todo)
        if stale := forget_others(self.folder, self.jobs):
            note(
                f"Removed {plural(stale, 'cell')} of an earlier request from {self.folder} (the store still has them)."
                " Tables and figures created there earlier belong to that request."
            )
        link_stored(self.folder, found.stored, self.settings)
        if found.todo:
            write_json(self.folder / "run.json", {**self._facts(found.done), "finished": False})
        keep_inputs(self.folder, self.cells)
        records = found.done | animate(self.folder, found.todo, self.settings)
        remember(found.todo, records, self.settings)
        partials, measured = scoring.score(self.folder, self.jobs, records, self.scorer)
        summed = combine(self.folder, self.jobs, partials, [make() for make in self.scorer.metrics])
        unmeasured = scoring.failures(self.jobs, records, partials)
        failures = self._failures(records) + unmeasured
        another_time = bool(unmeasured) or any(record.retry for record in records.values())
        renewed = self._finish(records, failures, None if another_time else key)
        self.changed = any((stale, found.stored, found.todo, measured, summed, renewed))
        return failures

    def _failures(self, records: dict[str, CellRecord]) -> list[str]:
        """Return a line for each cell that no row can animate and for each other failed job.

        Jobs whose input was not supplied are left out.
        """
        hopeless = [f"{cell.name}: {cell.problem}" for cell in self.cells if cell.problem]
        others = ((job, records[job.key]) for job in self.jobs if not job.cell.problem)
        failed = [
            f"{job.row.label} on {job.cell.name}: {found.reason}" for job, found in others if found.status == "failed"
        ]
        return hopeless + failed

    def _not_supplied(self, records: dict[str, CellRecord]) -> dict[str, list[str]]:
        """Return, for each row, the cells whose input was not supplied; their records state the reasons."""
        found: dict[str, list[str]] = {}
        for job in self.jobs:
            if records[job.key].status == "missing":
                found.setdefault(job.row.label, []).append(job.cell.name)
        return found

    def _facts(self, records: dict[str, CellRecord]) -> dict[str, Any]:
        """Return everything in run.json except whether the run is finished."""
        source = self.source
        return {
            "id": self.folder.name,
            "request": self.request,
            "provenance": provenance(self.settings.device),
            "protocol": {"name": source.name, "version": source.version, "description": _first_line(source)},
            "cells": [cell_facts(cell, self._known_aus[cell.driver.name]) for cell in self.cells],
            "methods": [
                row_facts(
                    row, [(job.cell, records[job.key]) for job in self.jobs if job.row is row and job.key in records]
                )
                | {"unused": row.unused(self.cells), "people_known": sorted(set(row.seen.get("people", ())))}
                | seen_facts(row, self.cells)
                for row in self.rows
            ],
            "metrics": [scoring.metric_facts(metric) for metric in self.scorer.metrics],
        }

    def _finish(self, records: dict[str, CellRecord], failures: list[str], key: str | None) -> bool:
        """Write run.json, marked as finished, unless it already has the same content; return whether it was written."""
        facts = {**self._facts(records), "finished": True, "failures": failures, "key": key}
        facts["missing"] = self._not_supplied(records)
        facts = json.loads(json.dumps(facts, allow_nan=False))
        before = read_json(self.folder / "run.json")
        if before is not None and _lasting(before) == _lasting(facts):
            return False
        write_json(self.folder / "run.json", facts)
        return True


def _first_line(thing: object) -> str:
    return (inspect.getdoc(type(thing)) or "").partition("\n")[0]


def _lasting(facts: dict[str, Any]) -> dict[str, Any]:
    origin = {name: value for name, value in facts.get("provenance", {}).items() if name not in FLEETING}
    return {**facts, "provenance": origin}


def keep_inputs(run: Path, cells: Sequence[Cell]) -> None:
    """Put what the report shows besides the outputs into the run: drivers, truths and templates."""
    (run / "inputs" / "templates").mkdir(parents=True, exist_ok=True)
    for name, driver in by_name(cell.driver for cell in cells).items():
        if not driver.problem:
            _keep_clip(driver, run / "inputs" / "drivers" / name)
    for cell in cells:
        if cell.truth and not cell.truth.problem:
            _keep_clip(cell.truth, run / "inputs" / "truth" / cell.name)
    for name, template in by_name(cell.template for cell in cells).items():
        _keep_picture(template.image, run / "inputs" / "templates" / f"{name}.png")


def by_name(things: Iterable[Named]) -> dict[str, Named]:
    """Return the distinct drivers or templates of many cells, by name."""
    return {thing.name: thing for thing in things}


def _keep_clip(clip: Clip, target: Path) -> None:
    kept = load_clip(target)
    if kept is None or kept.facts() != clip.facts():
        link_folder(clip.folder / "frames", target / "frames")
        files = sorted((target / "frames").iterdir())
        keep_facts(target, clip, {f"frames/{path.name}": file_facts(path) for path in files})


def _keep_picture(image: Frames, target: Path) -> None:
    if not target.is_file() or target.read_bytes() != encode_png(image):
        write_png(target, image)


def forget_others(run: Path, jobs: Sequence[Job]) -> int:
    """Remove the cells whose row or name is no longer requested; return the number of cells removed."""
    wanted = {cell_folder(run, job) for job in jobs}
    stale = [folder for folder in (run / "cells").glob("*/*") if folder not in wanted]
    for folder in stale:
        discard(folder)
        partial = run / "partials" / folder.parent.name / f"{folder.name}.json"
        partial.unlink(missing_ok=True)
    for row in (run / "cells").glob("*"):
        if not any(row.iterdir()):
            shutil.rmtree(row)
    return sum(
        not folder.name.startswith(".") for folder in stale
    )  # not counting folders that a killed process left incomplete


def row_facts(row: Row, done: Sequence[tuple[Cell, CellRecord]]) -> dict[str, Any]:
    """Return a row's facts for run.json.

    Marks, time and memory refer to the row's finished cells. Without any, time and memory are None.
    """
    finished = [(cell, record) for cell, record in done if record.status == "ok"]
    frames = sum(record.n_frames for _, record in finished)
    seconds = sum(record.seconds for _, record in finished)
    facts = {field: getattr(row, field) for field in ("label", "name", "variant", "is_control", "identity")}
    facts["purpose"] = getattr(row.maker, "purpose", "")
    facts["marks"] = row.marks_on([cell for cell, _ in finished])
    peaks = [record.peak_mb for _, record in finished if record.peak_mb is not None]
    facts["peak_mb"] = max(peaks, default=None)
    return {**facts, "seconds_per_frame": round(seconds / frames, 5) if frames else None}


def seen_facts(row: Row, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Return the drivers on which a row's model was trained, and other drivers that show people it was trained on."""
    clips, people = {without_camera(clip) for clip in row.seen.get("clips", ())}, set(row.seen.get("people", ()))
    drivers = by_name(cell.driver for cell in cells if cell.driver.recording)
    known = [name for name, driver in drivers.items() if without_camera(driver.recording) in clips]
    others = [name for name, driver in drivers.items() if name not in known and driver.person in people]
    return {"seen_drivers": known, "seen_people": others}


def cell_facts(cell: Cell, known_aus: dict[str, list[float]]) -> dict[str, Any]:
    """Return a cell's facts for run.json."""
    facts = cell.driver.facts()
    shared = ("database", "emotion", "subject", "fps", "n_frames", "onset_frame", "apex_frame", "offset_frame")
    return {
        "name": cell.name,
        "driver": cell.driver.name,
        "template": cell.template.name,
        **{name: facts[name] for name in (*shared, "action_units", "rendered", "colour", "face", "faces", "medium")},
        "has_truth": cell.truth is not None,
        "foil": cell.foil.name if cell.foil else "",
        "known_aus": known_aus,
    }


def _known_aus(clip: Clip) -> dict[str, list[float]]:
    """Return the intensities of a rendered clip's action units, frame by frame; {} for recordings."""
    known = None if clip.problem else clip.known()
    if known is None:
        return {}
    return {
        unit: np.round(curve, 4).tolist()
        for unit, curve in zip(known.action_units, known.au_intensity.T.astype(float), strict=True)
    }
