"""The train command, which produces weights and their card from a name, a training set and settings."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml

from megbench.core.config import as_dict, holds, merge, parse_set, read_overlay, resolve
from megbench.core.contracts import Trainable
from megbench.core.errors import BenchError, WrongSetting, check_choice, plural, shown, unknown_name
from megbench.core.files.cache import write_json
from megbench.core.files.folder_lock import TRAINING, check_free, locked_folder
from megbench.core.installation import COMMAND
from megbench.core.progress import note
from megbench.core.provenance import lacks_bfloat16, provenance
from megbench.core.registry import load
from megbench.core.weights.network_weights import clips_seen, load_networks, network_names, save_weights, weights_hash
from megbench.training.loader import Batches
from megbench.training.log import read_log
from megbench.training.loop import TrainingRun
from megbench.training.memory import told_of_memory
from megbench.training.plan import Limits, Plan, check_plan
from megbench.training.processes import Group, Machine

# The kind of training that a method gets unless its settings name another.
PUBLISHED = "published"
TOO_LARGE = "networks of these sizes do not fit. Reduce the number of channels (such as model.generator.max_features)."

# Matches the folder part of an absolute path that is a whole argument or follows a name in NAME=PATH,NAME=PATH.
ABSOLUTE = re.compile(r"(^|[=,])(?:[A-Za-z]:)?[/\\][^=,]*[/\\](?=[^/\\=,])")


def published_config(recipe: type) -> Path:
    """Return the path of a recipe's published settings, a file beside its module. A plug-in may have none."""
    return Path(inspect.getfile(recipe)).with_name("published.yaml")


class TrainingSet(Batches, Protocol):
    """A set of training clips: `batch` draws from it, and the other methods describe it."""

    @property
    def videos(self) -> int:
        """The number of clips that an epoch visits."""

    @property
    def held_out(self) -> int:
        """The number of people used for validation only."""

    def describe(self) -> str:
        """Return a description of the set in words."""

    def facts(self) -> dict[str, Any]:
        """Return facts for the weights' card, as JSON values.

        They state where the set comes from and which people are used for training and for validation.
        """


@dataclass(frozen=True)
class TrainingSource:
    """A source of training clips.

    settings: the class of the section `data` of the training settings. open: creates the set from such settings and the
    kind of training, which is one of `kinds`.
    """

    settings: type
    open: Callable[[Any, str], TrainingSet]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """The settings of a training run: the kind of training, its recipe, the plan, and how clips are drawn."""

    kind: str
    recipe: Any
    plan: Plan
    drawn: Any

    def text(self) -> str:
        """Return all settings as YAML, which a settings file may contain."""
        values = {
            "training": self.kind,
            **as_dict(self.recipe),
            "plan": as_dict(self.plan),
            "data": as_dict(self.drawn),
        }
        return yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=False, default_flow_style=None, width=110)


def choose(
    name: str,
    trainings: Mapping[str, Mapping[str, str]],
    source: TrainingSource,
    config: Path | None,
    sets: Sequence[str],
    defaults: Mapping[str, Path] | None = None,
) -> Chosen:
    """Return the settings for training `name`: those in a file, or the defaults, with the overrides `sets`.

    trainings: for each kind of training, the recipes ("module:Recipe") by name. The setting `training` chooses the
        kind.
    config: a settings file, or None for the defaults.
    defaults: the default settings by kind of training, with the usual kind first. A file's plan is completed from them
        (`with_lengths`).

    Raise BenchError for a wrong setting.
    """
    given = [(f"--set {item}", _spelt_out(parse_set(item))) for item in sets]
    settings = _combined(config, [some for _, some in given], defaults or {})
    try:
        kind = check_choice("training", str(settings.pop("training", PUBLISHED)), trainings)
        if kind not in source.kinds:
            raise BenchError(f"The {kind} training procedure needs the exact flow of rendered clips. Use --clips demo.")
        plan = resolve(Plan, [part_of(settings, "plan")], where="plan")
        drawn: Any = resolve(source.settings, [part_of(settings, "data")], where="data")
        recipe = load("trainable", name, trainings[kind])
        check_names(settings, recipe)
        return Chosen(kind, resolve(recipe, [settings]), plan, drawn)
    except BenchError as error:
        path = error.path if isinstance(error, WrongSetting) else ("training",)
        blamed = [text for text, some in given if path and holds(some, path)]
        listed = (
            f" `{COMMAND} train {name} --settings`, with the same --clips and training, lists all settings."
            if "Unknown setting" in str(error)
            else ""
        )
        raise BenchError(f"{blamed[-1] if blamed else config or 'the default settings'}: {error}{listed}") from None


def train(
    name: str,
    trainings: Mapping[str, Mapping[str, str]],
    source: TrainingSource,
    config: Path | None,
    sets: Sequence[str],
    out: Path,
    weights: Path,
    machine: Machine | None = None,
    init: Path | None = None,
    limits: Limits | None = None,
    defaults: Mapping[str, Path] | None = None,
) -> bool:
    """Train `name` in the folder `out` and write `weights` (.safetensors) with their JSON card.

    trainings, source, config, sets, defaults: as in `choose`. init: weights from which to start instead of random ones;
    networks that they lack keep their random weights.

    A run that was interrupted in `out` is continued. Raise BenchError if that run had other settings, if `out` contains
    anything else, or if another process is training there. A run that reaches a limit writes the best weights so far,
    and False is returned.
    """
    chosen = choose(name, trainings, source, config, sets, defaults)
    recipe, plan = chosen.recipe, chosen.plan
    machine = machine or Machine()
    if machine.starts_first:
        check_free(out, TRAINING)  # before anything is rendered
    torch.manual_seed(plan.seed)
    # TensorFloat-32 keeps ten bits; half a pixel of motion needs more.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    # Missing weights of a loss and an impossible plan are reported before any clips are rendered or read.
    with told_of_memory(lambda: TOO_LARGE):
        trainer = recipe.trainer()
    check_plan(plan, trainer.stages, machine.devices * machine.nodes)
    check_rates(plan, trainer)
    clips = source.open(chosen.drawn, chosen.kind)
    plan = plan.on(clips.videos)
    resolved: dict[str, Any] = {
        "recipe": {"training": chosen.kind, **as_dict(recipe)},
        "plan": as_dict(plan),
        "data": as_dict(chosen.drawn) | {"held_out": clips.held_out},
    }
    if stores := clips.facts().get("stores"):  # with other clips, it is a different training run
        resolved["stores"] = stores
    if init is not None:
        resolved["init"] = start_from(init, trainer)
    if plan.precision == "bf16" and machine.device == "cpu" and lacks_bfloat16():
        note("This processor has no bfloat16 instructions and is many times faster with --set plan.precision=float32.")
    with locked_folder(out, TRAINING) if machine.starts_first else contextlib.nullcontext():
        check_unchanged(out, resolved)
        with machine.processes() as group:
            with told_of_memory(lambda: TOO_LARGE):
                run = TrainingRun(trainer, clips, plan, out, group, limits)
            if group.is_first:
                steps = ", then ".join(f"{plan.stages[stage].steps:,} of {stage}" for stage in run.stages)
                print(f"Training {name} on {group.device}: {describe(trainer.networks())}, {clips.describe()}.")
                print(f"Steps: {steps}. The progress shown below says how long they take.")
            with told_of_memory(functools.partial(smaller_parts, run, out)):
                finished = run.train()
            if group.is_first:
                save_weights(weights, trainer.networks(), card(name, resolved, clips, run, group, init))
                state = "" if finished else "Stopped by a limit. To continue, omit it or raise it. "
                print(f"{state}Weights: {weights}. Use them as --methods {weights.stem}")
    return finished


def _combined(config: Path | None, sets: Sequence[dict[str, Any]], defaults: Mapping[str, Path]) -> dict[str, Any]:
    """Return the settings of a file, or the defaults for the chosen kind of training, with overrides."""
    own = _spelt_out(read_overlay(config)) if config else {}
    kinds = [str(some["training"]) for some in (own, *sets) if "training" in some]
    usual = PUBLISHED if config else next(iter(defaults), PUBLISHED)
    default = defaults.get(kinds[-1] if kinds else usual)
    base = _spelt_out(read_overlay(default)) if default else {}
    return functools.reduce(merge, sets, with_lengths(own, base) if config else base)


def with_lengths(settings: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's settings with its plan completed from the defaults.

    A plan without stages takes all default stages. A stage with neither steps nor epochs takes everything that it does
    not set from the default stage of the same name.
    """
    plan, usual = settings.get("plan", {}), defaults.get("plan", {}).get("stages", {})
    stages = (plan.get("stages") or usual) if isinstance(plan, Mapping) else None
    if not isinstance(stages, Mapping):
        return settings  # reported as a wrong setting afterwards

    def whole(name: str, stage: Any) -> Any:
        lacks_length = isinstance(stage, Mapping) and not {"steps", "epochs"} & stage.keys()
        return merge(usual.get(name, {}), stage) if lacks_length else stage

    return {**settings, "plan": {**plan, "stages": {name: whole(name, stage) for name, stage in stages.items()}}}


def check_names(settings: Mapping[str, Any], recipe: type) -> None:
    """Raise WrongSetting if `settings`, without plan and data, has a name that is not a setting of the recipe."""
    own = [field.name for field in dataclasses.fields(recipe)]
    for name in map(str, settings):
        if name not in own:
            unknown = unknown_name("setting in the config:", name, [*own, "data", "loss", "plan", "training"])
            raise WrongSetting(str(unknown), [name])


def _spelt_out(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with `loss`, as users write it, moved to `model.loss`, because losses belong to the model."""
    if "loss" not in settings:
        return settings
    rest = {name: value for name, value in settings.items() if name != "loss"}
    return merge(rest, {"model": {"loss": settings["loss"]}})


def part_of(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """Remove a part from the settings and return it, or {} if it is absent. Raise BenchError unless it is a mapping."""
    part = settings.pop(name, {})
    if not isinstance(part, dict):
        raise WrongSetting(f"Setting {name} must be a mapping, got {shown(part)}.", [name])
    return part


def start_from(init: Path, trainer: Trainable) -> dict[str, Any]:
    """Load the networks in `init`; return facts about the file and the names of the networks that it lacks."""
    held = network_names(init)
    found = {name: network for name, network in trainer.networks().items() if name in held}
    if not found:
        raise BenchError(
            f"--init {init} contains none of {', '.join(trainer.networks())}, only {', '.join(held)}. Pass weights for"
            " this method."
        )
    load_networks(init, found)
    lacking = [name for name in trainer.networks() if name not in held]
    return {"file": init.name, "blake2b": weights_hash(init), "fresh_networks": lacking}


def check_rates(plan: Plan, trainer: Trainable) -> None:
    """Raise BenchError if a learning rate is 0 or negative, which a plug-in's settings may allow."""
    for stage in plan.stages:
        for optimiser, spec in trainer.optimisers(stage).items():
            if not spec.lr > 0:
                raise BenchError(f"Stage {stage}: the learning rate of {optimiser} must be more than 0, got {spec.lr}.")


def smaller_parts(run: TrainingRun, out: Path) -> str:
    """Return advice for a training run that does not fit in memory."""
    name = run.stages[run.progress["stage"]]
    stage = run.plan.stages[name]
    place, parts = f"plan.stages.{name}", stage.accumulate
    return (
        f"stage {name} works on {plural(stage.batch_size, 'pair')} per step, in {plural(parts, 'part')}. Set"
        f" {place}.accumulate={2 * parts} (the same batch in smaller parts) or a smaller {place}.batch_size, and pass"
        f" another --out, or delete {out}."
    )


def check_unchanged(out: Path, resolved: dict[str, Any]) -> None:
    """Write `config.json` into `out`; raise BenchError if one exists there and differs from `resolved`."""
    path = out / "config.json"
    if not path.exists():
        write_json(path, resolved)
    elif json.loads(path.read_text()) != json.loads(json.dumps(resolved)):
        raise BenchError(
            f"{out} contains a training run with other settings (see {path.name}). Pass another --out, or"
            " delete the folder."
        )


def describe(networks: dict[str, torch.nn.Module]) -> str:
    """Return a description of the networks' sizes."""
    counts = {name: sum(parameter.numel() for parameter in net.parameters()) for name, net in networks.items()}
    return ", ".join(f"{name} {count / 1e6:.2f} M parameters" for name, count in counts.items())


def card(
    name: str, resolved: dict[str, Any], clips: TrainingSet, run: TrainingRun, group: Group, init: Path | None
) -> dict[str, Any]:
    """Return the weights' model card: settings, data, length of the training, machine and losses."""
    return {
        "method": name,
        "config": resolved["recipe"]["model"],
        "training": {key: value for key, value in resolved["recipe"].items() if key != "model"},
        "plan": resolved["plan"],
        "init": resolved.get("init", "random"),
        "data": resolved["data"] | seen_before(init, clips.facts()),
        "finished": run.progress["stage"] == len(run.stages),
        "kept_steps": run.kept_steps,
        "minutes": round(run.progress["seconds"] / 60, 1),
        "threads": torch.get_num_threads(),
        "processes": group.size,
        "provenance": provenance(str(group.device)) | {"argv": [without_folders(text) for text in sys.argv]},
        "validation_log": [
            {key: value for key, value in line.items() if key != "split"}
            for line in read_log(run.out)
            if line["split"] == "validation"
        ],
    }


def without_folders(argument: str) -> str:
    """Return an argument with absolute paths shortened to their names, because cards are passed on with the weights."""
    return ABSOLUTE.sub(r"\1", argument)


def seen_before(init: Path | None, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a training set, plus the clips and people on which the initial weights were trained."""
    before = clips_seen(init) if init else {}
    return facts | {f"{kind}_seen": sorted({*names, *facts.get(f"{kind}_seen", ())}) for kind, names in before.items()}
