"""The weights of generators: where they are stored, and what their cards state about their networks and training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError, few
from megbench.core.files.working_folder import weights_folders
from megbench.core.generator import DEMO, DEMO_MARK, Weights
from megbench.core.installation import COMMAND, ROOT
from megbench.core.weights.network_weights import card_path, read_card

SUFFIXES = (".safetensors", ".pth", ".pth.tar")
# Settings in the cards of versions up to 1.x, with the values that denote the published architecture (see taught/).
RETIRED = {"displaced": False, "units": "planes"}
# Weights trained for fewer steps are marked. In published training, one epoch of a database takes about this many steps
# (150 to 250 clips, 50 visits to each, 9 pairs per step), and training lasts a hundred epochs.
FEW_STEPS = 1000


def demo_weights(name: str) -> Path:
    """Return the path of a generator's demo weights, which are supplied with the suite."""
    return ROOT / "weights" / DEMO / f"{name}.safetensors"


def find_weights(name: str, variant: str) -> Path:
    """Return a variant's weights file. If it is missing, raise BenchError, saying how to obtain it."""
    if variant == DEMO:
        path = demo_weights(name)
        if not path.is_file():
            own = [file.stem for file in weights_folders()[0].glob(f"{name}@*.safetensors")]
            train = f"Train weights with `{COMMAND} train {name} --clips demo` and use {name}@mine."
            advice = f"Use your own weights: {few(own)}." if own else train
            raise BenchError(f"{name}: weights/{DEMO}/{path.name} does not exist. {advice}")
        return path
    stem = f"{name}@{variant}"
    for folder in weights_folders():
        for suffix in SUFFIXES:
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    raise BenchError(
        f"{stem}: there is no weights file {weights_folders()[0] / stem} with the suffix {' or '.join(SUFFIXES)}. Put a"
        f" checkpoint there, or train one with `{COMMAND} train {name} --clips demo --as {variant}`."
    )


def card_of(weights: Path) -> dict[str, Any]:
    """Return the card of a weights file, or {} if it has none."""
    return read_card(weights) if card_path(weights).is_file() else {}


def current(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card's config without the retired settings that have the value of the published architecture."""
    inner = {name: current(value) if isinstance(value, Mapping) else value for name, value in config.items()}
    return {name: value for name, value in inner.items() if name not in RETIRED or value != RETIRED[name]}


def is_displaced(config: Mapping[str, Any]) -> bool:
    """Return whether networks with these settings move the template instead of painting it (taught/displaced.py)."""
    return config.get("displaced") is True or any(
        is_displaced(value) for value in config.values() if isinstance(value, Mapping)
    )


def untrained_networks(card: Mapping[str, Any], later: Mapping[str, str]) -> set[str]:
    """Return the networks that are still untrained after the training described in a card.

    These are the networks whose stage was not reached, except those that started from trained weights. later: the stage
    of each network.
    """
    kept, init = card.get("kept_steps"), card.get("init")
    if not isinstance(kept, dict):
        return set()
    fresh = init.get("fresh_networks") if isinstance(init, dict) else list(later)
    fresh = fresh if isinstance(fresh, list) else []
    return {network for network, stage in later.items() if stage not in kept and network in fresh}


def status_marks(weights: Weights) -> dict[str, str]:
    """Return the marks due to the status of the suite's own weights: a word for the tables and a sentence each."""
    if weights.status == "published":
        return {}
    if weights.status == "reproducing":
        return {
            "reproducing": f"Trained here to reproduce the published model, but not yet equal to it: {weights.note}."
        }
    other = weights.status == "demo with another architecture"
    differs = "Its architecture differs" if other else "Its sizes differ"
    return {
        DEMO_MARK: f"Not the published model. {differs} ({weights.note}), and it was trained briefly here, on rendered"
        " faces and their exact motion."
    }


def card_marks(card: Mapping[str, Any], of_demo: Mapping[str, Any], demo: Weights | None) -> dict[str, str]:
    """Return the marks of a user's weights (a word for the tables and a sentence each), or {} if they have no card.

    of_demo: the card of the generator's demo weights, or {} if it has none. demo: the entry for the demo weights in the
    generator's descriptor.
    """
    marks = _steps_mark(card)
    if _rendered_only(card):
        marks["rendered faces"] = "Trained on rendered faces only, not on recordings of people."
    config = card.get("config")
    if isinstance(config, dict) and demo:
        known = of_demo.get("config")
        if isinstance(known, dict) and _networks(config) == _networks(known):
            marks["demo network"] = f"Not the published architecture: {demo.note}."
        elif is_displaced(config):
            marks["another network"] = "Not the published architecture: it moves the template instead of painting it."
    return marks


def _networks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card's config without `steadied`, which concerns the driver and is missing from older cards."""
    return {name: value for name, value in config.items() if name != "steadied"}


def _steps_mark(card: Mapping[str, Any]) -> dict[str, str]:
    """Return the mark of weights that were trained for few steps or whose planned training was not finished, or {}."""
    kept, plan = card.get("kept_steps"), card.get("plan")
    stages = plan.get("stages") if isinstance(plan, dict) else None
    if not isinstance(kept, dict) or not isinstance(stages, dict):
        return {}
    done = sum(step for step in kept.values() if isinstance(step, int))
    planned = sum(stage.get("steps", 0) for stage in stages.values() if isinstance(stage, dict))
    if card.get("finished") is False:
        return {f"{done:,} of {planned:,} steps": "Its training was not finished: it may still improve."}
    if done < FEW_STEPS:
        return {f"{done:,} steps": "A network trained so briefly shows that the method runs, not what it can do."}
    return {}


def _rendered_only(card: Mapping[str, Any]) -> bool:
    """Return whether a card states that training used rendered people and lists no recordings."""
    data = card.get("data")
    data = data if isinstance(data, dict) else {}
    return "trained_on_identities" in {**card, **data} and not data.get("clips_seen")
