"""ULME-GAN as trained for the demo weights: its output maps move the template, and action units act as gates.

Without displacement, short training ends with attention 1 everywhere, so that the output is simply the source: the blur
in painted pictures outweighs the changes that they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from megbench.baselines.ulmegan.model import UlmeConfig, UlmeGenerator, inside
from megbench.core.recipe import recipe
from megbench.taught.displaced import displaced
from megbench.taught.units_trainer import Painting, TaughtUnitsConfig, TaughtUnitsTrainer

# Standard deviation of the outputs of newly initialised gates.
INITIAL_GATES = 0.5


@dataclass(frozen=True)
class DisplacedUlmeConfig(UlmeConfig):
    """Sizes as published. `displaced` and `units` mark this architecture on the cards of weights."""

    displaced: Literal[True] = True
    units: Literal["gates"] = "gates"


class DisplacedUlmeGenerator(UlmeGenerator):
    """ULME-GAN's generator whose colour map is the source, moved and brightened by output maps (taught/displaced.py).

    The first convolution's response to the action units multiplies the last features, so that a face at rest is left
    unchanged. If the units were planes appended to the picture, the first instance norm would remove them everywhere
    except near the borders. Before training, the colour map is the source. The state dict has the entries of the
    published network.
    """

    def __init__(self, config: UlmeConfig) -> None:
        super().__init__(config)
        nn.init.zeros_(self.color_top[0].weight)  # type: ignore[arg-type]
        nn.init.normal_(self.model[0].weight[:, 3:], 0, INITIAL_GATES)  # type: ignore[index]

    def features(self, picture: Tensor, action_units: Tensor) -> Tensor:
        """Return the last features of the picture alone, multiplied by the gates.

        The units are omitted from the first convolution, because planes of zeros would account for most of its work.
        """
        first = self.model[0]
        assert isinstance(first, nn.Conv2d)
        ungated = self.model[1:](F.conv2d(picture, first.weight[:, :3], first.bias, padding=first.padding))
        # On a scale that does not grow with the convolution's window.
        gates: Tensor = action_units @ (first.weight[:, 3:].sum((2, 3)) / first.weight.shape[-1]).T
        gated: Tensor = ungated * gates[:, :, None, None]
        return gated

    def colour(self, picture: Tensor, painted: Tensor) -> Tensor:
        """Return the colour map, (B, 3, H, W) in [-1, 1]: the picture, moved and brightened."""
        return displaced(picture, painted, darkest=-1)


def networks(config: DisplacedUlmeConfig) -> dict[str, nn.Module]:
    """Return the generator with fresh weights, keyed by its name in the published files."""
    return {"gen": DisplacedUlmeGenerator(config)}


class TaughtUlme:
    """ULME-GAN's generator, trained at its own picture size and without a discriminator.

    The colour map is trained as a separate picture, and attention is trained to be 1 where the truth is at rest. If
    both were trained through the composite, attention would hide the colours before they became useful and never reveal
    them again.
    """

    def __init__(self, config: DisplacedUlmeConfig) -> None:
        self.size = config.image_size
        self.generator = DisplacedUlmeGenerator(config)

    def networks(self) -> dict[str, nn.Module]:
        """Return the generator, keyed by its name in the published files."""
        return {"gen": self.generator}

    def paint(self, batch: Mapping[str, Tensor]) -> Painting:
        """Paint the batch's source; see megbench.taught.units_trainer.UnitsPupil."""
        source, target = (inside(batch[name], self.size) for name in ("source", "target"))
        painted = self.generator(source, batch["action_units_target"])
        return Painting(painted.painted, painted.colour / 2 + 0.5, target / 2 + 0.5, painted.attention)


# Settings for training ULME-GAN on exact motion; the default sizes are the published ones.
Recipe = recipe(
    {"model": DisplacedUlmeConfig(), "taught": TaughtUnitsConfig()},
    lambda model, taught: TaughtUnitsTrainer(TaughtUlme(model), taught),
)
