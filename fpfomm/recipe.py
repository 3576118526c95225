"""What can be set when FPB-FOMM is trained: the published training, or the taught one of the demo weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from core.contracts import Trainable
from fpfomm.model import FpFommConfig, networks
from fpfomm.taught import TaughtFpFomm
from fpfomm.trainer import FpFommTrainer
from nets.taught import TaughtConfig, TaughtTrainer


@dataclass(frozen=True)
class FpFommRecipe:
    """Settings of an FPB-FOMM training; the defaults are the published ones."""

    training: Literal["published", "taught"] = "published"
    model: FpFommConfig = FpFommConfig()
    taught: TaughtConfig = TaughtConfig()

    @staticmethod
    def networks(config: FpFommConfig) -> dict[str, nn.Module]:
        """The networks of a config by the published checkpoints' names, with fresh weights."""
        return networks(config)

    def trainer(self) -> Trainable:
        """The trainable with fresh weights. BenchError if the published losses lack their VGG-19 weights."""
        if self.training == "taught":
            return TaughtTrainer(TaughtFpFomm(self.model, self.taught), self.taught)
        return FpFommTrainer(self.model)
