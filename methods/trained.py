"""What the trained generators share as methods: finding weights, building networks, keeping what can be kept."""

from __future__ import annotations

import os
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from megbench.core.clip import Clip, Template
from megbench.core.errors import BenchError, unknown_name
from megbench.core.files.working_folder import weights_folders
from megbench.core.media.frames import Frames
from megbench.core.provenance import ROOT
from megbench.core.weights.network_weights import card_path, clips_seen, load_networks, read_card, weights_hash

if TYPE_CHECKING:
    from torch import nn

DEMO = "demo"
# The demo variant's networks with seeded random weights: what the same networks do before they have learnt anything.
UNTRAINED = "untrained"
SEED = 0
# Frames in one call on each kind of device. Rounding depends on it, so it is part of the identity.
BATCH_SIZES = {"cpu": 4, "cuda": 16}
SUFFIXES = (".safetensors", ".pth", ".pth.tar")
# Version of the rearrangement in nets/fast.py; cells of another may differ in their last bit.
FAST_PATH = "4"
# Settings in cards of versions up to 1.x, with the values that mean the published architecture (see taught/).
RETIRED = {"displaced": False, "units": "planes"}
SPEED = {"precision": ("float32", "bf16"), "compile": ("no", "yes")}
# Weights of fewer steps are marked: published trainings take about so many for one epoch of a database (150 to 250
# clips, 50 visits to each, 9 pairs a step), and a hundred epochs.
FEW_STEPS = 1000
# Encoded templates kept at a time; each holds its features (6 MB for the demo sizes, 30 MB for the published ones).
MOST_FACES = 16


class TrainedMethod(ABC):
    """A generator with weights: `name[@variant][:mode=MODE]`; `takes` names further options, with their choices.

    Every one takes `precision` (bf16: convolutions in bfloat16, geometry and softmaxes in float32) and `compile` (yes:
    by torch.compile, which needs a C++ compiler).
    Variant "" is "demo", the weights in the repository. "untrained" is the demo variant with random weights, and a
    control. Any other variant is the file <name>@<variant> in the folder that MEGBENCH_WEIGHTS names, else in
    `.megbench/weights`: .safetensors (and its JSON), .pth or .pth.tar (published sizes). BenchError for an unknown
    option or mode, and where weights are missing.
    """

    name: ClassVar[str]
    modes: ClassVar[tuple[str, ...]]
    # How the network of the demo weights differs from the published one: the end of a sentence.
    demo_network: ClassVar[str]
    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        self.variant = variant or DEMO
        self.is_control = self.variant == UNTRAINED
        choices = {"mode": self.modes, **SPEED, **self.takes}
        for option, value in options.items():
            if option not in choices:
                raise unknown_name(f"option of {self.name}:", option, choices)
            if value not in choices[option]:
                raise unknown_name(f"{option} of {self.name}:", value, choices[option])
        self._mode = options.get("mode")
        self.precision = options.get("precision", "float32")
        self.compiled = options.get("compile") == "yes"
        compiler = os.environ.get("CXX") or "g++"
        if self.compiled and shutil.which(shlex.split(compiler)[0]) is None:
            raise BenchError(
                f"compile=yes needs a C++ compiler, and {compiler!r} is not there. Install it, or drop it."
            )

    @abstractmethod
    def build(self, settings: Mapping[str, Any]) -> dict[str, nn.Module]:
        """The networks that inference needs, with fresh weights; {} gives the published sizes."""

    @abstractmethod
    def make_animator(self) -> Any:
        """What animates with the loaded networks, such as a megbench.nets.inference.Animator."""

    @abstractmethod
    def encoded(self, template: Template) -> Any:
        """The template as the animator wants it; made once for all drivers."""

    @abstractmethod
    def moved(self, template: Template, driver: Clip) -> Frames:
        """What `animate` returns."""

    @property
    def mode(self) -> str:
        """How motion is carried over: what was asked for, else the method's default."""
        return self._mode or self.modes[0]

    @property
    def whose(self) -> str:
        """The variant whose weights are used."""
        return self.variant

    @property
    def weights(self) -> Path:
        """The weights file of the variant. BenchError if there is none, saying where it should be or how to train."""
        if self.whose in (DEMO, UNTRAINED):
            path = demo_weights(self.name)
            if not path.is_file():
                raise BenchError(
                    f"{self.name}: the weights weights/{DEMO}/{path.name} are missing. Train them with"
                    f" `python bench.py train {self.name} --clips demo`, or name others: {self.name}@VARIANT."
                )
            return path
        stem = f"{self.name}@{self.whose}"
        for folder in weights_folders():
            for suffix in SUFFIXES:
                if (path := folder / f"{stem}{suffix}").is_file():
                    return path
        raise BenchError(
            f"{stem}: no weights {weights_folders()[0] / stem} with {', '.join(SUFFIXES)}. Put a checkpoint there, or"
            f" train one with `python bench.py train {self.name} --clips demo --as {self.whose}`."
        )

    def settings(self) -> dict[str, Any]:
        """The config in the card beside the weights; {} for published checkpoints, which have the default sizes."""
        if self.weights.suffix != ".safetensors":
            return {}
        config = read_card(self.weights).get("config")
        if not isinstance(config, dict):
            raise BenchError(f"{self.weights.with_suffix('.json')} lacks the entry 'config', which sizes the networks.")
        return _current(config)

    def seen(self) -> Mapping[str, list[str]]:
        """Clips and people that the weights were trained on, as megbench.core.weights.network_weights.clips_seen."""
        return {} if self.is_control else clips_seen(self.weights)

    @property
    def marks(self) -> dict[str, str]:
        """What a reader of the scores must know of the weights: a word for the tables and a sentence each."""
        if self.is_control:
            return {"untrained": "The demo network with random weights: what it does before it has learnt anything."}
        if self.whose == DEMO:
            return {
                "demo weights": f"Not the published model. Its architecture differs ({self.demo_network}), and it was"
                " trained briefly here, on rendered faces and their exact motion."
            }
        card, of_demo = (_card(path) for path in (self.weights, demo_weights(self.name)))
        marks = _steps_mark(card)
        if _rendered_only(card):
            marks["rendered faces"] = "Trained on rendered faces only, not on recordings of people."
        if card and card.get("config") == of_demo.get("config"):
            marks["demo network"] = f"Not the published architecture: {self.demo_network}."
        return marks

    def identity(self) -> Mapping[str, Any]:
        """Return weights, config, mode, batch sizes and arithmetic: all that decides frames besides inputs and code."""
        return {
            "weights": f"random, seed {SEED}" if self.is_control else weights_hash(self.weights),
            "config": self.settings() or "published",
            "mode": self.mode,
            "batch_sizes": BATCH_SIZES,
            "arithmetic": {"precision": self.precision, "compiled": self.compiled, "fast_path": FAST_PATH},
        }

    def prepare(self, device: str) -> None:
        """Build the networks on `device` in eval mode and load their weights."""
        import torch
        from megbench.nets.fast import compile_blocks, rearrange

        self.device = device
        # TensorFloat-32 keeps ten bits; half a pixel of motion needs more.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            self.networks = self.build(self.settings())
        if not self.is_control:
            load_networks(self.weights, self.networks)
        for network in self.networks.values():
            rearrange(network.to(device).eval().requires_grad_(False))
            if self.compiled:
                compile_blocks(network)
        self.animator = self.make_animator()
        self._faces: dict[str, Any] = {}

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB. CellFailed with the reason where it cannot be done."""
        import torch

        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.moved(template, driver)

    @property
    def batch_size(self) -> int:
        """Frames in one call on the device that the method was prepared for."""
        return BATCH_SIZES[self.device]

    def face(self, template: Template) -> Any:
        """The template, encoded; kept for the next cell with it."""
        if template.content not in self._faces:
            if len(self._faces) >= MOST_FACES:
                self._faces.clear()
            self._faces[template.content] = self.encoded(template)
        return self._faces[template.content]


def demo_weights(name: str) -> Path:
    """Return the path of the weights that come with the suite."""
    return ROOT / "weights" / DEMO / f"{name}.safetensors"


def _current(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card's config without the settings that published architectures no longer have."""
    inner = {name: _current(value) if isinstance(value, Mapping) else value for name, value in config.items()}
    return {name: value for name, value in inner.items() if name not in RETIRED or value != RETIRED[name]}


def _card(weights: Path) -> dict[str, Any]:
    return read_card(weights) if card_path(weights).is_file() else {}


def _steps_mark(card: Mapping[str, Any]) -> dict[str, str]:
    """Return the mark of weights that were trained for few steps, or not to the end of their plan; {} for others."""
    kept, plan = card.get("kept_steps"), card.get("plan")
    stages = plan.get("stages") if isinstance(plan, dict) else None
    if not isinstance(kept, dict) or not isinstance(stages, dict):
        return {}
    done = sum(step for step in kept.values() if isinstance(step, int))
    planned = sum(stage.get("steps", 0) for stage in stages.values() if isinstance(stage, dict))
    if card.get("finished") is False:
        return {f"{done:,} of {planned:,} steps": "Its training was not brought to its end: it may become better."}
    if done < FEW_STEPS:
        return {f"{done:,} steps": "Trained this briefly, a network shows that it runs, not what the method can do."}
    return {}


def _rendered_only(card: Mapping[str, Any]) -> bool:
    """Return whether a card says that training showed rendered people, and names no recordings."""
    data = card.get("data")
    data = data if isinstance(data, dict) else {}
    return "trained_on_identities" in {**card, **data} and not data.get("clips_seen")
