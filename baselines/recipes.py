"""What can be set when a baseline is trained: the published training, or the taught one of the demo weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from baselines import fomm, mraa
from baselines.fomm import FommConfig, FommTrainer
from baselines.mraa import MraaConfig
from baselines.mraa_training import MraaTrainer
from baselines.taught import TaughtFomm, TaughtMraa, TaughtRau, TaughtTps, TaughtUlme
from baselines.tps import TpsConfig
from baselines.tps_rau import RauConfig
from baselines.tps_rau_training import RauTrainer
from baselines.tps_training import TpsTrainer
from baselines.ulmegan import UlmeConfig
from baselines.ulmegan_training import UlmeTrainer
from core.contracts import Trainable
from nets.taught import TaughtConfig, TaughtTrainer
from nets.taught_units import TaughtUnitsConfig, TaughtUnitsTrainer


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


@dataclass(frozen=True)
class TpsRecipe:
    """Settings of a TPS training; the defaults are the published ones."""

    training: Literal["published", "taught"] = "published"
    model: TpsConfig = TpsConfig()
    taught: TaughtConfig = TaughtConfig()

    def trainer(self) -> Trainable:
        """The trainable with fresh weights. BenchError if the published losses lack their VGG-19 weights."""
        if self.training == "taught":
            return TaughtTrainer(TaughtTps(self.model), self.taught)
        return TpsTrainer(self.model)


@dataclass(frozen=True)
class RauRecipe:
    """Settings of a training of TPS with relative action units; published but for the mended switches of its config."""

    training: Literal["published", "taught"] = "published"
    model: RauConfig = RauConfig()
    taught: TaughtUnitsConfig = TaughtUnitsConfig()

    def trainer(self) -> Trainable:
        """The trainable with fresh weights. BenchError if the published losses lack their VGG-19 weights."""
        if self.training == "taught":
            return TaughtUnitsTrainer(TaughtRau(self.model), self.taught)
        return RauTrainer(self.model)


@dataclass(frozen=True)
class UlmeRecipe:
    """Settings of a ULME-GAN training; the defaults are the published ones but for the last epochs' learning rate."""

    training: Literal["published", "taught"] = "published"
    model: UlmeConfig = UlmeConfig()
    taught: TaughtUnitsConfig = TaughtUnitsConfig()

    def trainer(self) -> Trainable:
        """The trainable with fresh weights."""
        if self.training == "taught":
            return TaughtUnitsTrainer(TaughtUlme(self.model), self.taught)
        return UlmeTrainer(self.model)
