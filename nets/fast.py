"""Networks rearranged for inference. The plain path is the networks as they are; tests hold this one to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nets.blocks import Hourglass
from nets.dense_motion import DenseMotion
from nets.fixed import Fixable

# Processors multiply 8 or 16 channels of a result at once, so a convolution that makes fewer wastes the rest. From so
# many channels down, its results for 2x2 neighbours are made at once.
FEW_CHANNELS = 4


def rearrange(network: nn.Module) -> None:
    """Fold batch norms into the convolutions before them, keep transformed weights, lay channels last; in place.

    Convolutions that make few channels are joined or done for several pixels at once. For networks in eval mode that
    will not be trained again. Differs from the plain path by rounding alone.
    """
    for module in list(network.modules()):
        for conv_name, norm_name in getattr(module, "folds", ()):
            conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
        if isinstance(module, Fixable):
            module.fix()
        if isinstance(module, DenseMotion):
            joined = Joined([module.mask, module.occlusion])
            vars(module)["heads"] = joined.to(memory_format=torch.channels_last)  # where a submodule could not hide it
        if isinstance(module, Hourglass):
            module.register_forward_pre_hook(_channels_last)
        for name, child in module.named_children():
            kept = name in getattr(module, "reads_weights_of", ())
            if isinstance(child, nn.Conv2d) and FourAtOnce.suits(child) and not kept:
                setattr(module, name, FourAtOnce(child))
            if isinstance(child, nn.InstanceNorm2d) and not child.track_running_stats:
                setattr(module, name, InstanceNormLast(child))
    network.to(memory_format=torch.channels_last)


class Joined(nn.Conv2d):
    """Convolutions of the same maps as one: (B, C, H, W) -> the results of each."""

    def __init__(self, parts: Sequence[nn.Conv2d]) -> None:
        first = parts[0]
        self.widths = [part.out_channels for part in parts]
        super().__init__(first.in_channels, sum(self.widths), first.kernel_size, padding=first.padding)  # type: ignore[arg-type]
        self.weight = nn.Parameter(torch.cat([part.weight for part in parts]), requires_grad=False)
        self.bias = nn.Parameter(torch.cat([_bias(part) for part in parts]), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """The results of every part."""
        return super().forward(x).split(self.widths, dim=1)


class FourAtOnce(nn.Conv2d):
    """A wide convolution of few results as one of stride 2 that makes those of 2x2 neighbours; even sides only.

    Three channels of a 7x7 kernel are twelve of an 8x8 kernel at a quarter of the places: three times less work for
    registers of 16 numbers.
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
        """Whether it is of the kind this can do, and makes few channels of many."""
        size = conv.kernel_size[0]
        same = conv.stride == (1, 1) and conv.padding == (size // 2, size // 2) and conv.groups == 1
        return same and size == 7 and conv.out_channels <= FEW_CHANNELS < conv.in_channels

    def forward(self, x: Tensor) -> Tensor:
        """The convolved maps, (B, C, H, W) -> (B, few, H, W)."""
        return F.pixel_shuffle(super().forward(x), 2)


class InstanceNormLast(nn.Module):
    """Instance norm of float32 maps that lie channels last, in their layout: (B, C, H, W) -> the same.

    Torch's is made for planar maps and takes four times as long, with what it costs to lay them there and back; its
    group norm with a channel a group would be faster still, and is 200 times less exact in this layout.
    """

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """The maps, every channel of mean 0 and variance 1, then scaled and shifted."""
        if x.dtype != torch.float32 or x.device.type != "cpu" or torch.compiler.is_compiling():
            return self.norm(x)
        y = torch.empty_like(x, memory_format=torch.channels_last)
        for cells, out in zip(x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1), strict=True):  # a picture fits the cache
            torch.sub(cells, _mean(cells), out=out)
            scale = torch.rsqrt(_mean(out * out) + self.norm.eps)
            out.mul_(scale if self.norm.weight is None else scale * self.norm.weight)
            if self.norm.bias is not None:
                out.add_(self.norm.bias)
        return y


def _mean(cells: Tensor) -> Tensor:
    """Means of channels, (H, W, C) -> (C), by rows first: few numbers are added up one after another."""
    return cells.mean(0).mean(0)


def _bias(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias


def _channels_last(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Lay a module's input channels last. A planar map that is appended to others makes them all planar."""
    return tuple(x.contiguous(memory_format=torch.channels_last) for x in given)


def compile_blocks(network: nn.Module) -> None:
    """Compile every block (see nets/blocks.py) by torch.compile."""
    # Blocks share their code, and each is compiled for its own sizes; beyond 8 torch would leave the rest as they are.
    torch._dynamo.config.recompile_limit = 64
    for module in network.modules():
        if hasattr(module, "folds"):
            module.compile()
