"""Estimate a run's work and duration (animating, measuring and making the page) from numbers of frames.

The time per frame is the one observed earlier with this store. If none has been observed, it is a time that was
measured once on one thread of another machine (docs/performance.md), scaled to this machine. The scale comes from a
fixed piece of work, which is timed on both machines.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from megbench.core.errors import few, plural
from megbench.core.files.cache import CellRecord, digest
from megbench.core.processors import usable
from megbench.core.progress import duration
from megbench.engine.run_folder import REPORT
from megbench.engine.runner import Job, Settings, refusal
from megbench.engine.scoring import Scorer, lacking
from megbench.engine.speeds import keep_speeds, known_speeds, measuring

# Processor seconds per frame, by method and by the width of the network that renders the frames. A width of 64 is the
# published one; the others are those of the demo weights.
NETWORKS: Mapping[str, Mapping[int, float]] = {
    "fomm": {16: 0.062, 64: 0.55},
    "fpfomm": {16: 0.066, 64: 0.55},
    "mraa": {16: 0.079},
    "tps": {16: 0.223},
    "ulmegan": {32: 0.058},
}
PUBLISHED = 64
# Processor seconds per frame of rows without networks.
PLAIN: Mapping[str, float] = {
    **{"flow_warp": 0.017, "apex_ramp": 0.006, "reversed": 0.006, "wrong_driver": 0.015, "rigid": 0.005},
    **{"still": 0.0, "still_noise": 0.002, "ceiling": 0.001, "truth": 0.001},
}
# Seconds per frame to magnify the motion in a driver and, afterwards, to reduce the motion in the output.
MAGNIFYING_S = 0.06
# Seconds per frame to steady a driver. A driver is steadied once for all its templates, so this is an upper limit.
STEADYING_S = 0.02
# Seconds to write a frame of any row and to link it into the run.
KEEPING_S = 0.003
# Seconds to measure a frame of an output with the default metrics, and seconds to analyse a frame of a driver or truth
# for the first time.
SCORING_S, SEEING_S = 0.014, 0.008
# The metrics to which SCORING_S applies.
SCORED = (
    *("motion_agreement", "true_flow", "au_flow", "identity_distance", "face_distance"),
    *("akd", "fidelity", "flicker", "sharpness", "counts"),
)
# Seconds to encode a frame of a clip for the page.
CODING_S = 0.006
# Seconds to start a worker process, including the import of its libraries.
START_S = 3.0
# The machine on which these times were measured, and the seconds that the fixed piece of work takes there (see `pace`).
MEASURED_ON = "two idle cores of an AMD EPYC"
PACE_S = 0.013


@dataclass(frozen=True)
class Work:
    """The remaining work of a run: cells to animate, outputs to measure, and frames to encode for the page."""

    animate: Sequence[Job]
    measure: Sequence[Job]
    page_frames: int


@dataclass(frozen=True)
class Estimate:
    """The seconds that each stage takes with all workers on an otherwise idle machine.

    untimed: rows and stages that have not yet been timed with this store; times from another machine are used for them.
    unknown: rows and metrics for which there is no time at all; they are not included.
    """

    animate: float
    measure: float
    page: float
    untimed: Sequence[str]
    unknown: Sequence[str]

    def basis(self) -> list[str]:
        """Return lines that say on what the estimate is based and what it leaves out."""
        lines = []
        if self.untimed:
            lines.append(
                f"Not yet timed here: {few(self.untimed)}. The estimate uses times measured on {MEASURED_ON}, scaled to"
                " this processor; if other programs are running, it takes longer."
            )
        if self.unknown:
            lines.append(
                f"Not included in the estimate, because not yet timed on this machine: {', '.join(self.unknown)}"
            )
        return lines


def work_left(folder: Path, jobs: Sequence[Job], todo: Sequence[Job], media_all: bool) -> Work:
    """Return the work that remains for the jobs of a run. todo: those of the jobs that are not animated yet."""
    animate = [job for job in todo if not refusal(job)]
    measure = to_measure(folder, jobs, animate)
    page = _page_frames(jobs, media_all) if measure or not (folder / REPORT).exists() else 0
    return Work(animate, measure, page)


def to_measure(folder: Path, jobs: Sequence[Job], todo: Sequence[Job]) -> list[Job]:
    """Return the jobs to be measured: those in `todo`, and those without partial scores in the run's folder.

    Jobs that cannot be animated are left out.
    """
    keys = {job.key for job in todo}

    def done(job: Job) -> bool:
        return job.key not in keys and (folder / "partials" / job.row.label / f"{job.cell.name}.json").exists()

    return [job for job in jobs if not refusal(job) and not done(job)]


def _page_frames(jobs: Sequence[Job], media_all: bool) -> int:
    """Return the number of frames in the page's clips.

    Inputs and methods appear in all cells; controls appear in the first two or, with `media_all`, in all.
    """
    cells = list(dict.fromkeys(job.cell.name for job in jobs))
    with_controls = cells if media_all else cells[:2]
    shown = [job for job in jobs if not job.row.is_control or job.cell.name in with_controls]
    return sum(job.cell.driver.n_frames for job in shown) + _input_frames(jobs)


def _input_frames(jobs: Sequence[Job]) -> int:
    """Return the number of frames in the drivers and truths of some jobs, counting each clip once."""
    clips = (clip for job in jobs for clip in (job.cell.driver, job.cell.truth) if clip)
    return sum({clip.content: clip.n_frames for clip in clips}.values())


def remember(jobs: Sequence[Job], records: Mapping[str, CellRecord], settings: Settings) -> None:
    """Store the seconds per frame of the jobs that were just animated."""
    done = [(job, records[job.key]) for job in jobs]
    speeds = {_row(job, settings): made.seconds / made.n_frames for job, made in done if made.status == "ok"}
    keep_speeds(settings.store, speeds)


def frames_of(jobs: Sequence[Job]) -> int:
    """Return the number of frames in the outputs of some jobs."""
    return sum(job.cell.driver.n_frames for job in jobs)


def _row(job: Job, settings: Settings) -> str:
    return digest([job.row.name, job.row.identity, settings.device])


def _parallel(settings: Settings) -> int:
    return min(settings.workers, usable())


def pace() -> float:
    """Return how many processor seconds a fixed piece of work takes here on one thread: the minimum of eight trials."""
    values = np.linspace(0, 1, 512 * 512).reshape(512, 512) ** 2
    found = []
    for _ in range(8):
        began = time.process_time()
        np.fft.irfft2(np.fft.rfft2(values))
        np.sort(np.sin(1e4 * values), axis=1)
        found.append(time.process_time() - began)
    return min(found)


def estimate(work: Work, scorer: Scorer, settings: Settings, pace_s: float) -> Estimate:
    """Return how long the work takes. pace_s: the result of `pace` on this machine."""
    speeds, slower = known_speeds(settings.store), pace_s / PACE_S
    untimed: dict[str, None] = {}
    unknown: dict[str, None] = {}
    animate = 0.0
    for job in work.animate:
        seconds = speeds.get(_row(job, settings))
        if seconds is None:
            usual = _usual(job, settings)
            seconds = None if usual is None else usual * slower
            (unknown if usual is None else untimed)[job.row.label] = None
        animate += ((seconds or 0.0) + KEEPING_S * slower) * job.cell.driver.n_frames
    frames = frames_of(work.measure)
    able = [make().name for make in scorer.metrics if not lacking(make)]
    if (known := speeds.get(measuring(able))) is not None:
        measure = known * frames
    else:
        measure = (SCORING_S * frames + SEEING_S * _input_frames(work.measure)) * slower if able else 0.0
        untimed |= {"measuring": None} if work.measure and able else {}
        unknown |= dict.fromkeys(name for name in able if name not in SCORED)
    page = CODING_S * slower * work.page_frames
    # Every lane is set up at least once: one per method, one for the controls, and one for measuring.
    lanes = {job.row.is_control or job.row.label for job in work.animate}
    animate += START_S * slower * max(len(lanes), settings.processes if lanes else 0)
    measure += START_S * slower * (settings.workers if work.measure else 0)
    parallel = _parallel(settings)
    return Estimate(
        animate / min(parallel, settings.processes), measure / parallel, page / parallel, list(untimed), list(unknown)
    )


def _usual(job: Job, settings: Settings) -> float | None:
    """Return the seconds per frame that were measured once for a row of this kind, or None if there are none."""
    own, identity = _of_method(job, settings), job.row.identity
    if own is None:
        return None
    return own + MAGNIFYING_S * ("magnify" in identity) + STEADYING_S * bool(identity.get("steadied"))


def _of_method(job: Job, settings: Settings) -> float | None:
    """Return the seconds per frame of a row's method alone, without wrappers such as magnification."""
    name = job.row.name
    if name in PLAIN:
        return PLAIN[name]
    width = _width(job.row.identity.get("config"))
    if name not in NETWORKS or width is None or settings.device != "cpu":
        return None
    if width in NETWORKS[name]:
        return NETWORKS[name][width]
    if len(NETWORKS[name]) < 2:
        return None
    (narrow, less), (wide, more) = sorted(NETWORKS[name].items())
    power = np.log(more / less) / np.log(wide / narrow)
    return float(less * (width / narrow) ** power)


def _width(config: Any) -> int | None:
    """Return the number of channels in the first layer of the rendering network, or None if it is unknown."""
    if config == "published":
        return PUBLISHED
    if not isinstance(config, dict):
        return None
    parts = (config.get("generator"), config.get("inpainting"))
    painter = next((part for part in parts if isinstance(part, dict)), {"block_expansion": config.get("width")})
    width = painter.get("block_expansion")
    return width if isinstance(width, int) else None


def forecast(jobs: Sequence[Job], work: Work, scorer: Scorer, settings: Settings) -> str:
    """Return what a dry run prints: the cells, what is cached, and how long the rest takes."""
    cells = {job.cell.name: job.cell for job in jobs}
    missing = [job.row.label for job in [*work.animate, *filter(refusal, jobs)]]
    lines = [f"{plural(len(cells), 'cell')}:"]
    for cell in cells.values():
        lines.append(
            f"  {cell.name}  "
            + (f"cannot be done: {cell.problem}" if cell.problem else plural(cell.driver.n_frames, "frame"))
        )
    lines.append("Cached:")
    for label in dict.fromkeys(job.row.label for job in jobs):
        lines.append(f"  {label}: {len(cells) - missing.count(label)} of {plural(len(cells), 'cell')}")
    return "\n".join([*lines, outlook(work, scorer, settings)])


def outlook(work: Work, scorer: Scorer, settings: Settings) -> str:
    """Return, as text, how much remains to be animated and measured, and roughly how long this takes."""
    found = estimate(work, scorer, settings, pace())
    total = found.animate + found.measure + found.page
    stages = (
        f"animating {duration(found.animate)}, measuring {duration(found.measure)}, the page {duration(found.page)}"
    )
    about = "At least" if found.unknown else "About"
    told = (
        f"To animate: {plural(len(work.animate), 'cell')}; to measure: {plural(len(work.measure), 'output')}. {about}"
        f" {duration(total)} with {plural(settings.workers, 'worker')}: {stages}."
    )
    return "\n".join([told, *found.basis()])
