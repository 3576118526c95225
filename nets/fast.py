"""Fast convolutions for networks that are trained on a CPU, and networks rearranged for inference.

The networks themselves are plain torch and work without this file and without nets/winograd.py. The tests compare both
paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from megbench.nets.blocks import Hourglass, ResBlock, SameBlock, UpBlock
from megbench.nets.dense_motion import DenseMotion
from megbench.nets.resnet import BasicBlock, ResNet18
from megbench.nets.winograd import Conv3x3, Fixable

# Processors multiply 8 or 16 channels of a result at once, so a convolution with fewer output channels wastes the rest.
# A convolution with at most this many output channels computes its results for 2x2 neighbours at once.
FEW_CHANNELS = 4


# Pairs of a convolution and the batch norm that directly follows it.
FOLDS: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    SameBlock: (("conv", "norm"),),
    ResBlock: (("conv1", "norm2"),),
    BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")),
    ResNet18: (("conv1", "bn1"),),
}
# DoublingBlock pays off on maps with at least this many cells, forwards and backwards (16x16; at 8x8 it is 1.3 times
# slower).
LARGE_MAP = 256


class DoublingBlock(Fixable, UpBlock):
    """An UpBlock whose upsampling and 3x3 convolution are merged into one transposed 4x4 convolution of stride 2.

    It needs 4/9 of the arithmetic and never creates the upsampled map. Its weights are sums of the 3x3 weights. On
    small maps, computing these sums costs more than the block saves.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return features at twice the resolution."""
        if x.shape[2] * x.shape[3] < LARGE_MAP:
            return super().forward(x)
        y = F.conv_transpose2d(x, self.kept(self._taps), self.conv.bias, stride=2, padding=1)
        return F.relu(self.norm(y), inplace=True)

    def _taps(self) -> Tensor:
        """Return the 3x3 weights (cout, cin, 3, 3) as weights of the transposed convolution: (cin, cout, 4, 4)."""
        taps = _doubled_taps(_doubled_taps(self.conv.weight).mT).mT.transpose(0, 1)
        return taps.contiguous(memory_format=torch.channels_last) if self.fixed else taps


def _doubled_taps(weight: Tensor) -> Tensor:
    """Return a transposed convolution's taps (..., 4), equivalent to upsampling and convolving with taps (..., 3)."""
    left, middle, right = weight.unbind(-1)
    return torch.stack([right, middle + right, left + middle, left], -1)


def speed_up(network: nn.Module) -> None:
    """Make a network's convolutions fast on a CPU, in place; it can be trained as before.

    Only the classes of modules change; parameters, hooks and the entries of the state dict do not. Results differ from
    those of the plain network only by rounding.
    """
    for module in network.modules():
        if type(module) is UpBlock:
            module.__class__ = DoublingBlock
        elif type(module) is nn.Conv2d and Conv3x3.suits(module):
            module.__class__ = Conv3x3


def rearrange(network: nn.Module) -> None:
    """Make a network fast, in place; it must be in eval mode and cannot be trained afterwards.

    In addition to `speed_up`, this folds batch norms into the convolutions before them, keeps transformed weights, uses
    the channels-last layout, and merges convolutions that have few output channels or computes them for several pixels
    at once. Results differ from those of the plain path only by rounding.
    """
    speed_up(network)
    for module in list(network.modules()):
        for conv_name, norm_name in _folds(module):
            conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
        if isinstance(module, Fixable):
            module.fix()
        if isinstance(module, DenseMotion):
            joined = Joined([module.mask, module.occlusion])
            # Set in the instance's dict, because a submodule of this name would not hide the method.
            vars(module)["heads"] = joined.to(memory_format=torch.channels_last)
        if isinstance(module, Hourglass):
            module.register_forward_pre_hook(_channels_last)
        for name, child in module.named_children():
            kept = name in getattr(module, "reads_weights_of", ())
            if isinstance(child, nn.Conv2d) and FourAtOnce.suits(child) and not kept:
                setattr(module, name, FourAtOnce(child))
            if isinstance(child, nn.InstanceNorm2d) and not child.track_running_stats:
                setattr(module, name, InstanceNormLast(child))
    network.to(memory_format=torch.channels_last)


def _folds(module: nn.Module) -> tuple[tuple[str, str], ...]:
    return next((pairs for kind, pairs in FOLDS.items() if isinstance(module, kind)), ())


class Joined(nn.Conv2d):
    """Several convolutions of the same maps, computed as one: (B, C, H, W) -> the result of each convolution."""

    def __init__(self, parts: Sequence[nn.Conv2d]) -> None:
        first = parts[0]
        self.widths = [part.out_channels for part in parts]
        super().__init__(first.in_channels, sum(self.widths), first.kernel_size, padding=first.padding)  # type: ignore[arg-type]
        self.weight = nn.Parameter(torch.cat([part.weight for part in parts]), requires_grad=False)
        self.bias = nn.Parameter(torch.cat([_bias(part) for part in parts]), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Return the result of each part."""
        return super().forward(x).split(self.widths, dim=1)


class FourAtOnce(nn.Conv2d):
    """A wide convolution with few output channels, computed with stride 2 for 2x2 neighbours at once; even sides only.

    Three channels of a 7x7 kernel become twelve channels of an 8x8 kernel at a quarter of the positions. With
    16-element registers, this takes a third of the work.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        few, channels, size, _ = conv.weight.shape
        super().__init__(channels, 4 * few, size + 1, stride=2, padding=size // 2)
        weight = conv.weight.new_zeros(few, 2, 2, channels, size + 1, size + 1)
        for row in range(2):
            for column in range(2):
                weight[:, row, column, :, row : row + size, column : column + size] = conv.weight
        self.weight = nn.Parameter(weight.flatten(0, 2), requires_grad=False)
        self.bias = nn.Parameter(_bias(conv).repeat_interleave(4), requires_grad=False)

    @staticmethod
    def suits(conv: nn.Conv2d) -> bool:
        """Return whether this class can replace `conv` and `conv` has few output channels and many input channels."""
        size = conv.kernel_size[0]
        same = conv.stride == (1, 1) and conv.padding == (size // 2, size // 2) and conv.groups == 1
        return same and size == 7 and conv.out_channels <= FEW_CHANNELS < conv.in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved maps, (B, C, H, W) -> (B, few, H, W)."""
        return F.pixel_shuffle(super().forward(x), 2)


class InstanceNormLast(nn.Module):
    """Instance norm of float32 maps that keeps the channels-last layout: (B, C, H, W) -> (B, C, H, W).

    Torch's instance norm is designed for planar maps and takes four times as long, including the conversion to that
    layout and back. Torch's group norm with one channel per group would be even faster, but it is 200 times less exact
    in this layout.
    """

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps with every channel at mean 0 and variance 1, then scaled and shifted."""
        if x.dtype != torch.float32 or x.device.type != "cpu" or torch.compiler.is_compiling():
            return self.norm(x)
        y = torch.empty_like(x, memory_format=torch.channels_last)
        for cells, out in zip(x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1), strict=True):  # a picture fits in the cache
            torch.sub(cells, _mean(cells), out=out)
            scale = torch.rsqrt(_mean(out * out) + self.norm.eps)
            out.mul_(scale if self.norm.weight is None else scale * self.norm.weight)
            if self.norm.bias is not None:
                out.add_(self.norm.bias)
        return y


def _mean(cells: Tensor) -> Tensor:
    """Return the mean of each channel, (H, W, C) -> (C), by rows first, because long running sums lose precision."""
    return cells.mean(0).mean(0)


def _bias(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias


def _channels_last(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Convert a module's input to channels last, because one planar map makes the result of a concatenation planar."""
    return tuple(x.contiguous(memory_format=torch.channels_last) for x in given)


def compile_blocks(network: nn.Module) -> None:
    """Compile a network's blocks with torch.compile: those in FOLDS, and sequences that contain convolutions."""
    # Blocks share their code, and torch compiles each for its own sizes; beyond 8 sizes it would leave the rest
    # uncompiled.
    torch._dynamo.config.recompile_limit = 64
    for module in network.modules():
        if _folds(module) or (isinstance(module, nn.Sequential) and any(isinstance(one, nn.Conv2d) for one in module)):
            module.compile()
