"""The published training procedure of ULME-GAN: a Wasserstein critic that also reads action units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.baselines.ulmegan.model import Painted, UlmeConfig, inside, networks
from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.draws import each
from megbench.core.openface_units import needed
from megbench.core.recipe import recipe


class UlmeTrainer:
    """The published training procedure (megbench.core.contracts.Trainable).

    A batch contains `source`, (B, 3, S, S) float32 in [0, 1], and its action units, `action_units_source`, (B, 17),
    intensity / 5. The target action units are those of the batch in random order, with noise. (If the batch is divided,
    each part is shuffled by itself; no other random choice depends on the division.)

    Published defects that are programming errors are not reproduced: the penalty's gradient is reshaped, and a batch of
    one picture remains a batch. For the published defect of the learning rate there is a switch, `UlmeConfig.schedule`.
    Without gradients, as in validation, only two losses are computed, which show how good the weights are: the loss of
    the action units that the discriminator reads in the fake picture, and the reconstruction loss.
    """

    stages: tuple[str, ...] = ("main",)

    def __init__(self, config: UlmeConfig) -> None:
        self.config = config
        self._networks = networks(config)

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks, keyed by their names in the published files."""
        return self._networks

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return one Adam optimiser per network, whose learning rate falls to zero over the last epochs."""
        first, last = self.config.epochs - 1, self.config.epochs + self.config.decay_epochs
        early = 1 if self.config.schedule == "published" else 0
        decay = (first - early, last - early)
        return {name: OptimiserSpec((name,), self.config.lr, decay=decay) for name in self._networks}

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Yield the discriminator's phase and, at every `critic_steps`-th step of an epoch, that of the generator."""
        source, units = inside(batch["source"], self.config.image_size), needed(batch, "action_units_source")
        draws = np.stack([one.random(units.shape[1] + 1, dtype=np.float32) for one in each(rng, len(units))])
        noise = self.config.au_noise * (2 * draws[:, :-1] - 1)
        wanted = units[rng.permutation(len(units))] + torch.from_numpy(noise).to(units)
        alpha = torch.from_numpy(draws[:, -1, None, None, None]).to(units)
        yield from self.phases(source, units, wanted, alpha, index % self.config.critic_steps == 0)

    def phases(self, source: Tensor, units: Tensor, wanted: Tensor, alpha: Tensor, generate: bool) -> Iterator[Phase]:
        """Yield the phases of a step on pictures in [-1, 1] with their units (B, 17) and target units (B, 17).

        alpha: (B, 1, 1, 1), the weights with which real and fake pictures are mixed for the gradient penalty. In the
        generator's phase, the updated discriminator judges the fake picture that was painted for the first phase.
        """
        gen, dis, weights = self._networks["gen"], self._networks["dis"], self.config.weights
        if not torch.is_grad_enabled():
            fake = gen(source, wanted)
            told = {"gen_fake_aus": F.mse_loss(dis(fake.picture)[1], wanted)}
            told["gen_rec"] = F.l1_loss(gen(fake.picture, units).picture, source)
            yield Phase(("gen",), weighted(weights.__dict__, told))
            return
        with torch.set_grad_enabled(generate):
            fake = gen(source, wanted)
        yield Phase(("dis",), weighted(weights.__dict__, self.discriminator_terms(source, units, fake, alpha)))
        if generate:
            rebuilt = gen(fake.picture, units)
            yield Phase(("gen",), weighted(weights.__dict__, self.generator_terms(source, wanted, fake, rebuilt)))

    def discriminator_terms(self, source: Tensor, units: Tensor, fake: Painted, alpha: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's losses before weighting."""
        dis = self._networks["dis"]
        judged, read = dis(source)
        invented = fake.picture.detach()
        mixed = alpha * source + (1 - alpha) * invented
        return {
            "dis_real": gan_loss(self.config.gan, judged, True),
            "dis_fake": gan_loss(self.config.gan, dis(invented)[0], False),
            "dis_real_aus": F.mse_loss(read, units),
            "dis_gp": gradient_penalty(dis, mixed),
        }

    def generator_terms(self, source: Tensor, wanted: Tensor, fake: Painted, rebuilt: Painted) -> dict[str, Tensor]:
        """Return the generator's losses before weighting."""
        judged, read = self._networks["dis"](fake.picture)
        return {
            "gen_GAN": gan_loss(self.config.gan, judged, True),
            "gen_fake_aus": F.mse_loss(read, wanted),
            "gen_rec": F.l1_loss(rebuilt.picture, source),
            "gen_mask_real_aus": fake.attention.mean(),
            "gen_mask_fake_aus": rebuilt.attention.mean(),
            "gen_smooth_real_aus": total_variation(fake.attention),
            "gen_smooth_fake_aus": total_variation(rebuilt.attention),
        }


# The weight of each loss, by its name in UlmeWeights.
WEIGHED_BY = {
    "dis_real": "gan",
    "dis_fake": "gan",
    "dis_real_aus": "action_units",
    "dis_gp": "penalty",
    "gen_GAN": "gan",
    "gen_fake_aus": "action_units",
    "gen_rec": "reconstruction",
    "gen_mask_real_aus": "mask",
    "gen_mask_fake_aus": "mask",
    "gen_smooth_real_aus": "smooth",
    "gen_smooth_fake_aus": "smooth",
}


def weighted(weights: Mapping[str, float], terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the losses multiplied by their weights."""
    return {name: weights[WEIGHED_BY[name]] * term for name, term in terms.items()}


def gan_loss(kind: str, judged: Tensor, real: bool) -> Tensor:
    """Return the loss of a patch map of real or fake pictures. kind: "wgan-gp" or "lsgan"."""
    if kind == "lsgan":
        return F.mse_loss(judged, torch.full_like(judged, float(real)))
    return -judged.mean() if real else judged.mean()


def gradient_penalty(discriminator: nn.Module, mixed: Tensor) -> Tensor:
    """Return the mean of (|g(z)| - 1)^2 over pictures z, where g is the gradient of the sum of the patch map.

    mixed: the pictures z, (B, 3, S, S). Source: Gulrajani et al. 2017.
    """
    with torch.enable_grad():
        mixed = mixed.detach().requires_grad_(True)
        judged, _ = discriminator(mixed)
        (slope,) = torch.autograd.grad(judged.sum(), mixed, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


def total_variation(mask: Tensor) -> Tensor:
    """Return twice the sum of the mean squared vertical and horizontal differences of masks (B, C, H, W)."""
    down, across = mask.diff(dim=2).square(), mask.diff(dim=3).square()
    return 2 * (down.mean() + across.mean())


# Settings for training ULME-GAN, as published except for the learning rate in the last epochs.
Recipe = recipe({"model": UlmeConfig()}, UlmeTrainer, networks)
