"""Prepare a database: convert its clips to a store that training can read without decoding pictures again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from megbench.clips.databases.survey import Survey
from megbench.clips.folder import PREPARATION, Recording, cut_frames, mention_clips
from megbench.clips.synthetic.parallel import in_parallel
from megbench.core.clip import without_camera
from megbench.core.errors import BenchError, plural
from megbench.core.files.cache import digest, discard, whole_folder, write_text
from megbench.core.files.folder_lock import CLIP_STORE, locked_folder
from megbench.core.files.hashes import file_hash
from megbench.core.frames import grey, is_grey
from megbench.core.installation import COMMAND
from megbench.core.prepared_clips import (
    CLIP,
    FRAMES,
    STORE,
    VERSION,
    ClipStore,
    StoredClip,
    StoreFacts,
    read_facts,
    whole,
)
from megbench.core.processors import usable
from megbench.core.progress import duration, note
from megbench.core.video import medium_of
from megbench.faces.landmarks import Points, landmarks

# "recorded": colours are unchanged. "luma": grey. "swapped": grey as in the published preparation, which swaps red and
# blue.
Colour = Literal["recorded", "luma", "swapped"]
# For estimates: the processor seconds that it takes to load the face detector, to find a clip's face and to process a
# frame of 640 x 480.
START_S, CLIP_S, FRAME_S = 3.0, 0.25, 0.006
# A function from the 68 landmarks to the 18 points.
Pick = Callable[[Points], Points]


@dataclass(frozen=True)
class Task:
    """A clip that is to be prepared and stored in `place`. key: see `_task`."""

    recording: Recording
    place: Path
    key: str
    colour: Colour
    driver_of: str
    pick: Pick


def prepare(
    survey: Survey, out: Path, pick: Pick, drivers: Collection[str], challenge: str, colour: Colour, workers: int
) -> ClipStore:
    """Prepare all usable clips of a database, write them to the store `out` and return the store.

    Clips that are already finished are kept. Clips that cannot be read, or whose first frame shows no face, are listed
    in the store with the reason. If another process is preparing clips in `out`, wait for it.

    pick: returns the 18 points for 68 landmarks. drivers: recordings that `challenge` uses as drivers. workers: the
    number of processes; 0 means one per core. Raise BenchError if no clip can be used, or if `out` exists and is not a
    clip store.
    """
    tasks = [_task(clip.recording, out, pick, drivers, challenge, colour) for clip in survey.usable]
    with locked_folder(out, CLIP_STORE, wait=True):
        for half_done in [*out.glob(".*.tmp"), *out.glob(".*.old")]:
            discard(half_done)
        left_out = {clip.recording.name: clip.problem for clip in survey.clips if clip.problem}
        waiting = [task for task in tasks if not _finished(task)]
        stale = {place.parent for place in out.glob(f"*/{CLIP}")} - {task.place for task in tasks}
        before = _left_out_before(out)
        # The store's facts are removed only if its clips change, because other processes may be reading them.
        if stale or any(task.recording.name not in before for task in waiting):
            (out / STORE).unlink(missing_ok=True)
        for folder in stale:
            discard(folder)
        if waiting:
            _announce(survey.database, waiting, len(tasks), out, workers or usable())
        problems = in_parallel(_prepare, waiting, f"Preparing {survey.database}", workers=workers)
        left_out |= {task.recording.name: why for task, why in zip(waiting, problems, strict=True) if why}
        if len(left_out) == len(survey.clips):
            first = next((f" {name}: {why}." for name, why in left_out.items()), "")
            raise BenchError(f"No clip of {survey.database} can be used.{first} For details, run `{COMMAND} validate`.")
        names = [task.recording.name for task in tasks if task.recording.name not in left_out]
        facts = StoreFacts(
            version=VERSION,
            database=survey.database,
            colour=colour,
            source=survey.source,
            corrected=survey.corrected,
            clips={name: file_hash(out / name / CLIP) for name in names},
            left_out=left_out,
        )
        text = facts.model_dump_json(indent=1)
        if not (out / STORE).is_file() or (out / STORE).read_text() != text:
            write_text(out / STORE, text)
    store = ClipStore(out)
    mention_clips(store.clips)
    return store


def _task(
    recording: Recording, out: Path, pick: Pick, drivers: Collection[str], challenge: str, colour: Colour
) -> Task:
    """Return the task for one clip.

    Its key depends on the names, sizes and modification times of its files, not on their contents.
    """
    driver_of = challenge if without_camera(recording.recording) in drivers else ""
    files = [[file.name, (stat := file.stat()).st_size, stat.st_mtime_ns] for file in recording.pictures()]
    key = digest([VERSION, PREPARATION, recording.facts(), colour, driver_of, files])
    return Task(recording, out / recording.name, key, colour, driver_of, pick)


def _announce(database: str, waiting: Collection[Task], wanted: int, out: Path, workers: int) -> None:
    """Print what will be prepared and how long it will take.

    The time is left out if there are videos, because their frames have not been counted.
    """
    frames = sum(len(task.recording.files) for task in waiting)
    many = f"{plural(len(waiting), 'clip')} of {database}"
    done = f" ({wanted - len(waiting)} more are already prepared)" if len(waiting) < wanted else ""
    pictures = f", {plural(frames, 'picture')}," if frames else ""
    time = ""
    if all(task.recording.files for task in waiting):
        seconds = START_S + (len(waiting) * CLIP_S + frames * FRAME_S) / min(workers, len(waiting))
        time = f" On an otherwise idle machine, this takes about {duration(seconds)} (not timed here)."
    note(f"preparing {many}{done}{pictures} into {out}.{time}")


def _left_out_before(out: Path) -> Collection[str]:
    """Return the names of the clips that an earlier call could not use.

    They are tried again, which does not affect the other clips.
    """
    try:
        return read_facts(out / STORE, StoreFacts).left_out
    except BenchError:
        return ()


def _finished(task: Task) -> bool:
    try:
        clip = read_facts(task.place / CLIP, StoredClip)
    except BenchError:
        return False
    return clip.key == task.key and whole(task.place, clip)


def _prepare(task: Task) -> str:
    """Prepare one clip. Return the reason why it cannot be prepared, or "" on success."""
    recording = task.recording
    try:
        frames, framing = cut_frames(recording)
        if task.colour != "recorded":
            frames = np.repeat(grey(frames if task.colour == "luma" else frames[..., ::-1])[..., None], 3, axis=-1)
        found = landmarks(grey(frames[:1])[0], f"the first frame of {recording.path}, cropped to the face")
    except BenchError as error:
        return str(error)
    colour: Literal["rgb", "grey"] = "grey" if is_grey(frames) else "rgb"
    for mark in ("onset", "apex", "offset"):
        at = getattr(recording, f"{mark}_frame")
        if at is not None and at >= len(frames):
            return f"its {mark} {at} is after its last frame, {len(frames) - 1}"
    with whole_folder(task.place) as temporary:
        np.save(temporary / FRAMES, frames[..., 0] if colour == "grey" else frames)
        clip = StoredClip(
            key=task.key,
            **recording.facts(),
            n_frames=len(frames),
            medium=medium_of(recording.path),
            box=framing.box,
            faces=framing.widths,
            colour=colour,
            driver_of=task.driver_of,
            landmarks=_pairs(found),
            points=_pairs(task.pick(found)),
            size=(temporary / FRAMES).stat().st_size,
            blake2b=file_hash(temporary / FRAMES),
        )
        write_text(temporary / CLIP, clip.model_dump_json(indent=1))
    return ""


def _pairs(points: Points) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)
