"""What can be set when FOMM or MRAA is trained: the published training, or the taught one of the demo weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from baselines import fomm, mraa
from baselines.fomm import FommConfig, FommTrainer
from baselines.mraa import MraaConfig
from baselines.mraa_training import MraaTrainer
from baselines.taught import TaughtFomm, TaughtMraa
from core.contracts import Trainable
from nets.taught import TaughtConfig, TaughtTrainer


@dataclass(frozen=True)
class FommRecipe:
    """Settings of a FOMM training; the defaults are the published ones."""

    training: Literal["published", "taught"] = "published"
    model: FommConfig = FommConfig()
    taught: TaughtConfig = TaughtConfig()

    @staticmethod
    def networks(config: FommConfig) -> dict[str, nn.Module]:
        """The networks of a config by the published checkpoints' names, with fresh weights."""
        return fomm.networks(config)

    def trainer(self) -> Trainable:
        """The trainable with fresh weights. BenchError if the published losses lack their VGG-19 weights."""
        if self.training == "taught":
            return TaughtTrainer(TaughtFomm(self.model), self.taught)
        return FommTrainer(self.model)


@dataclass(frozen=True)
class MraaRecipe:
    """Settings of an MRAA training; the defaults are the published ones."""

    training: Literal["published", "taught"] = "published"
    model: MraaConfig = MraaConfig()
    taught: TaughtConfig = TaughtConfig()

    @staticmethod
    def networks(config: MraaConfig) -> dict[str, nn.Module]:
        """The networks of a config by the published checkpoints' names, with fresh weights."""
        return mraa.networks(config)

    def trainer(self) -> Trainable:
        """The trainable with fresh weights. BenchError if the published losses lack their VGG-19 weights."""
        if self.training == "taught":
            return TaughtTrainer(TaughtMraa(self.model), self.taught)
        return MraaTrainer(self.model)
