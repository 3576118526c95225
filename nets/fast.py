"""Networks rearranged for inference. The plain path is the networks as they are; tests hold this one to it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nets.fixed import Fixable


def rearrange(network: nn.Module) -> None:
    """Fold batch norms into the convolutions before them, keep transformed weights, lay channels last; in place.

    For networks in eval mode that will not be trained again. Differs from the plain path by rounding alone.
    """
    for module in network.modules():
        for conv_name, norm_name in getattr(module, "folds", ()):
            conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
        if isinstance(module, Fixable):
            module.fix()
    network.to(memory_format=torch.channels_last)


def compile_blocks(network: nn.Module) -> None:
    """Compile every block (see nets/blocks.py) by torch.compile."""
    # Blocks share their code, and each is compiled for its own sizes; beyond 8 torch would leave the rest as they are.
    torch._dynamo.config.recompile_limit = 64
    for module in network.modules():
        if hasattr(module, "folds"):
            module.compile()
