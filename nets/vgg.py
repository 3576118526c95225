"""VGG features for the perceptual loss (Johnson et al. 2016): VGG-19 as used by FOMM, and VGG-16.

The weights are torchvision's ImageNet weights; this file contains the architectures only. Published systems use VGG-19.
VGG-16 has one convolution fewer in each of the third and fourth blocks; its features are those of the layers with the
same names.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

# Channels of the convolutions, each followed by a ReLU; 0 is a 2x2 max pool. The stack ends at relu5_1.
LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)
# The layers that give the five feature maps (torchvision's numbers): relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.
TAPS = (2, 7, 12, 21, 30)
# The channels of VGG-16, and its layers that give the five feature maps.
LAYERS_16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512)
TAPS_16 = (2, 7, 12, 19, 26)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Vgg19(nn.Module):
    """VGG-19 up to relu5_1, frozen; its keys are torchvision's, `features.N.weight|bias`."""

    layers: ClassVar[tuple[int, ...]] = LAYERS
    taps: ClassVar[tuple[int, ...]] = TAPS
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in self.layers:
            if width:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)  # 3 1 1
        self.requires_grad_(False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return five feature maps of RGB pictures (B, 3, H, W) in [0, 1], not clipped; H and W must be at least 16."""
        x = (picture - self.mean) / self.std
        found = []
        for index, layer in enumerate(self.features, start=1):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


class Vgg16(Vgg19):
    """VGG-16 up to relu5_1, otherwise the same as Vgg19."""

    layers = LAYERS_16
    taps = TAPS_16
