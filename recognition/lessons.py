"""Train and predict in one fold, which sees no pictures of the held-out person except the test pictures."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from megbench.core.clip import Float32s
from megbench.core.files.cache import digest
from megbench.core.files.whole_files import whole_file
from megbench.core.provenance import recipe
from megbench.recognition.folds import Flags, Places
from megbench.recognition.recogniser import Answers, Recogniser
from megbench.recognition.ststnet import StstNet, cut


@dataclass(frozen=True, eq=False)
class Lesson:
    """The input to one fold.

    pictures: (n, 3, 28, 28), with labels (n,), the complete training set. asked: (m, 3, 28, 28), the test pictures.
    true: (m,), the classes of the test pictures. Of all predictions, only `Learnt.habit` depends on these classes.
    """

    pictures: Float32s
    labels: Places
    asked: Float32s
    true: Places
    n_classes: int

    def key(self, recogniser: Recogniser) -> str:
        """Return the content key of this lesson for a recogniser."""
        state = hashlib.blake2b(digest_size=16)
        for array in (self.pictures, self.labels, self.asked, self.true):
            state.update(str(array.shape).encode())
            state.update(np.ascontiguousarray(array).data)
        settings = [recogniser.name, dataclasses.asdict(recogniser)]  # type: ignore[call-overload]
        return digest([recipe(__name__), settings, self.n_classes, state.hexdigest()])


@dataclass(frozen=True)
class Learnt:
    """The output of one fold.

    answers: (S, m), the predictions for S seeds, each after the last epoch. habit: the predictions of the best test
    epoch, or None for recognisers without epochs. The choice of that epoch is a leak, because it depends on the very
    predictions that are to be scored; `habit` is reported as a leak and used for nothing else.
    """

    answers: tuple[tuple[int, ...], ...]
    habit: tuple[tuple[int, ...], ...] | None


def learn(recogniser: Recogniser, lesson: Lesson) -> Learnt:
    """Train a recogniser on a lesson and return its predictions for the test pictures."""
    if isinstance(recogniser, StstNet):
        pairs = [_epochs(recogniser, lesson, seed) for seed in recogniser.seeds]
        return Learnt(_rows(np.stack([last for last, _ in pairs])), _rows(np.stack([best for _, best in pairs])))
    everything = np.ones((1, len(lesson.labels)), bool)
    fold_of = np.zeros(len(lesson.asked), np.int64)
    found = recogniser.answers(lesson.pictures, lesson.labels, everything, lesson.asked, fold_of, lesson.n_classes)
    return Learnt(_rows(found), None)


def _epochs(recogniser: StstNet, lesson: Lesson, seed: int) -> tuple[Answers, Answers]:
    """Return the predictions (m,) after the last epoch, and those of the (last) epoch with the most correct ones."""
    everything = np.ones((1, len(lesson.labels)), bool)
    parts, most = cut(lesson.asked), -1
    for net in recogniser.epochs_of(lesson.pictures, lesson.labels, everything, lesson.n_classes, seed):
        with torch.no_grad():
            said = net(parts)[0].argmax(1).numpy()
        if (right := int((said == lesson.true).sum())) >= most:
            most, best = right, said
    return said, best


def _rows(answers: Answers) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in answers)


@dataclass(frozen=True, eq=False)
class Course:
    """All lessons of one row.

    pictures: (N + M, 3, 28, 28), first the N clips themselves and then M additional ones, with labels (N + M,).
    training: (F, N + M) bool, the pictures on which each fold is trained. fold_of: (N,), the fold that is tested on
    each clip.
    """

    pictures: Float32s
    labels: Places
    training: Flags
    fold_of: Places
    n_classes: int

    def lesson(self, fold: int) -> Lesson:
        """Return the input to a fold."""
        learns, mine = self.training[fold], np.flatnonzero(self.fold_of == fold)
        return Lesson(
            self.pictures[learns], self.labels[learns], self.pictures[mine], self.labels[mine], self.n_classes
        )

    def save(self, path: Path) -> None:
        """Write the course for workers, completely or not at all."""
        with whole_file(path, lasting=False) as file:
            np.savez(
                file,
                pictures=self.pictures,
                labels=self.labels,
                training=self.training,
                fold_of=self.fold_of,
                n_classes=np.array(self.n_classes),
            )


@dataclass(frozen=True)
class Teacher:
    """The work in a worker process: read a course, then run one fold after another."""

    course: Path
    recogniser: Recogniser

    def __call__(self) -> Callable[[tuple[int, int]], Learnt]:
        """Return a function that runs a fold, given the numbers of the row and the fold."""
        with np.load(self.course, allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
        course = Course(**{**arrays, "n_classes": int(arrays["n_classes"])})
        torch.set_num_threads(1)
        return lambda place: learn(self.recogniser, course.lesson(place[1]))
