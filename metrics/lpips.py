"""LPIPS 0.1 (Zhang et al. 2018): how different pictures look to a network.

A still face has no drift at all, and micro-expressions are near nothing to it: a guard, not a measure of expression.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.core.figures import PICTURE
from megbench.core.media.frames import Frames
from megbench.core.weights import external_weights
from megbench.core.weights.network_weights import load_state, read_weights
from megbench.faces.features import Seen

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 8
Maps = list["Tensor"]


def _figures(name: str, recipe: str, short: str = "LPIPS templ.") -> tuple[Figure, ...]:
    """The three figures of one network, the first of them in the leaderboard under the title `short`."""
    rows = (
        ("template", "template drift", "every frame from the template"),
        ("first", "first-frame drift", "every later frame from the output's own first"),
        ("truth", "from truth", "every frame from the truth's"),
    )
    return tuple(
        Figure(
            f"{name}_{part}",
            f"LPIPS ({recipe.split('-')[1]}), {title}",
            target="output" if part == "first" else part,
            ideal=0,
            still=None if part == "truth" else 0,
            bounds=(0, None),
            short=short if part == "template" else "",
            decimals=3,
            group=PICTURE if part == "template" else "",
            order=7,
            source="Zhang et al. 2018",
            description=f"Mean LPIPS of {which} ({recipe})"
            + ("." if part == "truth" else "; a still face has no drift."),
        )
        for part, title, which in rows
    )


class Lpips:
    """LPIPS with AlexNet: drift from the template and from the output's first frame, distance from the truth."""

    name: ClassVar[str] = "lpips"
    version: ClassVar[str] = "1-lpips-alex-0.1"
    figures: ClassVar[tuple[Figure, ...]] = _figures("lpips", "lpips-alex-0.1")
    weights: ClassVar[tuple[str, ...]] = ("alexnet",)
    net: ClassVar[str] = "alex"

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Compare one cell. CellFailed where output and truth differ in length; Unavailable without the weights."""
        model = perceptual_model(self.net, self.weights[0])
        output = seen.output.frames
        drift = model.distances(output, seen.template.frames)
        first = model.distances(output[1:], output[:1]) if len(output) > 1 else np.zeros(0)
        values: dict[str, float | None] = {
            f"{self.name}_template": float(drift.mean()),
            f"{self.name}_first": float(first.mean()) if len(first) else None,
        }
        reasons = {} if len(first) else {f"{self.name}_first": "clip too short: 2 frames are needed"}
        series = {f"{self.name}_template": drift.round(5).tolist()}
        if seen.truth is None:
            return Partial("ok", "no truth in this cell", values, series=series, reasons=reasons)
        if len(output) != len(seen.truth.frames):
            raise CellFailed(f"output has {len(output)} frames, its truth {len(seen.truth.frames)}")
        values[f"{self.name}_truth"] = float(model.distances(output, seen.truth.frames).mean())
        return Partial("ok", values=values, series=series, reasons=reasons)


class LpipsVgg(Lpips):
    """LPIPS with VGG-16."""

    name = "lpips_vgg"
    version = "1-lpips-vgg-0.1"
    figures = _figures("lpips_vgg", "lpips-vgg-0.1", "LPIPS VGG")
    weights = ("vgg16",)
    net = "vgg"


class LpipsSqueeze(Lpips):
    """LPIPS with SqueezeNet 1.1."""

    name = "lpips_squeeze"
    version = "1-lpips-squeeze-0.1"
    figures = _figures("lpips_squeeze", "lpips-squeeze-0.1", "LPIPS Squeeze")
    weights = ("squeezenet",)
    net = "squeeze"


class PerceptualModel:
    """The network of the package lpips with its own heads and a trunk from `path` (torchvision's ImageNet weights)."""

    def __init__(self, net: str, path: Path) -> None:
        import lpips

        self._lpips: Any = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
        trunk = read_weights(path).get("", {})
        wanted = {f"features.{entry.partition('.')[2]}": entry for entry in self._lpips.net.state_dict()}
        state = {wanted[entry]: value for entry, value in trunk.items() if entry in wanted}
        load_state(path, f"lpips-{net}", self._lpips.net, state)
        self._lpips.eval().requires_grad_(False)

    def distances(self, frames: Frames, others: Frames, batch: int = BATCH) -> np.ndarray:
        """LPIPS (T,) float32 of frames uint8 (T, 256, 256, 3) RGB from as many others, or from one for all."""
        import torch

        found = []
        with torch.inference_mode():
            one = self._maps(others) if len(others) == 1 else None
            for start in range(0, len(frames), batch):
                stop = start + batch
                found.append(self._compare(self._maps(frames[start:stop]), one or self._maps(others[start:stop])))
        return torch.cat(found).numpy()

    def _maps(self, frames: Frames) -> Maps:
        """Feature maps of every layer, unit length along channels: (B, C, h, w) each."""
        import torch

        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1  # B 3 256 256
        layers = self._lpips.net(self._lpips.scaling_layer(pictures))
        return [layer / (layer.square().sum(1, keepdim=True).sqrt() + 1e-10) for layer in layers]

    def _compare(self, a: Maps, b: Maps) -> Tensor:
        """Sum over layers of the weighted squared difference, mean over places (B,)."""
        heads = self._lpips.lins
        terms = [head((x - y) ** 2).mean((1, 2, 3)) for head, x, y in zip(heads, a, b, strict=True)]
        return sum(terms[1:], terms[0])


@functools.lru_cache(maxsize=1)
def perceptual_model(net: str, weights: str) -> PerceptualModel:
    """The model with the external weights of that name. Unavailable where they are not here."""
    return PerceptualModel(net, external_weights.require(weights))
