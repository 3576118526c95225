"""LPIPS 0.1 (Zhang et al. 2018): how different pictures look to a network.

A still face has no drift at all, and LPIPS hardly registers micro-expressions: it is a safeguard, not a measure of
expression.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.core.figures import PICTURE
from megbench.core.frames import Frames
from megbench.core.weights import external_weights
from megbench.core.weights.network_weights import load_state, read_trunk
from megbench.faces.features import Seen, SeenClip

if TYPE_CHECKING:
    from torch import Tensor

Distances = npt.NDArray[np.float32]
Pooling = tuple[str, Callable[[], dict[str, npt.NDArray[Any]]], list[Path]]


@dataclass(frozen=True)
class Compared:
    """LPIPS of an output's frames, (T,) float32 each, and the last layer's features averaged over positions (T, C)."""

    template: Distances
    first: Distances
    truth: Distances | None
    pooled: npt.NDArray[np.float32]


def _figures(name: str, recipe: str, short: str = "LPIPS templ.") -> tuple[Figure, ...]:
    """Return the three figures of one network; the leaderboard shows the first of them under the title `short`."""
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
            description=f"Mean LPIPS distance of {which} ({recipe})"
            + ("." if part == "truth" else "; a still face has no drift."),
        )
        for part, title, which in rows
    )


class Lpips:
    """LPIPS with AlexNet: drift from the template and from the output's first frame, and distance from the truth."""

    name: ClassVar[str] = "lpips"
    version: ClassVar[str] = "1-lpips-alex-0.1"
    figures: ClassVar[tuple[Figure, ...]] = _figures("lpips", "lpips-alex-0.1")
    weights: ClassVar[tuple[str, ...]] = ("alexnet",)
    net: ClassVar[str] = "alex"

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the distances in one cell.

        Raise CellFailed if the output and the truth differ in length, and Unavailable if the weights are missing.
        """
        weights = external_weights.require(self.weights[0])
        model = perceptual_model(self.net, weights)
        n_frames = len(seen.output.frames)
        if seen.truth is not None and len(seen.truth.frames) != n_frames:
            raise CellFailed(f"output and truth differ in length: {n_frames} and {len(seen.truth.frames)} frames")
        found = model.compare(seen.output.frames, seen.template.frames, seen.truth)
        if self.net == "alex":
            seen.output.kept(*pooling(seen.output, weights, found.pooled))
        values: dict[str, float | None] = {
            f"{self.name}_template": float(found.template.mean()),
            f"{self.name}_first": float(found.first[1:].mean()) if n_frames > 1 else None,
        }
        reasons = {} if n_frames > 1 else {f"{self.name}_first": "clip too short: at least 2 frames are needed"}
        series = {f"{self.name}_template": found.template.round(5).tolist()}
        if found.truth is None:
            return Partial("ok", "no truth in this cell", values, series=series, reasons=reasons)
        values[f"{self.name}_truth"] = float(found.truth.mean())
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
    """The network of the package lpips, with the package's heads and a trunk loaded from `path` (ImageNet weights).

    LPIPS is the squared distance between the coordinates of two pictures. A picture's coordinates are its features,
    normalised to unit length along the channels and multiplied by sqrt(w / n), where w is the head's weight of the
    channel and n is the layer's number of positions. They are computed once for all figures.
    """

    def __init__(self, net: str, path: Path) -> None:
        import lpips
        from torch.nn import Conv2d

        from megbench.nets.alexnet import AlexNet
        from megbench.nets.fast import rearrange

        with warnings.catch_warnings():  # lpips 0.1.4 uses names that torchvision deprecates
            warnings.filterwarnings("ignore", category=UserWarning)
            self._lpips: Any = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
        trunk = read_trunk(path)
        wanted = {f"features.{entry.partition('.')[2]}": entry for entry in self._lpips.net.state_dict()}
        state = {wanted[entry]: value for entry, value in trunk.items() if entry in wanted}
        load_state(path, f"lpips-{net}", self._lpips.net, state)
        self._lpips.eval().requires_grad_(False)
        if net == "alex":
            self._lpips.net = AlexNet([layer for layer in self._lpips.net.modules() if isinstance(layer, Conv2d)])
        else:
            rearrange(self._lpips.net)
        self._heads = [head.model[-1].weight.flatten().sqrt() for head in self._lpips.lins]  # C
        self._batch = 2 if net == "vgg" else 8
        self._truth: tuple[str, Tensor] | None = None

    def compare(self, output: Frames, template: Frames, truth: SeenClip | None) -> Compared:
        """Return the distances of an output (T, 256, 256, 3) from the template, its own first frame and, if it is
        known, the truth."""
        import torch

        with torch.inference_mode():
            still, first = self._coordinates(template)[0], None
            true = None if truth is None else self._of_truth(truth)
            found, pooled = [], []
            for part in self._parts(len(output)):
                own, means = self._coordinates(output[part])
                first = own[:1] if first is None else first
                theirs = [still, first] if true is None else [still, first, true[part].float()]
                found.append(torch.stack([_squared(own, other) for other in theirs]))
                pooled.append(means)
            rows = torch.cat(found, dim=1).numpy()
            return Compared(rows[0], rows[1], rows[2] if len(rows) > 2 else None, torch.cat(pooled).numpy())

    def pooled(self, frames: Frames) -> npt.NDArray[np.float32]:
        """Return the means (T, C) over positions of the last layer's features of frames (T, 256, 256, 3)."""
        import torch

        with torch.inference_mode():
            return torch.cat([self._coordinates(frames[part])[1] for part in self._parts(len(frames))]).numpy()

    def _parts(self, count: int) -> Iterator[slice]:
        return (slice(start, start + self._batch) for start in range(0, count, self._batch))

    def _of_truth(self, truth: SeenClip) -> Tensor:
        """Return a truth's coordinates (T, D), float16 (1.3 MB per frame), kept for the cell's next output."""
        import torch

        if self._truth is None or self._truth[0] != truth.content:
            self._truth = None  # so that two are never in memory at once
            parts = [self._coordinates(truth.frames[part])[0].half() for part in self._parts(len(truth.frames))]
            self._truth = truth.content, torch.cat(parts)
        return self._truth[1]

    def _coordinates(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Return the coordinates (B, D) of frames, and the means (B, C) over positions of the last layer's features."""
        import torch

        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1  # B 3 256 256, channels last
        layers = self._lpips.net(self._lpips.scaling_layer(pictures))
        parts = []
        for layer, head in zip(layers, self._heads, strict=True):
            cells = layer.permute(0, 2, 3, 1)  # B H W C
            length = torch.linalg.vector_norm(cells, dim=-1, keepdim=True) + 1e-10
            parts.append((cells / length).mul_(head / np.sqrt(cells[0, :, :, 0].numel())).flatten(1))
        return torch.cat(parts, dim=1), layers[-1].mean((2, 3))


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distances (B,) between rows (B, D), or from the rows of `a` to a single row `b` (1, D)."""
    return (a - b).square_().sum(1)


def pooling(clip: SeenClip, weights: Path, found: npt.NDArray[np.float32] | None = None) -> Pooling:
    """Return the arguments of `SeenClip.kept` for a clip's pooled AlexNet features: name, computation and sources.

    The features are an array (T, 256) called "features". If `found` is given, it is used and nothing is computed.
    """

    def compute() -> dict[str, npt.NDArray[Any]]:
        return {"features": perceptual_model("alex", weights).pooled(clip.frames) if found is None else found}

    return "lpips-alex", compute, [weights]


@functools.lru_cache(maxsize=1)
def perceptual_model(net: str, path: Path) -> PerceptualModel:
    """Return the model with the weights at `path`."""
    return PerceptualModel(net, path)
