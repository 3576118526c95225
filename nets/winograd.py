"""3x3 convolutions with 2.25 times less arithmetic, for inference on a CPU.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, F(2x2, 3x3): tiles of 4x4 pixels
give 2x2 results by 16 products where 36 are usual. What is added and subtracted before and after is memory traffic,
so it pays where channels are many and one picture's map stays in the cache, as in the residual blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# With 256 channels at 64x64 it is faster, with 64 or 128 slower (docs/performance.md).
FEWEST_CHANNELS = 256


class WinogradConv(nn.Module):
    """A convolution of kernel 3, stride 1 and padding 1 whose weights stay: (B, C, H, W) -> (B, O, H, W).

    Equal to `conv` up to rounding. `conv` itself does maps of odd sides and whatever is not float32.
    """

    spread: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
        self.conv = conv
        edge = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
        spread = torch.einsum("ia,ocab,jb->ijco", edge, conv.weight.detach().double(), edge).flatten(0, 1)
        self.register_buffer("spread", spread.to(conv.weight), persistent=False)  # 16 C O

    def forward(self, x: Tensor) -> Tensor:
        """The convolved maps, channels last."""
        height, width = x.shape[2:]
        if x.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type) or height % 2 or width % 2:
            found: Tensor = self.conv(x)
            return found
        y = x.new_empty(len(x), height, width, self.spread.shape[2])
        for picture, out in zip(x.permute(0, 2, 3, 1), y, strict=True):  # one at a time, so that it stays in the cache
            _gather(torch.bmm(_tiles(picture), self.spread), out)
        if self.conv.bias is not None:
            y += self.conv.bias
        return y.permute(0, 3, 1, 2)


def _tiles(picture: Tensor) -> Tensor:
    """Maps (H, W, C) -> all overlapping tiles of 4x4, transformed: (16, H/2 * W/2, C)."""
    height, width, channels = picture.shape
    padded = F.pad(picture, (0, 0, 1, 1, 1, 1))
    tiles = picture.new_empty(4, 4, height // 2, width // 2, channels)
    rows = _transformed([padded[start : start + height : 2] for start in range(4)], [None] * 4)
    for row, into in zip(rows, tiles, strict=True):
        _transformed([row[:, start : start + width : 2] for start in range(4)], list(into))
    return tiles.view(16, -1, channels)


def _transformed(cells: Sequence[Tensor], out: Sequence[Tensor | None]) -> list[Tensor]:
    """Four neighbouring rows, or columns, of every tile, combined."""
    first, second, third, fourth = cells
    return [
        torch.sub(first, third, out=out[0]),
        torch.add(second, third, out=out[1]),
        torch.sub(third, second, out=out[2]),
        torch.sub(second, fourth, out=out[3]),
    ]


def _gather(products: Tensor, out: Tensor) -> None:
    """Products (16, H/2 * W/2, O) -> results of 2x2 for every tile, written into maps (H, W, O)."""
    height, width, channels = out.shape
    first, second, third, fourth = products.view(4, 4, height // 2, width // 2, channels)
    for row, half in enumerate((first + second + third, second - third - fourth)):
        torch.add(half[0] + half[1], half[2], out=out[row::2, 0::2])
        torch.sub(half[1] - half[2], half[3], out=out[row::2, 1::2])
