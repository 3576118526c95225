"""ULME-GAN as a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from megbench.core.clip import Clip, Template
from megbench.core.config import build
from megbench.core.errors import BenchError
from megbench.core.media.frames import SIZE, Frames
from megbench.core.openface_units import LARGEST, UnitTable
from megbench.methods.au_driven import AuDriven
from megbench.methods.au_sources import ActionUnits
from megbench.methods.trained import DEMO

if TYPE_CHECKING:
    from torch import nn

# Whether units present in less than half of the frames are dropped, and how the sequence is fitted to its apex.
MODES = {
    "recode_linear": (True, "linear"),
    "recode": (True, "none"),
    "plain": (False, "none"),
    "apex_frame": (True, "apex"),
}


class UlmeGan(AuDriven):
    """ULME-GAN. Modes, also as variants: recode_linear (default, the MEGC2021 entry), recode, plain, apex_frame.

    Options: au_source (see methods/au_sources.py); fit=published, whose falling slope aims at the second frame instead
    of the last; output=published, which truncates to eight bits and passes twice through JPEG. Pictures are 128 pixels
    inside and doubled.
    """

    name = "ulmegan"
    modes = tuple(MODES)
    demo_network = (
        "it moves the template by what it paints instead of painting it, action units as gates, narrower layers"
    )
    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **AuDriven.takes,
        "fit": ("intended", "published"),
        "output": ("clean", "published"),
    }

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        if variant in MODES and "mode" in options:
            raise BenchError(f"ulmegan@{variant} is a mode already. Leave out mode={options['mode']}, or the variant.")
        super().__init__(variant, {**options, "mode": variant} if variant in MODES else options)
        self.fit_as_published = options.get("fit") == "published"
        self.output_as_published = options.get("output") == "published"

    @property
    def whose(self) -> str:
        """The variant whose weights are used: the demo weights where the variant is a mode."""
        return DEMO if self.variant in MODES else self.variant

    def identity(self) -> Mapping[str, Any]:
        """With the published switches."""
        switches = {"fit": self.fit_as_published, "output": self.output_as_published}
        return {**super().identity(), "as_published": switches}

    def build(self, settings: Mapping[str, Any]) -> dict[str, nn.Module]:
        """The generator."""
        from megbench.baselines.ulmegan.model import UlmeConfig, UlmeGenerator

        kinds: tuple[type[UlmeConfig], type[UlmeGenerator]] = UlmeConfig, UlmeGenerator
        if settings.get("displaced"):
            from megbench.taught.ulmegan import DisplacedUlmeConfig, DisplacedUlmeGenerator

            kinds = DisplacedUlmeConfig, DisplacedUlmeGenerator
        config = build(kinds[0], settings, "config")
        self.image_size = config.image_size
        return {"gen": kinds[1](config)}

    def make_animator(self) -> Any:
        """Inference with the loaded generator."""
        from megbench.baselines.ulmegan.model import UlmeAnimator

        return UlmeAnimator(self.networks["gen"], self.image_size, self.device, self.batch_size)

    def encoded(self, template: Template) -> Any:
        """The template as the generator sees it."""
        return self.animator.face(template.image)

    def sequence(self, units: ActionUnits) -> UnitTable:
        """The action units (T, 17) that the generator is given, intensity / 5, under the mode."""
        from megbench.baselines.ulmegan.action_units import fitted, recoded, top_frame

        recode, fit = MODES[self.mode]
        intensity = recoded(units.intensity, units.presence) if recode else units.intensity
        return fitted(
            intensity / LARGEST,
            fit,  # type: ignore[arg-type]
            top_frame(intensity),
            as_published=self.fit_as_published,
        )

    def painted(self, template: Template, driver: Clip, units: ActionUnits) -> Frames:
        """The template under the driver's action units."""
        sequence = self.sequence(units).astype(np.float32)
        frames: Frames = self.animator.animate(self.face(template), sequence, SIZE, self.output_as_published)
        return frames
