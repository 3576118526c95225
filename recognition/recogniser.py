"""The interface of recognisers, and the recognisers that can be chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s
from megbench.core.errors import check_choice
from megbench.recognition.flow_picture import stretched
from megbench.recognition.folds import Flags, Folds, Places
from megbench.recognition.samples import Labelled
from megbench.recognition.ststnet import StstNet
from megbench.recognition.svm import LinearSvm

Answers = npt.NDArray[np.int64]
# The prediction of a fold without training pictures.
NO_ANSWER = -1


class Recogniser(Protocol):
    """A classifier trained on pictures of flow. Each fold is trained independently of the others."""

    @property
    def name(self) -> str:
        """The recogniser's name."""

    def answers(
        self, pictures: Float32s, labels: Places, training: Flags, asked: Float32s, fold_of: Places, n_classes: int
    ) -> Answers:
        """Return the predictions (S, M) of S seeds for M pictures; -1 for a fold without training pictures.

        pictures: (N, 3, 28, 28) float32, with labels (N,) below `n_classes`. training: (F, N) bool, the pictures on
        which each fold is trained. asked: (M, 3, 28, 28), the test pictures. fold_of: (M,), the fold that classifies
        each of them.
        """


RECOGNISERS: dict[str, Callable[[], Recogniser]] = {"svm": LinearSvm, "ststnet": StstNet}


@dataclass(frozen=True)
class OnStretched:
    """A recogniser whose input pictures are each scaled to their own range, as published (flow_picture.stretched)."""

    recogniser: Recogniser

    @property
    def name(self) -> str:
        """The recogniser's name, with a suffix for the stretched pictures."""
        return f"{self.recogniser.name} (stretched)"

    def answers(
        self, pictures: Float32s, labels: Places, training: Flags, asked: Float32s, fold_of: Places, n_classes: int
    ) -> Answers:
        """Return the predictions for stretched pictures; see Recogniser."""
        return self.recogniser.answers(stretched(pictures), labels, training, stretched(asked), fold_of, n_classes)


def make_recogniser(name: str, stretch: bool = False) -> Recogniser:
    """Return a recogniser by name, for stretched or unchanged pictures. Raise BenchError if the name is unknown."""
    recogniser = RECOGNISERS[check_choice("recogniser", name, RECOGNISERS)]()
    return OnStretched(recogniser) if stretch else recogniser


def answers_left_out(recogniser: Recogniser, data: Labelled, folds: Folds) -> Answers:
    """Return the predictions (S, N) for the samples, each from the fold that holds out the sample's person."""
    return recogniser.answers(
        data.pictures, data.labels, folds.training, data.pictures, folds.fold_of, len(data.classes)
    )
