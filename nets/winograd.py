"""3x3 convolutions with a quarter of the multiplications, forwards and backwards, in float32 on a CPU.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, F(4x4, 3x3): tiles of 6x6 pixels
give 4x4 results with 36 products instead of the usual 144. A tile is treated as a polynomial, and the products are
taken at six points. With 0, +-a, +-1/a and infinity, where a^2 = 1/2, the rounding error is half of that with the usual
0, +-1, +-2 and infinity: 1e-6 of the values (docs/performance.md). The additions before and after the products cost
memory traffic, so the method pays off only if there are many channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# The numbers of channels (the smaller of input and output) and of pixels from which this method is faster, with AVX2
# and with AVX-512 (docs/performance.md). The gradient of the weights gains most, so for trainable weights the method
# pays off with fewer channels, provided that input and output together have enough. The numbers are fixed rather than
# measured at start: results differ from torch's in their last bits, so a machine must always make the same choice.
FEWEST_CHANNELS, FEWEST_LEARNING, FEWEST_TOGETHER = 128, 64, 192
SMALLEST_MAP = 32 * 32

NEAR, FAR = 0.5**0.5, 2**0.5
# The maximum size of a strip of transformed tiles, chosen so that a strip (3 MB) stays close to a core's cache in size.
# If the transformed weights are larger, a strip may be as large as they are, because every strip reads them once.
STRIP = 800_000


def _weight_transform() -> Tensor:
    """Return the matrix (6, 3) that evaluates filters at the six points, divided by factors omitted in the tile
    transform."""
    rows = [[1.0, 0.0, 0.0]]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        for signed in (point, -point):
            scale = 1 / (2 * point**2 * (point**2 - other**2))
            rows.append([scale, scale * signed, scale * signed**2])
    return torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64)


WEIGHTS = torch.kron(_weight_transform(), _weight_transform()).float()  # 36 9


class Fixable(nn.Module):
    """A layer that computes with a tensor derived from its weights and may keep it once the weights are final."""

    fixed = False
    _kept: Tensor | None = None

    def fix(self) -> None:
        """Declare the weights final; the derived tensor is then computed only once and has no gradient."""
        self.fixed, self._kept = True, None

    def kept(self, make: Callable[[], Tensor]) -> Tensor:
        """Return the tensor that `make` derives from the weights; it is kept if they are final."""
        if self._kept is not None:
            return self._kept
        if not self.fixed:
            return make()
        with torch.inference_mode(False), torch.no_grad():  # so that it can be used with gradients later
            self._kept = make()
        return self._kept


class Conv3x3(Fixable, nn.Conv2d):
    """A convolution of kernel 3, stride 1 and padding 1, (B, C, H, W) -> (B, O, H, W), fast for wide float32 maps.

    The plain convolution is used if there are few channels, if maps are small or their sides are not multiples of 4,
    for other precisions and devices, and when compiled. The result of the fast convolution cannot be differentiated
    twice.
    """

    @staticmethod
    def suits(conv: nn.Conv2d) -> bool:
        """Return whether this class can replace a convolution."""
        return (
            conv.kernel_size == (3, 3)
            and conv.stride == (1, 1) == conv.padding == conv.dilation
            and (conv.groups == 1 and conv.bias is not None and conv.padding_mode == "zeros")
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved maps."""
        assert self.bias is not None
        if self._is_plain(x):
            return super().forward(x)
        taps = self.kept(lambda: _transformed_weight(self.weight.detach()))
        found: Tensor = _Convolution.apply(x, self.weight, taps, self.bias)
        return found

    def _is_plain(self, x: Tensor) -> bool:
        height, width = x.shape[2:]
        channels = (self.in_channels, self.out_channels)
        learning = torch.is_grad_enabled() and self.weight.requires_grad
        few = min(channels) < (FEWEST_LEARNING if learning else FEWEST_CHANNELS) or sum(channels) < FEWEST_TOGETHER
        if few or height % 4 or width % 4 or height * width < SMALLEST_MAP:
            return True
        other = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        return other or torch.compiler.is_compiling()


class _Convolution(torch.autograd.Function):
    """The convolution and its gradients: each is a product of the same transformed tiles, 36 matrices at a time."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
        """Return the convolution (B, O, H, W), channels last, of x (B, C, H, W) with taps (36, C, O).

        The taps are derived from weight (O, C, 3, 3).
        """
        context.save_for_backward(x, taps)
        height, width = x.shape[2:]
        y = torch.empty(len(x), taps.shape[2], height, width, memory_format=torch.channels_last)
        for picture, out in zip(x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1), strict=True):
            padded = _padded(picture)
            for rows in _strips(height, width, taps):
                products = torch.bmm(_tiles(padded, rows), taps)
                _paint(products, out[4 * rows.start : 4 * rows.stop])
            out += bias
        return y

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, Tensor | None]:
        """Return the gradients of x, weight and bias, using the transposes of the forward pass's transforms."""
        x, taps = context.saved_tensors
        of_x, of_weight, _, of_bias = context.needs_input_grad
        batch, channels, height, width = x.shape
        into = x.new_zeros(batch, height + 2, width + 2, channels) if of_x else None
        of_taps = torch.zeros_like(taps) if of_weight else None
        for index, cells in enumerate(gradient.permute(0, 2, 3, 1)):
            padded = _padded(x[index].permute(1, 2, 0)) if of_weight else None
            for rows in _strips(height, width, taps):
                spread = _spread(cells[4 * rows.start : 4 * rows.stop])
                if of_taps is not None and padded is not None:
                    of_taps.baddbmm_(_tiles(padded, rows).mT, spread)
                if into is not None:
                    _collect(torch.bmm(spread, taps.mT), into[index, 4 * rows.start : 4 * rows.stop + 2])
        return (
            None if into is None else into[:, 1:-1, 1:-1].contiguous().permute(0, 3, 1, 2),
            None if of_taps is None else _weight_gradient(of_taps),
            None,
            gradient.sum((0, 2, 3)) if of_bias else None,
        )


def _transformed_weight(weight: Tensor) -> Tensor:
    """Transform weights (O, C, 3, 3) into taps (36, C, O)."""
    channels_out, channels_in = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (WEIGHTS @ taps).view(36, channels_in, channels_out)


def _weight_gradient(of_taps: Tensor) -> Tensor:
    """Transform the gradient of taps (36, C, O) into that of the weights (O, C, 3, 3)."""
    return (WEIGHTS.T @ of_taps.flatten(1)).view(3, 3, *of_taps.shape[1:]).permute(3, 2, 0, 1)


def _padded(picture: Tensor) -> Tensor:
    """Pad (H, W, C) with zeros to (H + 2, W + 2, C)."""
    return F.pad(picture, (0, 0, 1, 1, 1, 1))


def _strips(height: int, width: int, taps: Tensor) -> Iterator[range]:
    """Yield groups of as many rows of tiles as fit into the cache."""
    several = max(1, max(STRIP, taps.numel()) // (36 * (width // 4) * max(taps.shape[1:])))
    for first in range(0, height // 4, several):
        yield range(first, min(first + several, height // 4))


def _tiles(picture: Tensor, rows: range) -> Tensor:
    """Return the transformed 6x6 tiles (36, tiles, C) of some rows of tiles of a padded picture (H + 2, W + 2, C)."""
    strip = picture[4 * rows.start : 4 * rows.stop + 2]
    width, channels = strip.shape[1:]
    lines = strip.new_empty(6, len(rows), width, channels)
    _analyse(_sixes(strip), lines)
    tiles = strip.new_empty(6, 6, len(rows), width // 4, channels)
    _analyse(_sixes(lines, 2), tiles.transpose(0, 1))
    return tiles.view(36, -1, channels)


def _paint(products: Tensor, out: Tensor) -> None:
    """Transform products at the points (36, tiles, O) to each tile's 4x4 results and write these to maps (H, W, O)."""
    height, width, channels = out.shape
    points = products.view(6, 6, height // 4, width // 4, channels)
    lines = points.new_empty(4, *points.shape[1:])
    _synthesise(points, lines)
    by_row = out.view(height // 4, 4, width, channels).transpose(0, 1)
    _synthesise(lines.transpose(0, 1), [by_row[:, :, column::4] for column in range(4)])


def _spread(gradient: Tensor) -> Tensor:
    """Apply the transpose of _paint: gradients (H, W, O) -> (36, tiles, O)."""
    height, width, channels = gradient.shape
    lines = gradient.new_empty(6, height // 4, width, channels)
    _synthesise_transposed([gradient[row::4] for row in range(4)], lines)
    points = gradient.new_empty(6, 6, height // 4, width // 4, channels)
    _synthesise_transposed([lines[:, :, column::4] for column in range(4)], points.transpose(0, 1))
    return points.view(36, -1, channels)


def _collect(products: Tensor, into: Tensor) -> None:
    """Apply the transpose of _tiles: add (36, tiles, C) to a strip of a padded gradient (H + 2, W + 2, C)."""
    height, width, channels = into.shape
    lines = products.new_zeros(6, height // 4, width, channels)
    points = products.view(6, 6, height // 4, width // 4, channels)
    _analyse_transposed(points.transpose(0, 1), _sixes(lines, 2))
    _analyse_transposed(lines, _sixes(into))


def _sixes(maps: Tensor, dimension: int = 0) -> list[Tensor]:
    """Return six maps along a dimension of length 4n + 2: the first to sixth cells of n tiles that overlap by two."""
    count = maps.shape[dimension] // 4
    return [maps[(slice(None),) * dimension + (slice(k, k + 4 * count - 3, 4),)] for k in range(6)]


# The four transforms of one dimension. Six maps represent the points 0, NEAR, -NEAR, FAR, -FAR and infinity; NEAR * FAR
# is 1, NEAR^2 + FAR^2 is 2.5.

_Maps = Sequence[Tensor] | Tensor


def _analyse(x: _Maps, out: _Maps) -> None:
    """Transform six maps, the cells of tiles along one dimension, to their values at the six points."""
    even_near, odd_near = torch.sub(x[4], x[2], alpha=FAR**2), torch.sub(x[3], x[1], alpha=FAR**2)
    even_far, odd_far = torch.sub(x[4], x[2], alpha=NEAR**2), torch.sub(x[3], x[1], alpha=NEAR**2)
    torch.add(even_near, odd_near, alpha=NEAR, out=out[1])
    torch.sub(even_near, odd_near, alpha=NEAR, out=out[2])
    torch.add(even_far, odd_far, alpha=FAR, out=out[3])
    torch.sub(even_far, odd_far, alpha=FAR, out=out[4])
    torch.add(even_near.sub_(x[2], alpha=NEAR**2), x[0], out=out[0])
    torch.sub(torch.add(x[1], x[5], out=odd_near), x[3], alpha=2.5, out=out[5])


def _synthesise(points: _Maps, out: _Maps) -> None:
    """Transform the values of products at the six points to four results."""
    near, near_odd = points[1] + points[2], points[1] - points[2]
    far, far_odd = points[3] + points[4], points[3] - points[4]
    torch.add(near_odd.mul_(NEAR), far_odd, alpha=FAR, out=out[1])
    torch.add(near_odd.mul_(NEAR**2).add_(far_odd, alpha=FAR**3), points[5], out=out[3])
    torch.add(points[0] + near, far, out=out[0])
    torch.add(near.mul_(NEAR**2), far, alpha=FAR**2, out=out[2])


def _synthesise_transposed(gradient: _Maps, out: _Maps) -> None:
    """Transform the gradients of four results to gradients of the values at the six points."""
    for first, point in ((1, NEAR), (3, FAR)):
        even = torch.add(gradient[0], gradient[2], alpha=point**2)
        odd = torch.add(gradient[1], gradient[3], alpha=point**2)
        torch.add(even, odd, alpha=point, out=out[first])
        torch.sub(even, odd, alpha=point, out=out[first + 1])
    out[0].copy_(gradient[0])
    out[5].copy_(gradient[3])


def _analyse_transposed(points: _Maps, into: _Maps) -> None:
    """Transform the gradients of the values at the six points to those of the six cells, and add them to `into`."""
    near, near_odd = points[1] + points[2], points[1] - points[2]
    far, far_odd = points[3] + points[4], points[3] - points[4]
    into[0].add_(points[0])
    into[1].add_(points[5]).sub_(near_odd, alpha=FAR).sub_(far_odd, alpha=NEAR)
    into[2].sub_(points[0], alpha=2.5).sub_(near, alpha=FAR**2).sub_(far, alpha=NEAR**2)
    into[3].sub_(points[5], alpha=2.5).add_(near_odd, alpha=NEAR).add_(far_odd, alpha=FAR)
    into[4].add_(near.add_(far).add_(points[0]))
    into[5].add_(points[5])
