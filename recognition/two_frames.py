"""Clips of two frames, onset and apex. Recognisers read only these two frames, so no others are animated."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from megbench.clips.synthetic.parallel import in_parallel
from megbench.core.clip import Clip, Template, load_clip, save_clip
from megbench.core.files.cache import digest, touch, whole_folder
from megbench.core.frames import Frames
from megbench.core.prepared_clips import ClipStore, StoredClip, three_channels
from megbench.recognition.rendered import Shown, expressions, two_frames
from megbench.recognition.samples import Sample

# The facts of a database about a clip that hold whichever of its frames are used.
FACTS = (
    "database",
    "subject",
    "emotion",
    "fps",
    "action_units",
    "box",
    "colour",
    "recording",
    "face",
    "faces",
    "medium",
)


@dataclass(frozen=True)
class Origin:
    """The source of a sample's frames.

    key: a hash of everything that determines the frames. read: returns two frames, in RGB. facts: facts about the clip,
    keyed by field of megbench.core.clip.Clip.
    """

    key: str
    read: Callable[[int, int], Frames]
    facts: Mapping[str, Any] = field(default_factory=dict)


def stored_origins(folders: Iterable[Path]) -> dict[str, Origin]:
    """Return the origins of the clips in prepared databases, keyed by the clips' names in samples."""
    found: dict[str, Origin] = {}
    for store in map(ClipStore, folders):
        for clip in store.clips:
            facts = {name: getattr(clip, name) for name in FACTS}
            found[clip.recording] = Origin(digest(clip.model_dump()), functools.partial(_stored, store, clip), facts)
    return found


def rendered_origins(people: int) -> dict[str, Origin]:
    """Return the origins of rendered people's expressions, keyed by the clips' names in samples."""

    def facts(shown: Shown) -> dict[str, Any]:
        person = shown.person.partition("/")
        return {"database": person[0], "subject": person[2], "emotion": shown.emotion, "colour": shown.colour}

    return {one.name: Origin(one.key(), functools.partial(_rendered, one), facts(one)) for one in expressions(people)}


def as_drivers(samples: Sequence[Sample], origins: Mapping[str, Origin], cache: Path, workers: int) -> list[Clip]:
    """Return samples as clips of two frames, onset and apex, stored in `cache`.

    origins: keyed by the clips' names in samples. A rendered clip counts as a recording: its motion is not passed to
    any method. workers: the number of processes; 0 means one per processor.
    """
    tasks = [_Task(origins[one.clip], one.clip, one.onset, one.apex, cache) for one in samples]
    found = {place: clip for place, task in enumerate(tasks) if (clip := load_clip(task.folder))}
    waiting = [place for place in range(len(tasks)) if place not in found]
    made = in_parallel(_made, [tasks[place] for place in waiting], "Onset and apex", workers=workers)
    found |= dict(zip(waiting, made, strict=True))
    for task in tasks:
        touch(task.folder)
    return [found[place] for place in range(len(tasks))]


@dataclass(frozen=True)
class _Task:
    """A clip of two frames to be created."""

    origin: Origin
    name: str
    onset: int
    apex: int
    cache: Path

    @property
    def folder(self) -> Path:
        """The folder in which the clip is stored, named by a hash of everything that determines the clip."""
        return self.cache / digest(["onset and apex", self.origin.key, self.name, self.onset, self.apex])


def _made(task: _Task) -> Clip:
    facts = {**task.origin.facts, "name": task.name.replace("/", "."), "onset_frame": 0, "apex_frame": 1}
    with whole_folder(task.folder, load_clip) as temporary:
        blank = Clip(folder=temporary, n_frames=2, content="", **facts)
        clip = save_clip(temporary, blank, task.origin.read(task.onset, task.apex))
    return dataclasses.replace(clip, folder=task.folder)


def as_template(clip: Clip) -> Template:
    """Return a clip's onset as a template."""
    return Template.of(clip.name, clip.person, clip.frames()[0])


def _stored(store: ClipStore, clip: StoredClip, onset: int, apex: int) -> Frames:
    return np.ascontiguousarray(three_channels(store.frames(clip)[[onset, apex]]))


def _rendered(shown: Shown, onset: int, apex: int) -> Frames:
    return two_frames(shown)[[onset, apex]]
