"""ULME-GAN (Zhou et al., MEGC2021): a face of 128 x 128 pixels is repainted from the intensities of 17 action units.

A conditional GAN modelled on GANimation (Pumarola et al., ECCV 2018): the generator paints a colour map C and an
attention mask A and returns A x + (1 - A) C, so that A = 1 keeps the source. Pictures inside the networks are RGB in
[-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from megbench.baselines.ulmegan.action_units import sequence
from megbench.baselines.ulmegan.pictures import enlarged, inside, outside, through_jpeg
from megbench.core.config import Count, Positive
from megbench.core.frames import SIZE
from megbench.core.openface_units import OPENFACE
from megbench.nets.geometry import in_float32
from megbench.nets.inference import Frames, parts, pictures

# Standard deviation of the initial convolution weights.
INITIAL = 0.02
LEAK = 0.01


@dataclass(frozen=True)
class UlmeWeights:
    """Weights of the losses. As published, mask and smooth are 0; in GANimation they are about 0.1 and 1e-5."""

    gan: float = 1.0
    action_units: float = 160.0
    penalty: float = 10.0
    reconstruction: float = 10.0
    mask: float = 0.0
    smooth: float = 0.0


@dataclass(frozen=True)
class UlmeConfig:
    """Sizes and training settings; the defaults are the published ones.

    width: the number of channels of the generator's first layer. gan: the loss on the discriminator's patch map; the
    gradient penalty is added to either kind. epochs: the number of epochs with a constant learning rate. decay_epochs:
    the number with a falling one. schedule: with "published", the fall begins one epoch early, so that the learning
    rate of the last epoch is 0. au_noise: half the width of the uniform noise added to target action units
    (intensity / 5). critic_steps: the number of discriminator steps for each step of the generator.
    """

    image_size: Count = 128
    width: Count = 64
    residual_blocks: Count = 6
    discriminator_width: Count = 64
    gan: Literal["wgan-gp", "lsgan"] = "wgan-gp"
    weights: UlmeWeights = UlmeWeights()
    lr: Positive = 1e-4
    epochs: Count = 20
    decay_epochs: Count = 10
    schedule: Literal["intended", "published"] = "intended"
    au_noise: float = 0.1
    critic_steps: Count = 5


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norms, whose result is added to the input: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the residual, without an activation after the sum."""
        out: Tensor = x + self.conv_block(x)
        return out


@dataclass(frozen=True)
class Painted:
    """The generator's output.

    painted: (B, 3, H, W), the maps from which colours are computed. colour: (B, 3, H, W) in [-1, 1]. attention:
    (B, 1, H, W), where 1 keeps the source. picture: the composite, (B, 3, H, W) in [-1, 1].
    """

    painted: Tensor
    colour: Tensor
    attention: Tensor
    picture: Tensor


class UlmeGenerator(nn.Module):
    """A generator of a colour map and an attention mask from a picture and action units (intensity / 5)."""

    def __init__(self, config: UlmeConfig) -> None:
        super().__init__()
        width = config.width
        layers = _normed(nn.Conv2d(3 + len(OPENFACE), width, 7, padding=3))
        for channels in (width, 2 * width):
            layers += _normed(nn.Conv2d(channels, 2 * channels, 4, 2, padding=1))
        layers += [ResidualBlock(4 * width) for _ in range(config.residual_blocks)]
        for channels in (4 * width, 2 * width):
            layers += _normed(nn.ConvTranspose2d(channels, channels // 2, 4, 2, padding=1))
        self.model = nn.Sequential(*layers)
        self.color_top = nn.Sequential(nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh())
        self.au_top = nn.Sequential(nn.Conv2d(width, 1, 7, padding=3, bias=False), nn.Sigmoid())
        _initialise(self)

    def forward(self, picture: Tensor, action_units: Tensor) -> Painted:
        """Paint pictures (B, 3, H, W) in [-1, 1] with action units (B, 17); H and W must be multiples of 4."""
        painted, attention = self._tops(self.features(picture, action_units))
        colour = self.colour(picture, painted)
        return Painted(painted, colour, attention, attention * picture + (1 - attention) * colour)

    def features(self, picture: Tensor, action_units: Tensor) -> Tensor:
        """Return the last features: (B, width, H, W).

        The units are constant planes appended to the picture. As published, the first instance norm removes such planes
        everywhere except near the borders.
        """
        planes = action_units[:, :, None, None].expand(-1, -1, *picture.shape[2:])
        features: Tensor = self.model(torch.cat([picture, planes], dim=1))
        return features

    def colour(self, picture: Tensor, painted: Tensor) -> Tensor:
        """Return the colour map, (B, 3, H, W) in [-1, 1]."""
        return torch.tanh(painted)

    @in_float32
    def _tops(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the painted maps and the attention, in float32: bfloat16 has only 128 levels between 0.5 and 1."""
        return self.color_top[0](features), self.au_top(features)


class UlmeDiscriminator(nn.Module):
    """A discriminator that judges, patch by patch, whether a picture is real, and estimates its action units.

    The output keeps the batch axis even for a batch of one picture; the published code drops it.
    """

    def __init__(self, config: UlmeConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, width = 3, config.discriminator_width
        for _ in range(6):
            layers += [nn.Conv2d(channels, width, 4, 2, padding=1), nn.LeakyReLU(LEAK)]
            channels, width = width, 2 * width
        self.model = nn.Sequential(*layers)
        self.dis_top = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.aus_top = nn.Conv2d(channels, len(OPENFACE), config.image_size // 64, bias=False)
        _initialise(self)

    @in_float32
    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return a patch map (B, S/64, S/64) and action units (B, 17), intensity / 5.

        picture: (B, 3, S, S) in [-1, 1].
        """
        features = self.model(picture)
        return self.dis_top(features)[:, 0], self.aus_top(features)[:, :, 0, 0]


def _normed(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(layer.out_channels), nn.ReLU()]


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, INITIAL)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def networks(config: UlmeConfig) -> dict[str, nn.Module]:
    """Return both networks, newly initialised and keyed by their names in published files (`<epoch>_net_gen.pth`)."""
    return {"gen": UlmeGenerator(config), "dis": UlmeDiscriminator(config)}


@dataclass(frozen=True)
class UlmeAnimator:
    """Inference: a template is repainted frame by frame.

    mode: how action units are processed (action_units.MODES). fit: if "published", see action_units.fitted. output:
    "published" truncates frames to eight bits and applies JPEG compression twice.
    """

    generator: nn.Module
    image_size: int
    device: str
    batch_size: int
    mode: str = "recode_linear"
    fit: str = "intended"
    output: str = "clean"

    def sequence(
        self, intensity: npt.NDArray[np.float64], presence: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float32]:
        """Return the action units (T, 17) that the generator receives for a driver's units, (T, 17) each."""
        return sequence(intensity, presence, self.mode, self.fit == "published").astype(np.float32)

    def follow(
        self,
        face: Tensor,
        intensity: npt.NDArray[np.float64],
        presence: npt.NDArray[np.float64],
        landmarks: None = None,
    ) -> Frames:
        """Return the template animated by a driver's action units, (T, 17) each: uint8 (T, 256, 256, 3) RGB."""
        return self.animate(face, self.sequence(intensity, presence), SIZE, self.output == "published")

    @torch.inference_mode()
    def face(self, image: Frames, landmarks: None = None) -> Tensor:
        """Return a template, uint8 (H, W, 3) RGB, as input to the generator, with batch size 1."""
        return inside(pictures(image[None], self.device), self.image_size)

    @torch.inference_mode()
    def paint(self, face: Tensor, action_units: npt.NDArray[np.float32]) -> Painted:
        """Paint the template with action units (T, 17), intensity / 5, in one batch."""
        units = torch.from_numpy(action_units).to(self.device)
        painted: Painted = self.generator(face.expand(len(units), -1, -1, -1), units)
        return painted

    def animate(self, face: Tensor, action_units: npt.NDArray[np.float32], size: int, as_published: bool) -> Frames:
        """Return the template animated by action units (T, 17): uint8 (T, size, size, 3) RGB.

        as_published: whether frames are truncated to eight bits and compressed as JPEG twice, before and after they are
        enlarged.
        """
        frames = []
        for part in parts(len(action_units), self.batch_size):
            for frame in outside(self.paint(face, action_units[part]).picture, as_published):
                large = enlarged(through_jpeg(frame) if as_published else frame, size)
                frames.append(through_jpeg(large) if as_published else large)
        return np.stack(frames)


def generator(nets: Mapping[str, nn.Module]) -> UlmeGenerator:
    """Return the generator among these networks."""
    made = nets["gen"]
    assert isinstance(made, UlmeGenerator)
    return made


def animator(
    config: UlmeConfig, nets: Mapping[str, nn.Module], options: Mapping[str, str], device: str, batch_size: int
) -> UlmeAnimator:
    """Return an animator that runs the generator; options: "mode", "fit" and "output", see UlmeAnimator."""
    mode, fit, output = (options[name] for name in ("mode", "fit", "output"))
    return UlmeAnimator(nets["gen"], config.image_size, device, batch_size, mode, fit, output)
