"""From cells to frames: run every method on every cell and store each result by the hash of all its inputs."""

from __future__ import annotations

import functools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from megbench.core.clip import Cell
from megbench.core.errors import BenchError, CellFailed, NotSupplied, plural
from megbench.core.files.cache import (
    CellRecord,
    digest,
    link_folder,
    read_cell,
    save_cell,
    save_failure,
    touch,
)
from megbench.core.files.hashes import states
from megbench.core.files.own_store import work_for
from megbench.core.frames import SIZE, Frames, check_frames
from megbench.core.peak_memory import forget_peak, peak_mb
from megbench.core.progress import track
from megbench.core.provenance import code_version, module_of, package_versions
from megbench.core.worker import Lane
from megbench.engine.dispatch import CELL_LIMIT_S, LOCAL, perform
from megbench.engine.plugins import check_method, check_options

# All processes share the memory of a GPU, and two of them are enough to keep it busy.
GPU_WORKERS = 2


def no_sources(cell: Cell) -> Sequence[Path]:
    """Return no files, for a method without `sources`."""
    return ()


def no_check(cell: Cell) -> None:
    """Accept every cell, for a method without `check`."""


def no_identity(cell: Cell) -> Mapping[str, Any]:
    """Return no facts, for a method without `identity_on`."""
    return {}


@dataclass(frozen=True)
class Row:
    """One row of the tables: a method or control as the user named it.

    label: the text as the user typed it, which is also the folder's name. maker: a function that creates the method or
    control, usually its class. identity: what determines its frames besides the inputs, including the versions of its
    code and of the packages that it uses. marks: warnings for readers of its scores, as short labels for the tables,
    each with a sentence. seen: the "clips" and "people" of databases on which it was trained, as returned by the
    method's function `seen()`, if it has one.
    sources: returns the files that the method reads for a cell besides the cell's clips. identity_on: returns what else
    determines the frames of that cell only. check: raises CellFailed for a cell that the method cannot animate, if this
    is known before anything is animated.
    """

    label: str
    name: str
    variant: str
    options: Mapping[str, str]
    maker: Callable[[str, Mapping[str, str]], Any]
    is_control: bool
    identity: Mapping[str, Any]
    marks: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sources: Callable[[Cell], Sequence[Path]] = no_sources
    identity_on: Callable[[Cell], Mapping[str, Any]] = no_identity
    check: Callable[[Cell], None] = no_check

    @classmethod
    def of(cls, label: str, name: str, variant: str, options: Mapping[str, str], maker: Any) -> Row:
        """Return a row, after creating the method once to learn its properties.

        Raise BenchError as the method does (for missing weights or invalid options).
        """
        check_options(name, maker, options)
        method = maker(variant, options)
        check_method(name, method)
        module = module_of(maker)
        versions = {"source": code_version(module), "packages": package_versions(module)}
        marks = dict(getattr(method, "marks", {}))
        seen = method.seen() if hasattr(method, "seen") else {}
        identity = {**method.identity(), **versions}
        made = cls(label, name, method.variant, options, maker, method.is_control, identity, marks, seen)
        wanted = ("sources", "identity_on", "check")
        return replace(made, **{what: getattr(method, what) for what in wanted if hasattr(method, what)})

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the method's functions: a worker creates its own method and computes no keys."""
        return {**vars(self), "sources": no_sources, "identity_on": no_identity, "check": no_check}

    def marks_on(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Return the row's marks, including those that depend on the files of single cells, here those of `cells`."""
        found = getattr(self.maker(self.variant, self.options), "marks_on", None)
        return {**self.marks, **(found(cells) if found else {})}

    def unused(self, cells: Sequence[Cell]) -> list[str]:
        """Return the names of the row's files that match none of `cells`; [] for a method without its own files."""
        if not hasattr(self.maker, "unused"):
            return []
        found: list[str] = self.maker(self.variant, self.options).unused(cells)
        return found


@dataclass(frozen=True)
class Settings:
    """The settings shared by all rows: store, device, seed, number of workers, engine and time limit of a cell."""

    store: Path
    device: str
    seed: int
    workers: int
    engine: str = LOCAL
    limit_s: float = CELL_LIMIT_S

    @property
    def processes(self) -> int:
        """The number of workers that animate at the same time."""
        return self.workers if self.device == "cpu" else min(self.workers, GPU_WORKERS)


@dataclass(frozen=True)
class Job:
    """One row on one cell, with the key of its frames."""

    row: Row
    cell: Cell
    key: str


def plan(rows: Sequence[Row], cells: Sequence[Cell], version: str, settings: Settings) -> list[Job]:
    """Return all jobs, row by row. Raise BenchError if two cells have the same name."""
    times = Counter(cell.name for cell in cells)
    if twice := [name for name, count in times.items() if count > 1]:
        raise BenchError(f"Several cells have the name {min(twice)!r}. Rename a driver or a template.")
    return [Job(row, cell, cell_key(row, cell, version, settings)) for row in rows for cell in cells]


def cell_key(row: Row, cell: Cell, version: str, settings: Settings) -> str:
    """Return the hash of everything that determines a cell's frames.

    A control receives more of the cell than a method does, so its key depends on more clips.
    """
    inputs: dict[str, Any] = {
        "driver": cell.driver.state(),
        "template": [cell.template.name, cell.template.content],
    }
    if row.is_control:
        others = {"reference": cell.reference, "truth": cell.truth, "foil": cell.foil}
        inputs |= {role: clip.state() if clip else None for role, clip in others.items()}
    inputs |= {"sources": states(row.sources(cell)), "identity": row.identity_on(cell)}
    shared = {"protocol": [cell.protocol, version], "seed": settings.seed, "size": SIZE, "device": settings.device}
    return digest({**shared, "inputs": inputs, "method": [row.name, row.variant, row.options, row.identity]})


def refusal(job: Job) -> CellRecord | None:
    """Return the record of a job that is impossible, or None if it may be possible.

    The record's status is "missing" if the user has not supplied the job's input, and "failed" otherwise.
    """
    if job.cell.problem:
        return CellRecord(job.key, "failed", job.cell.problem)
    try:
        job.row.check(job.cell)
    except NotSupplied as error:
        return CellRecord(job.key, "missing", str(error))
    except CellFailed as error:
        return CellRecord(job.key, "failed", str(error))
    return None


@dataclass(frozen=True)
class _Animator:
    """The work of a worker process that animates: it prepares each method once and does one cell after another."""

    rows: Sequence[Row]
    settings: Settings

    def __call__(self) -> Callable[[Job], CellRecord]:
        work_for(self.settings.store)
        rows = {row.label: row for row in self.rows}

        @functools.cache
        def made(label: str) -> Any:
            method = rows[label].maker(rows[label].variant, rows[label].options)
            make_ready(method, self.settings.device)
            return method

        if len(rows) == 1:
            made(*rows)  # reports a single row's preparation error once; several rows fail independently of each other

        def do(job: Job) -> CellRecord:
            # In the meantime, another run or a cluster worker that was lost afterwards may have made the cell.
            if done := read_cell(_store_folder(self.settings, job), job.key):
                return done
            method = made(job.row.label)
            seed_libraries(self.settings.seed, job.key)
            can_tell = forget_peak()
            start = time.perf_counter()
            frames = frames_of(method, job.cell)
            seconds, peak = time.perf_counter() - start, peak_mb() if can_tell else None
            _check_output(frames, job)
            return save_cell(_store_folder(self.settings, job), job.key, frames, seconds, peak)

        return do


def handed_the_cell(method: Any) -> bool:
    """Return whether a method (or its class) receives the whole cell, as a Control always does and a Method may."""
    return hasattr(method, "animate_cell")


def make_ready(method: Any, device: str) -> None:
    """Prepare a method for its first cell; a method that receives the whole cell needs no preparation."""
    if not handed_the_cell(method):
        method.prepare(device)


def frames_of(method: Any, cell: Cell) -> Frames:
    """Return the frames that a prepared method generates for a cell."""
    frames: Frames
    frames = method.animate_cell(cell) if handed_the_cell(method) else method.animate(cell.template, cell.driver)
    return frames


def seed_libraries(seed: int, key: str) -> None:
    """Seed the libraries' own random generators, so that third-party methods always draw the same numbers in a cell."""
    value = int(digest([seed, key])[:8], 16)
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(value)


def _check_output(frames: Frames, job: Job) -> None:
    check_frames(frames, f"Output of {job.row.label}")
    if len(frames) != job.cell.driver.n_frames:
        raise CellFailed(
            f"{job.row.label} returned {plural(len(frames), 'frame')}, but the driver has {job.cell.driver.n_frames}"
        )


def _store_folder(settings: Settings, job: Job) -> Path:
    return settings.store / "cells" / job.key


def cell_folder(run: Path, job: Job) -> Path:
    """Return the folder in which a run keeps a cell of a row."""
    return run / "cells" / job.row.label / job.cell.name


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    done: the records of finished jobs, by key. stored: the jobs whose records are only in the store. todo: the pending
    jobs.
    """

    done: dict[str, CellRecord]
    stored: list[Job]
    todo: list[Job]


def look_up(run: Path, jobs: Sequence[Job], settings: Settings) -> Progress:
    """Return which jobs are finished, in the run's folder or else in the store, and which are pending."""
    done: dict[str, CellRecord] = {}
    stored: list[Job] = []
    todo: list[Job] = []
    for job in track(jobs, "Checking finished cells", "cell"):
        record = read_cell(cell_folder(run, job), job.key)
        if record is None and (record := read_cell(_store_folder(settings, job), job.key)) is not None:
            stored.append(job)
        if record is None or record.retry:
            todo.append(job)
        else:
            done[job.key] = record
    return Progress(done, stored, todo)


def link_stored(run: Path, jobs: Sequence[Job], settings: Settings) -> None:
    """Link finished cells from the store into a run."""
    for job in track(jobs, "Linking finished cells", "cell"):
        touch(_store_folder(settings, job))
        link_folder(_store_folder(settings, job), cell_folder(run, job))


def animate(run: Path, jobs: Sequence[Job], settings: Settings) -> dict[str, CellRecord]:
    """Run the jobs in worker processes; link every result into the run's folder as it arrives.

    Return the records by key. A cell that cannot be animated has a record with the reason; no error is raised for it.
    """
    records: dict[str, CellRecord] = {}

    def failed(job: Job, record: CellRecord) -> None:
        records[job.key] = save_failure(cell_folder(run, job), record)

    refused = {job.key: record for job in jobs if (record := refusal(job))}
    for job in jobs:
        if job.key in refused:
            failed(job, refused[job.key])
    lanes = _lanes(settings, [job for job in jobs if job.key not in refused])
    for outcome in perform(lanes, settings.engine, settings.processes, "Animating", settings.limit_s):
        job = outcome.item
        if outcome.result is None:
            record = CellRecord(job.key, "failed", outcome.reason, retry=outcome.retry, traceback=outcome.traceback)
            failed(job, record)
        else:
            records[job.key] = outcome.result
            link_folder(_store_folder(settings, job), cell_folder(run, job))
    return records


def _lanes(settings: Settings, jobs: Sequence[Job]) -> list[Lane]:
    """Return a lane for each method and one for all controls.

    Controls need little memory and can therefore share processes. The cells of one driver form a batch, so that a
    method analyses the driver only once.
    """
    lanes: dict[str, dict[str, list[Job]]] = {}
    for job in jobs:
        lane = "" if handed_the_cell(job.row.maker) else job.row.label  # no row's label is empty
        lanes.setdefault(lane, {}).setdefault(job.cell.driver.name, []).append(job)
    return [
        Lane(label or "controls", _Animator(_rows_of(by_driver.values()), settings), list(by_driver.values()))
        for label, by_driver in lanes.items()
    ]


def _rows_of(groups: Iterable[Sequence[Job]]) -> list[Row]:
    return list({job.row.label: job.row for group in groups for job in group}.values())
