"""Run any generator from its descriptor (core/generator.py): settings, networks and encoded templates."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from megbench.core.clip import Clip, Template
from megbench.core.config import build
from megbench.core.errors import BenchError, unknown_name
from megbench.core.frames import Frames, grey
from megbench.core.generator import DEMO, Generator, networks_at
from megbench.core.provenance import recipe
from megbench.core.weights.network_weights import (
    clips_seen,
    load_states,
    network_names,
    read_card,
    read_weights,
    weights_hash,
)
from megbench.methods.cards import (
    card_marks,
    card_of,
    current,
    demo_weights,
    find_weights,
    is_displaced,
    status_marks,
    untrained_networks,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

# The variant of the demo networks with seeded random weights, which shows what the networks do without any training.
UNTRAINED = "untrained"
SEED = 0
# The number of frames in one call on each kind of device. Rounding depends on it, so it is part of the identity.
BATCH_SIZES = {"cpu": 4, "cuda": 16}
# The version of the rearrangement in nets/fast.py, which may change the last bit of results.
FAST_PATH = "4"
SPEED = {"precision": ("float32", "bf16"), "compile": ("no", "yes")}
# The number of encoded templates kept at a time; each contains features (6 MB at the demo sizes, 30 MB at the
# published sizes).
MOST_FACES = 16
# The module that finds landmarks. It is imported by name, so that it enters only the keys of generators that need it.
LANDMARKS = "megbench.faces.landmarks"
# The settings of weights whose networks move the template instead of painting it, used if a card says `displaced`.
DISPLACED = {
    "tps_rau": "megbench.taught.tps_rau:DisplacedRauConfig",
    "ulmegan": "megbench.taught.ulmegan:DisplacedUlmeConfig",
}


class GeneratorMethod(ABC):
    """A generator with weights: `name[@variant][:mode=MODE]`, and the options in its descriptor.

    Every generator has the options `precision` (bf16: convolutions in bfloat16, geometry and softmaxes in float32) and
    `compile` (yes: use torch.compile, which requires a C++ compiler).

    Variant "" is "demo", the weights in the repository. "untrained" is the demo variant with random weights, which is a
    control. Any other variant is the file <name>@<variant> in the folder specified by MEGBENCH_WEIGHTS, or in
    `.megbench/weights`: .safetensors (with its JSON file), .pth or .pth.tar (published sizes). Raise BenchError if an
    option or a mode is unknown, or if weights are missing.
    """

    # Options and their choices, shared by all generators that are driven by the same input.
    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, generator: Generator, variant: str, options: Mapping[str, str]) -> None:
        self.generator, self.name = generator, generator.name
        self.variant = variant or DEMO
        self.is_control = self.variant == UNTRAINED
        if self._is_mode and "mode" in options:
            raise BenchError(
                f"{self.name}@{variant} is already a mode. Leave out mode={options['mode']} or the variant."
            )
        choices = {"mode": tuple(generator.modes), **generator.options, **SPEED, **self.takes}
        for option, value in options.items():
            if option not in choices:
                raise unknown_name(f"option of {self.name}:", option, [*choices, "magnify"])
            if value not in choices[option]:
                raise unknown_name(f"{option} of {self.name}:", value, choices[option])
        self.options = {option: options.get(option, known[0]) for option, known in generator.options.items()}
        self._mode = variant if self._is_mode else options.get("mode")
        self.precision = options.get("precision", "float32")
        self.compiled = options.get("compile") == "yes"
        compiler = os.environ.get("CXX") or "g++"
        if self.compiled and shutil.which(shlex.split(compiler)[0]) is None:
            raise BenchError(
                f"compile=yes needs a C++ compiler, but {compiler!r} was not found. Install it, or leave compile out."
            )

    @abstractmethod
    def encoded(self, template: Template) -> Any:
        """Return the template as encoded by the animator, once for all drivers."""

    @abstractmethod
    def moved(self, template: Template, driver: Clip) -> Frames:
        """Return the template with the driver's motion, as `animate` does."""

    @functools.cached_property
    def mode(self) -> str:
        """The mode of motion transfer: the one requested or, by default, the first that the weights allow."""
        return self._mode or next(mode for mode in self.generator.modes if not self._lacking(mode))

    @property
    def whose(self) -> str:
        """The variant whose weights are used, which is demo if the variant is a mode."""
        return DEMO if self._is_mode else self.variant

    @property
    def weights(self) -> Path:
        """The variant's weights file. If it is missing, raise BenchError, saying how to obtain it."""
        return find_weights(self.name, DEMO if self.is_control else self.whose)

    def settings(self) -> dict[str, Any]:
        """Return the config from the weights' card, or {} for published checkpoints, which have the default sizes."""
        if self._is_blank or self.weights.suffix != ".safetensors":
            return {}
        config = read_card(self.weights).get("config")
        if not isinstance(config, dict):
            raise BenchError(
                f"{self.weights.with_suffix('.json')} lacks the entry 'config', which gives the networks' sizes."
                " Restore the card that was saved with the weights."
            )
        return current(config)

    def seen(self) -> Mapping[str, list[str]]:
        """Return the "clips" and "people" that the weights were trained on, or {} if these are unknown."""
        return {} if self.is_control else clips_seen(self.weights)

    @property
    def marks(self) -> dict[str, str]:
        """Notes on the weights for readers of the scores: a word for the tables and a sentence each."""
        if self.is_control:
            return {"untrained": "The demo network with random weights: shows what it does before any training."}
        known = self.generator.weights.get(DEMO)
        if self.whose == DEMO and known:
            return status_marks(known)
        return card_marks(card_of(self.weights), card_of(demo_weights(self.name)), known)

    def identity(self) -> Mapping[str, Any]:
        """Return what determines frames apart from inputs and code: weights, config, mode, batch size and arithmetic.

        This includes the code of modules that are imported only by name (networks, landmarks).
        """
        settings, mode = self.settings(), self.generator.modes[self.mode]
        return {
            "weights": f"random, seed {SEED}" if self.is_control else weights_hash(self.weights),
            "config": settings or "published",
            "mode": self.mode,
            "options": self.options,
            "needs": [*mode.networks, self.generator.landmarks, mode.driver_landmarks],
            "networks": {place: recipe(place.partition(":")[0]) for place in self._places(settings)},
            "landmarks": recipe(LANDMARKS) if self.generator.landmarks or mode.driver_landmarks else None,
            "batch_sizes": BATCH_SIZES,
            "arithmetic": {"precision": self.precision, "compiled": self.compiled, "fast_path": FAST_PATH},
        }

    def prepare(self, device: str) -> None:
        """Build the networks on `device` in eval mode and load their weights."""
        import torch

        from megbench.nets.fast import compile_blocks, rearrange

        self.device = device
        # TensorFloat-32 keeps ten bits of the mantissa; motion of half a pixel needs more.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        config, self.networks = self._loaded()
        for network in self.networks.values():
            rearrange(network.to(device).eval().requires_grad_(False))
            if self.compiled:
                compile_blocks(network)
        chosen = {"mode": self.mode, **self.options}
        self.animator = self.model.animator(config, self.networks, chosen, device, self.batch_size)
        self._faces: dict[str, Any] = {}

    def check_files(self) -> None:
        """Load the weights as in `prepare` and discard them. Raise BenchError if they cannot be loaded."""
        if not self.is_control:
            self._loaded()

    def _loaded(self) -> tuple[Any, dict[str, nn.Module]]:
        """Return the networks' settings and the networks with their weights."""
        import torch

        states = {} if self.is_control else read_weights(self.weights)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            config, networks = self.build(states)
        if not self.is_control:
            load_states(self.weights, states, networks)
        return config, networks

    def build(self, states: Mapping[str, Mapping[str, Tensor]]) -> tuple[Any, dict[str, nn.Module]]:
        """Return the networks' settings and the networks that the mode needs, without their weights.

        states: the weights by network name, or {} for random weights. For published checkpoints, the settings are
        inferred from these weights.
        """
        if lacking := self._lacking(self.mode):
            other = next(mode for mode in self.generator.modes if not self._lacking(mode))
            raise BenchError(
                f"{self.weights} contains no trained {lacking[0]}. Use {self.name}:mode={other}, or train the stage"
                f" {self.generator.later[lacking[0]]}."
            )
        settings = self.settings()
        if not settings and states and self.generator.settings_of:
            settings = getattr(self.model, self.generator.settings_of)(states)
        architecture, kind = networks_at(self._places(settings)[-1])
        config = build(kind, settings, "config")
        made = architecture.networks(config)
        return config, {name: made[name] for name in self.generator.modes[self.mode].networks}

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. If this is not possible, raise CellFailed with the reason."""
        import torch

        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.moved(template, driver)

    @property
    def batch_size(self) -> int:
        """The number of frames in one call on the device for which the method was prepared."""
        return BATCH_SIZES[self.device]

    def face(self, template: Template) -> Any:
        """Return the encoded template, which is kept for later cells with the same template."""
        if template.content not in self._faces:
            if len(self._faces) >= MOST_FACES:
                self._faces.clear()
            self._faces[template.content] = self.encoded(template)
        return self._faces[template.content]

    def landmarks(self, image: Frames, what: str) -> Any:
        """Return a picture's landmarks (68, 2) in pixels. Raise CellFailed, naming `what`, if it shows no face."""
        return import_module(LANDMARKS).landmarks(grey(image), what)

    @property
    def model(self) -> ModuleType:
        """The module with the generator's networks and its animator."""
        return networks_at(self.generator.model)[0]

    @property
    def _is_mode(self) -> bool:
        return self.generator.mode_variants and self.variant in self.generator.modes

    @property
    def _is_blank(self) -> bool:
        """Return whether the generator has no weights file, so that random weights of the published sizes are used."""
        return self.is_control and DEMO not in self.generator.weights

    def _places(self, settings: Mapping[str, Any]) -> list[str]:
        """Return the networks as "module:Class": the published ones, then those of the weights, if they differ."""
        published = self.generator.model
        other = DISPLACED.get(self.name, published) if is_displaced(settings) else published
        return list(dict.fromkeys([published, other]))

    def _lacking(self, mode: str) -> Sequence[str]:
        """Return the networks of later stages that a mode needs but that are missing or untrained in the weights."""
        wanted = [name for name in self.generator.modes[mode].networks if name in self.generator.later]
        return [name for name in wanted if name not in self._trained]

    @functools.cached_property
    def _trained(self) -> set[str]:
        """Return the networks in the weights, except those that training did not reach."""
        if self._is_blank:
            return set()
        return network_names(self.weights) - untrained_networks(card_of(self.weights), self.generator.later)
