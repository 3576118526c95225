"""FID (Heusel et al. 2017) and KID (Binkowski et al. 2018) with the 2048 features of pytorch-fid's Inception."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell
from megbench.core.frames import Frames
from megbench.core.weights import external_weights
from megbench.core.weights.network_weights import read_weights
from megbench.faces.features import SeenClip
from megbench.metrics.set_distance import SetDistance, distance_figures

if TYPE_CHECKING:
    from torch import nn

RECIPE = "fid-inception-2048, every frame"
BATCH = 16


class Fid(SetDistance):
    """FID and KID between outputs and drivers (every frame), as reported in papers; both are blind to small motion."""

    name = "fid"
    version = f"1-{RECIPE}"
    figures = distance_figures("fid", "kid", "FID/KID", RECIPE, short="FID")
    weights = ("inception",)

    def features(self, clip: SeenClip, cell: Cell) -> Path:
        """Return the file with values of Inception's last pooling layer (T, 2048). Raise Unavailable if weights are
        missing."""
        weights = external_weights.require("inception")
        return clip.feature_file("inception-2048", lambda: {"features": inception_features(clip.frames)}, [weights])


def inception_features(frames: Frames, batch: int = BATCH) -> npt.NDArray[np.float32]:
    """Return features (T, 2048) float32 of frames uint8 (T, 256, 256, 3) RGB.

    Raise Unavailable if weights are missing.
    """
    import torch

    network = _inception(str(external_weights.require("inception")))
    found = []
    for start in range(0, len(frames), batch):
        pictures = torch.from_numpy(frames[start : start + batch]).permute(0, 3, 1, 2).float() / 255  # B 3 256 256
        with torch.inference_mode():
            found.append(network(pictures)[0].flatten(1).numpy())  # B 2048
    return np.concatenate(found)


@functools.lru_cache(maxsize=1)
def _inception(path: str) -> nn.Module:
    """Return pytorch-fid's network with weights from `path`; its own loader would download them."""
    from pytorch_fid import inception

    state = read_weights(Path(path))[""]
    theirs: Any = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        return inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    finally:
        inception.load_state_dict_from_url = theirs
