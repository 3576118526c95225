"""A linear support vector machine on pictures of flow: exact, without seeds, and fast for all folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s

Products = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearSvm:
    """One support vector machine per fold (scikit-learn's linear SVC, in which rarer classes have more weight).

    Channels are divided by their root mean square over the fold's training clips, so that no channel outweighs the
    others and amplitude is preserved. cost: the C of the machines, for pictures whose squares sum to 1 on average.
    """

    cost: float = 1.0
    name: str = "svm"

    def answers(
        self,
        pictures: Float32s,
        labels: npt.NDArray[np.int64],
        training: npt.NDArray[np.bool_],
        asked: Float32s,
        fold_of: npt.NDArray[np.int64],
        n_classes: int,
    ) -> npt.NDArray[np.int64]:
        """Return the predictions of one seed, (1, M); see megbench.recognition.recogniser.Recogniser."""
        among, between = _products(pictures, pictures), _products(asked, pictures)
        found = np.full(len(asked), -1, np.int64)
        for fold, learns in enumerate(training):
            mine, seen = np.flatnonzero(fold_of == fold), np.flatnonzero(learns)
            if len(mine) and len(seen):
                share = _shares(among, seen)
                inside = np.tensordot(share, among[:, seen[:, None], seen], axes=1)
                across = np.tensordot(share, between[:, mine[:, None], seen], axes=1)
                found[mine] = self._answered(inside, labels[seen], across)
        return found[None]

    def _answered(self, inside: Products, labels: npt.NDArray[np.int64], across: Products) -> npt.NDArray[np.int64]:
        """Return the predictions for M pictures.

        across: their products (M, N) with N training pictures. inside: the products (N, N) of the training pictures.
        """
        if len(np.unique(labels)) == 1:
            return np.full(len(across), labels[0], np.int64)
        from sklearn.svm import SVC

        machine = SVC(C=self.cost, kernel="precomputed", class_weight="balanced")
        return np.asarray(machine.fit(inside, labels).predict(across), np.int64)


def _products(first: Float32s, second: Float32s) -> Products:
    """Return the scalar products of pictures by channel, (3, M, N), which are the only input to the machines."""
    flat = [np.ascontiguousarray(one.reshape(*one.shape[:2], -1).swapaxes(0, 1), np.float64) for one in (first, second)]
    return np.stack([one @ two.T for one, two in zip(*flat, strict=True)])


def _shares(among: Products, seen: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return the factor (3,) for each channel's products, computed from the training pictures alone."""
    squares = among[:, seen, seen].mean(1)
    moving = squares > 0
    return np.divide(1 / max(moving.sum(), 1), squares, out=np.zeros_like(squares), where=moving)
