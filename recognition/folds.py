"""Leave-one-person-out folds: each person is held out in turn, together with every clip that shows that person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError, few
from megbench.recognition.samples import Labelled

Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Folds:
    """The folds of leave-one-subject-out cross-validation.

    people: the person held out by each of the F folds, such as "casme2/sub01". fold_of: (N,), the fold that is tested
    on each sample. training: (F, N) bool, the samples on which each fold is trained. notes: remarks for the reader.
    """

    people: tuple[str, ...]
    fold_of: Places
    training: Flags
    notes: tuple[str, ...] = ()


def leave_one_out(data: Labelled) -> Folds:
    """Return a fold for each person. People who share a frame with identical pixels are held out together.

    Raise BenchError if there are fewer than two people.
    """
    groups = _groups(data.people, [sample.pixels for sample in data.samples])
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        people = sorted(set(data.people))
        who = "person" if len(people) == 1 else "people who share frames"
        raise BenchError(
            f"The clips show {len(people)} {who} ({few(people)});"
            " leaving one person out requires at least two people. Pass more clips."
        )
    fold_of = np.array([names.index(name) for name in groups], np.int64)
    training = np.arange(len(names))[:, None] != fold_of
    return Folds(tuple(names), fold_of, training, tuple(_notes(data, names, fold_of, training)))


def may_learn(data: Labelled, people: Collection[str], pixels: Collection[str]) -> Flags:
    """Return a mask (N,) of the samples that may be used to train a recogniser without these people and frames.

    If one of these frames occurs in a clip, all clips of that clip's person are excluded, whatever the person is
    called.
    """
    groups = _groups(data.people, [sample.pixels for sample in data.samples])
    known = zip(data.samples, groups, strict=True)
    banned = {group for one, group in known if one.person in people or not set(pixels).isdisjoint(one.pixels)}
    return np.array([group not in banned for group in groups], bool)


def _groups(people: Sequence[str], pixels: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the first person of each sample's group. People who share frames, directly or through others, form a
    group."""
    leader = {name: name for name in people}

    def first(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    seen: dict[str, str] = {}
    for name, frame in ((name, frame) for name, frames in zip(people, pixels, strict=True) for frame in frames):
        if (other := seen.setdefault(frame, name)) != name:
            one, two = sorted((first(other), first(name)))
            leader[two] = one
    return [first(name) for name in people]


def _notes(data: Labelled, names: Sequence[str], fold_of: Places, training: Flags) -> list[str]:
    people = sorted(set(data.people))
    lines = [*data.notes]
    if len(names) < len(people):
        merged = sorted(set(people) - set(names))
        lines.append(f"{few(merged)} share a frame with another person; people who share frames are held out together")
    lacking = [name for name, row in zip(names, training, strict=True) if _lost(data, row)]
    if lacking:
        lines.append(
            f"folds trained without a class that only the held-out person shows: {len(lacking)} of {len(names)}"
            f" ({few(lacking, 3)})"
        )
    single = int((np.bincount(fold_of) == 1).sum())
    if single:
        lines.append(f"people with only one clip: {single} of {len(names)}")
    return lines


def _lost(data: Labelled, row: Flags) -> bool:
    return len(np.unique(data.labels[row])) < len(data.classes)
