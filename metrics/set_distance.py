"""Distances between two sets of pictures on one network's features: Frechet (as in FID) and kernel (as in KID).

The outputs of all cells are compared with all frames of their drivers, and each driver is used only once. Both
distances depend on the number of pictures: figures computed from different counts cannot be compared, and the Frechet
distance is too large if there are few pictures.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell
from megbench.core.combine import absent_score
from megbench.core.contracts import Figure, Partial, Score
from megbench.core.errors import CellFailed
from megbench.core.figures import PICTURE
from megbench.faces.features import Seen, SeenClip

Features = npt.NDArray[np.float64]

# With fewer pictures, the covariance of 2048 features lacks full rank, and FID is far too large (Heusel et al.).
FEWEST = 2048
IN_A_CELL = "a distance between sets of pictures: see the rows over several cells"


def frechet(a: Features, b: Features) -> float:
    """Return the Frechet distance between Gaussians fitted to features (n, d) and (m, d), with n and m at least 2.

    It is |mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)) (Heusel et al. 2017). With fewer samples than dimensions,
    tr((A B)^(1/2)) is the sum of the singular values of X Y^T, where X and Y are the centred features, each divided by
    the square root of its number of samples minus 1. This is exact, and the matrix has only n x m entries. Otherwise,
    the trace comes from eigenvalues.

    >>> a = np.array([[0.0], [2.0], [4.0]])
    >>> round(frechet(a, a), 6), round(frechet(a, a + 3), 6)
    (0.0, 9.0)
    """
    n, m, d = len(a), len(b), a.shape[1]
    x, y = (a - a.mean(0)) / np.sqrt(n - 1), (b - b.mean(0)) / np.sqrt(m - 1)
    if min(n, m) < d:
        root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    else:
        values, vectors = np.linalg.eigh(x.T @ x)
        half = vectors * np.sqrt(np.clip(values, 0, None))  # half @ half.T is the covariance of a
        root = np.sqrt(np.clip(np.linalg.eigvalsh(half.T @ (y.T @ y) @ half), 0, None)).sum()
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    return float(max(shift + np.square(x).sum() + np.square(y).sum() - 2 * root, 0.0))


def kernel(a: Features, b: Features) -> float:
    """Return the unbiased squared MMD, possibly negative, with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018).

    >>> kernel(np.zeros((2, 1)), np.ones((2, 1)))
    7.0
    """
    n, m, d = len(a), len(b), a.shape[1]
    aa, bb, ab = ((x @ y.T / d + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within_a = (aa.sum() - np.trace(aa)) / (n * (n - 1))
    within_b = (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within_a + within_b - 2 * ab.mean())


def distance_figures(
    frechet_name: str, kernel_name: str, title: str, recipe: str, fewest: int = FEWEST, short: str = ""
) -> tuple[Figure, ...]:
    """Return the figures of one network: both distances and the two counts.

    short: the Frechet distance's title in the leaderboard, "" to show it only in the list of all figures.
    """
    against = "between all outputs and all frames of their drivers"
    caution = (
        f"It depends on the number of pictures, so compare only equal counts; fewer than {fewest} on either side carry"
        " a warning. It is blind to motion as small as a micro-expression."
    )
    return (
        Figure(
            frechet_name,
            f"{title}, Frechet distance",
            target="driver",
            ideal=0,
            bounds=(0, None),
            pooling="set",
            short=short,
            decimals=1,
            group=PICTURE if short else "",
            order=8,
            formula="|mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2))",
            source="Heusel et al. 2017",
            description=f"Frechet distance {against} ({recipe}). {caution}",
        ),
        Figure(
            kernel_name,
            f"{title}, kernel distance",
            target="driver",
            ideal=0,
            pooling="set",
            formula="mean k(a, a') + mean k(b, b') - 2 mean k(a, b), k(x, y) = (x.y / d + 1)^3",
            source="Binkowski et al. 2018",
            description=f"Unbiased squared MMD (polynomial kernel) {against} ({recipe}). {caution}",
        ),
        Figure(
            f"{frechet_name}_images",
            f"{title}, pictures",
            target="output",
            ideal=None,
            bounds=(0, None),
            pooling="set",
            description="Number of output pictures compared.",
        ),
        Figure(
            f"{frechet_name}_references",
            f"{title}, reference pictures",
            target="driver",
            ideal=None,
            bounds=(0, None),
            pooling="set",
            description="Number of the drivers' pictures with which the outputs were compared.",
        ),
    )


class SetDistance:
    """Base class of the set distances; a subclass defines a clip's `features` and where they are stored."""

    name: ClassVar[str]
    version: ClassVar[str]
    figures: ClassVar[tuple[Figure, ...]]
    fewest: ClassVar[int] = FEWEST

    def features(self, clip: SeenClip, cell: Cell) -> Path:
        """Return the file with a clip's features in the store, an array (n, d) called "features"; n may be 0."""
        raise NotImplementedError

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Store the features of one cell and return their files. Raise CellFailed if no picture can be used."""
        files = {"output": self.features(seen.output, cell), "reference": self.features(seen.driver, cell)}
        counts = {role: len(_read(str(file))) for role, file in files.items()}
        for role, count in counts.items():
            if not count:
                raise CellFailed(f"no frontal face found in {'output' if role == 'output' else 'driver'}")
        distance, spread, images, references = (figure.name for figure in self.figures)
        values = {images: float(counts["output"]), references: float(counts["reference"])}
        missing = dict.fromkeys((distance, spread), IN_A_CELL)
        return Partial("ok", values=values, reasons=missing, files={role: str(file) for role, file in files.items()})

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Return both distances between the outputs of all cells and their drivers, and the counts.

        A distance over too few pictures carries a warning.
        """
        distance, spread, images, references = (figure.name for figure in self.figures)
        scored = [partial for partial in partials if partial.files]
        outputs = _stack([partial.files["output"] for partial in scored])
        drivers = _stack([partial.files["reference"] for partial in scored])
        if not scored:
            return [absent_score(figure.name, partials) for figure in self.figures]
        counts = {images: float(len(outputs)), references: float(len(drivers))}
        told = [Score(name, value, "ok", "", len(scored), len(partials)) for name, value in counts.items()]
        if min(len(outputs), len(drivers)) < 2:
            lacking = f"{len(outputs)} and {len(drivers)} pictures, but 2 of each are needed"
            return [Score(name, None, "skipped", lacking, 0, len(partials)) for name in (distance, spread)] + told
        few = min(len(outputs), len(drivers)) < self.fewest
        warning = f"{len(outputs)} and {len(drivers)} pictures" if few else ""
        values = {distance: frechet(outputs, drivers), spread: kernel(outputs, drivers)}
        n = len(scored), len(partials)
        found = [Score(name, value, "ok", "", *n, warning) for name, value in values.items()]
        return found + told


def _stack(files: Sequence[str]) -> Features:
    """Return the stacked features of several files, using each file once."""
    arrays = [_read(file) for file in dict.fromkeys(files)]
    return np.concatenate(arrays) if arrays else np.zeros((0, 1))


@functools.lru_cache(maxsize=512)
def _read(file: str) -> Features:
    with np.load(file, allow_pickle=False) as stored:
        return stored["features"].astype(np.float64)
