"""STSTNet (Liong et al. 2019, table I). All folds are trained at once, as one grouped network on the same pictures.

Three streams of 3, 5 and 8 kernels of 3 x 3 process u, v and strain. Each stream is max-pooled by 3, all 16 planes are
average-pooled by 2 x 2, and the resulting 400 numbers give the classes: 1,651 parameters for three classes. The table
does not specify an activation; this implementation uses ReLU. There is no batch normalisation, so only the weights are
learnt from clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from megbench.core.clip import Float32s

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
# Kernels of the three streams; side by side they form one layer.
STREAMS = (3, 5, 8)
PLANES, CHANNELS, KERNEL = sum(STREAMS), 3, 3
READ = CHANNELS * KERNEL**2
# The length of a column, which consists of the part of a picture that a kernel covers, a 1 for the bias, and the
# position's flag.
COLUMN = READ + 2
SIDE, POOL = 28, 3
POOLED = -(-SIDE // POOL)
HALF = POOLED // 2
FEATURES = PLANES * HALF**2
# The number of columns of products computed at a time. With this number, the products and the pictures' parts stay in
# the processor's cache.
COLUMNS = 64
OUTSIDE = -1e30


def parameters(n_classes: int) -> int:
    """Return the number of parameters of one network."""
    return PLANES * (READ + 1) + (FEATURES + 1) * n_classes


@dataclass(frozen=True)
class StstNet:
    """STSTNet with the published schedule: Adam, a fixed number of epochs, the last of which counts, and several seeds.

    Channels are divided by their root mean square over the fold's training clips. A batch contains the same clips for
    all folds, and each fold skips those that it holds out. Each fold therefore learns exactly as if it were trained
    alone.
    """

    epochs: int = 500
    lr: float = 5e-5
    batch: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)
    name: str = "ststnet"

    def answers(
        self, pictures: Float32s, labels: Ints, training: Flags, asked: Float32s, fold_of: Ints, n_classes: int
    ) -> Ints:
        """Return the predictions; see megbench.recognition.recogniser.Recogniser."""
        found = []
        for seed in self.seeds:
            for net in self.epochs_of(pictures, labels, training, n_classes, seed):
                last = net
            found.append(last.answers(asked, fold_of))
        return np.stack(found)

    def epochs_of(
        self, pictures: Float32s, labels: Ints, training: Flags, n_classes: int, seed: int
    ) -> Iterator[GroupedNet]:
        """Yield the networks of all folds after each epoch, always as the same object."""
        net = GroupedNet(_scales(pictures, training), n_classes, seed, np.asarray(training.any(1)))
        parts, truth = cut(pictures), torch.from_numpy(labels)
        learns = torch.from_numpy(training.astype(np.float32))
        adam = torch.optim.Adam(net.weights, lr=self.lr)
        rng = np.random.default_rng(seed)
        for _ in range(self.epochs):
            order = torch.from_numpy(rng.permutation(len(pictures)))
            for chosen in order.split(self.batch):
                weights = learns[:, chosen]
                loss = _loss(net(parts[:, chosen]), truth[chosen], weights)
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
            yield net


class GroupedNet:
    """F networks side by side. scales: (F, 3), the divisor for each channel of the pictures."""

    def __init__(self, scales: Float32s, n_classes: int, seed: int, learns: Flags) -> None:
        folds = len(scales)
        self._learns = learns
        self._shrink = 1 / torch.from_numpy(scales).repeat_interleave(KERNEL**2, dim=1)  # (F, 27)
        draws = torch.Generator().manual_seed(seed)

        def drawn(inputs: int, *shape: int) -> Tensor:
            """Return a layer's initial values, drawn as in PyTorch and equal for all folds."""
            reach = inputs**-0.5
            one = torch.empty(shape).uniform_(-reach, reach, generator=draws)
            return one.expand(folds, *shape).clone().requires_grad_()

        self.kernels, self.bias = drawn(READ, PLANES, READ), drawn(READ, PLANES)
        self.last, self.last_bias = drawn(FEATURES, FEATURES, n_classes), drawn(FEATURES, 1, n_classes)

    @property
    def weights(self) -> list[Tensor]:
        """All learnt parameters; the first axis is that of the folds."""
        return [self.kernels, self.bias, self.last, self.last_bias]

    def __call__(self, parts: Tensor) -> Tensor:
        """Return the scores (F, B, K) of every fold for pictures cut into parts (9, B, 100, 29)."""
        folds, batch = len(self.kernels), parts.shape[1]
        kernels = torch.cat([self.kernels * self._shrink[:, None], self.bias[..., None]], dim=2)
        columns = kernels.reshape(folds * PLANES, READ + 1).T
        peaks: Tensor = _Peaks.apply(parts.reshape(POOL**2, batch * POOLED**2, COLUMN), columns)
        # Planes come last in memory, in the layout of the products.
        planes = torch.relu(peaks).view(batch, POOLED, POOLED, folds * PLANES).permute(0, 3, 1, 2)
        halved = torch.nn.functional.avg_pool2d(planes, 2).reshape(batch, folds, FEATURES).transpose(0, 1)
        return torch.baddbmm(self.last_bias, halved, self.last)

    @torch.no_grad()
    def answers(self, pictures: Float32s, fold_of: Ints) -> Ints:
        """Return the prediction (M,) of each picture's own fold; -1 for a fold without training pictures."""
        found = np.full(len(pictures), -1, np.int64)
        for chosen in np.array_split(np.arange(len(pictures)), max(1, len(pictures) // 64)):
            if len(chosen):
                scores = self(cut(pictures[chosen]))
                found[chosen] = scores.argmax(2)[torch.from_numpy(fold_of[chosen]), torch.arange(len(chosen))].numpy()
        found[~self._learns[fold_of]] = -1
        return found


class _Peaks(torch.autograd.Function):
    """Fused convolution and max pooling: the largest of the nine products of parts (9, R, 29) and columns (28, C).

    The last of a part's 29 numbers is the position's flag, which is added to every product. Only the maxima are stored.
    The backward pass recomputes the products and propagates gradients at the maxima.
    """

    @staticmethod
    def forward(ctx: Any, parts: Tensor, columns: Tensor) -> Tensor:
        peaks = torch.cat([products.amax(0) for products in _products(parts, columns)], dim=1)
        ctx.save_for_backward(parts, columns, peaks)
        return peaks

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        parts, columns, peaks = ctx.saved_tensors
        across = parts.reshape(-1, COLUMN)[:, : COLUMN - 1].T
        back = []
        for products, peak, gradient in zip(
            _products(parts, columns), peaks.split(COLUMNS, 1), gradients[0].split(COLUMNS, 1), strict=True
        ):
            torch.eq(products, peak, out=products).mul_(gradient)  # in place, as numbers: ten times as fast as bools
            back.append(across @ products.reshape(-1, peak.shape[1]))
        return None, torch.cat(back, dim=1)


def _products(parts: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Yield the products (9, R, c) of a few columns at a time; each is valid until the next is requested.

    Positions outside the picture get values far below all others.
    """
    flat = parts.reshape(-1, COLUMN)
    with_outside = torch.cat([columns, columns.new_ones(1, columns.shape[1])])
    room = flat.new_empty(len(flat) * COLUMNS)
    for some in with_outside.split(COLUMNS, dim=1):
        out = room[: len(flat) * some.shape[1]].view(len(flat), some.shape[1])
        yield torch.mm(flat, some, out=out).view(len(parts), -1, some.shape[1])


def cut(pictures: Float32s) -> Tensor:
    """Return the parts (9, N, 100, 29) of pictures (N, 3, 28, 28) that a kernel covers, in pooling order.

    A maximum is taken over nine positions. Each position has the 27 numbers under the kernel, a 1, and a flag: OUTSIDE
    if the position is not a pixel (padding for pooling), otherwise 0.
    """
    number = len(pictures)
    seen = torch.nn.functional.unfold(torch.from_numpy(np.ascontiguousarray(pictures)), KERNEL, padding=1)
    margin = (POOLED * POOL - SIDE) // 2  # "same" padding: as many pixels outside on the left as on the right
    place = torch.arange(POOLED * POOL) - margin
    outside = (place < 0) | (place >= SIDE)
    inside = place.clamp(0, SIDE - 1)
    grid = seen.reshape(number, READ, SIDE, SIDE)[:, :, inside][..., inside]
    flag = (outside[:, None] | outside).float() * OUTSIDE
    beside = torch.stack([torch.ones_like(flag), flag]).expand(number, 2, *flag.shape)
    whole = torch.cat([grid, beside], dim=1)
    apart = whole.reshape(number, COLUMN, POOLED, POOL, POOLED, POOL).permute(3, 5, 0, 2, 4, 1)
    return apart.reshape(POOL**2, number, POOLED**2, COLUMN).contiguous()


def _scales(pictures: Float32s, training: Flags) -> Float32s:
    """Return each channel's root mean square over a fold's training pictures, (F, 3); 1 if nothing moves."""
    squares = (pictures.astype(np.float64) ** 2).mean((2, 3))
    means = training @ squares / training.sum(1, keepdims=True).clip(1)
    return np.where(means > 0, np.sqrt(means), 1).astype(np.float32)


def _loss(scores: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over folds of the mean cross-entropy of the batch's pictures in a fold's training set."""
    folds, batch, _ = scores.shape
    each = torch.nn.functional.cross_entropy(
        scores.reshape(folds * batch, -1), truth.repeat(folds), reduction="none"
    ).reshape(folds, batch)
    return ((each * weights).sum(1) / weights.sum(1).clamp(min=1)).sum()
