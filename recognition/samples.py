"""The training data of a recogniser: clips of prepared databases, each with a flow picture, an emotion and a person."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s
from megbench.core.errors import BenchError, few
from megbench.core.frames import grey
from megbench.core.prepared_clips import FRAMES, ClipStore, StoredClip
from megbench.faces.landmarks import Grey
from megbench.recognition.classes import classes
from megbench.recognition.moments import Measured, Moment, guessed_notes, measure, why_guessed


@dataclass(frozen=True, eq=False)
class Sample:
    """One clip.

    emotion: in the database's words.
    person, clip: for example "smic/s11" and "smic/s11_ne_02".
    picture: u, v, strain (3, 28, 28) float32 (megbench.recognition.flow_picture).
    onset, apex: frame numbers.
    apex_coded: whether the apex was coded; if not, it is the frame with the largest motion.
    pixels: hashes of both frames after conversion to grey.
    """

    database: str
    person: str
    clip: str
    emotion: str
    picture: Float32s
    onset: int
    apex: int
    apex_coded: bool
    pixels: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples with their classes: the training data of recognisers.

    pictures: (N, 3, 28, 28) float32. labels: (N,), indices into `classes`. notes: remarks on the samples for the
    reader.
    """

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    notes: tuple[str, ...] = field(default=())

    @functools.cached_property
    def pictures(self) -> Float32s:
        """All pictures, (N, 3, 28, 28) float32."""
        return np.stack([sample.picture for sample in self.samples])

    @property
    def people(self) -> tuple[str, ...]:
        """The person in each sample."""
        return tuple(sample.person for sample in self.samples)


def stored_samples(
    folders: Iterable[Path], cache: Path | None = None, workers: int = 1
) -> tuple[list[Sample], list[str]]:
    """Return the clips of prepared databases as samples, and notes on clips that are left out or have no coded apex.

    cache: the folder in which measurements are stored. workers: the number of processes; 0 means one per processor.
    Raise BenchError if a folder is not a finished store, or if no clip can be used.
    """
    found: list[Sample] = []
    notes: list[str] = []
    for folder in folders:
        store = ClipStore(folder)
        moments = [_moment(store, clip) for clip in store.clips]
        results = measure(moments, cache, f"Flow of {store.facts.database}", workers)
        pairs = list(zip(store.clips, results, strict=True))
        found += [_sample(clip, result) for clip, result in pairs if isinstance(result, Measured)]
        notes += _notes(store, pairs)
    if not found:
        raise BenchError(f"No clip can be used for training: {notes[0] if notes else 'no store was given'}.")
    return found, notes


def labelled(samples: Sequence[Sample], scheme: str, notes: Sequence[str] = ()) -> Labelled:
    """Return the samples that have a class in `scheme` ("megc2019" or "own"). A note states how many have none.

    Raise BenchError if there are fewer than two classes.
    """
    class_of = classes(scheme)
    named = [(sample, name) for sample in samples if (name := class_of(sample.database, sample.emotion))]
    present = sorted({name for _, name in named})
    left = sorted({sample.emotion for sample in samples if class_of(sample.database, sample.emotion) is None})
    told = [*notes]
    if left:
        count = len(samples) - len(named)
        told.append(f"clips with an emotion outside the classes: {count} of {len(samples)} ({few(left)})")
    if len(present) < 2:
        raise BenchError(
            f"The clips show {few(present) if present else 'none of the classes'}; a recogniser needs at least two"
            " classes. Pass more databases, or --classes own."
        )
    places = np.array([present.index(name) for _, name in named], np.int64)
    return Labelled(tuple(sample for sample, _ in named), tuple(present), places, tuple(told))


def _moment(store: ClipStore, clip: StoredClip) -> Moment:
    onset = clip.onset_frame or 0
    points = np.array(clip.landmarks, np.float64) if onset == 0 else None
    read: Callable[[int], Grey] = functools.partial(_stored_frame, store.folder / clip.name / FRAMES)
    return Moment(clip.recording, clip.blake2b, read, clip.n_frames, onset, clip.apex_frame, points)


def _stored_frame(path: Path, index: int) -> Grey:
    frame = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False)[index], np.uint8)
    return frame if frame.ndim == 2 else grey(frame[None])[0]


def _sample(clip: StoredClip, found: Measured) -> Sample:
    return Sample(
        clip.database,
        clip.person,
        clip.recording,
        clip.emotion,
        found.picture,
        clip.onset_frame or 0,
        found.apex,
        clip.apex_frame == found.apex,
        found.pixels,
    )


def _notes(store: ClipStore, pairs: Sequence[tuple[StoredClip, Measured | str]]) -> list[str]:
    """Return notes on one store: clips that cannot be used, and apexes that are not coded."""
    database, many = store.facts.database, len(pairs)
    lost = [result for _, result in pairs if isinstance(result, str)]
    whys = [
        why_guessed(clip.onset_frame or 0, clip.apex_frame, clip.n_frames) if isinstance(result, Measured) else ""
        for clip, result in pairs
    ]
    lines = [f"{database}: {len(lost)} of {many} clips cannot be used ({few(lost, 2)})"] if lost else []
    return [*lines, *(f"{database}: {line}" for line in guessed_notes(whys, "clips"))]
