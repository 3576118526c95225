"""The Frechet distance on AlexNet's features, which LPIPS computes anyway. It is not FID, which uses Inception."""

from __future__ import annotations

from pathlib import Path

from megbench.core.clip import Cell
from megbench.core.weights import external_weights
from megbench.faces.features import SeenClip
from megbench.metrics.lpips import pooling
from megbench.metrics.set_distance import SetDistance, distance_figures

RECIPE = "AlexNet's last convolution, mean over positions, 256 features, every frame"


class FrechetAlexNet(SetDistance):
    """Frechet and kernel distance between the outputs and the drivers on AlexNet's features (not FID)."""

    name = "frechet_alexnet"
    version = "1-alexnet-256"
    figures = distance_figures("frechet_alexnet", "kernel_alexnet", "AlexNet", RECIPE, short="Frechet Alex.")
    weights = ("alexnet",)

    def features(self, clip: SeenClip, cell: Cell) -> Path:
        """Return the file with a clip's features (T, 256). Raise Unavailable if the weights are missing."""
        return clip.feature_file(*pooling(clip, external_weights.require("alexnet")))
