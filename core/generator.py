"""The descriptor of a generator: what the suite must know about it without loading a network.

A generator has a folder with `generator.py` (its descriptor, GENERATOR), `model.py`, `training.py` and
`published.yaml`, and a line in `baselines.GENERATORS` or, in a plug-in, the entry point `megbench.generators`.
docs/extend.md describes what these files must define.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

from megbench.core.errors import BenchError
from megbench.core.progress import note
from megbench.core.registry import ignored, load, names

# What a generator uses of a driver: its pictures, in which it detects key points, or its action units.
Driving = Literal["pictures", "action units"]
Status = Literal["published", "reproducing", "demo", "demo with another architecture"]

KIND = "generator"
DEMO = "demo"
# The label that marks rows with demo weights in every table.
DEMO_MARK = "demo weights"


@dataclass(frozen=True)
class Mode:
    """One way of transferring a driver's motion.

    networks: the networks that the mode needs. driver_landmarks: for a generator driven by action units, whether the
    mode needs the 68 landmarks of the driver's first frame, too.
    """

    meaning: str
    networks: tuple[str, ...]
    driver_landmarks: bool = False


@dataclass(frozen=True)
class Published:
    """Layouts of published checkpoints.

    required: the networks that a checkpoint must contain. settings: for each layout, the settings that differ from the
    defaults; the simplest layout comes first.
    """

    required: tuple[str, ...]
    settings: tuple[Mapping[str, Any], ...] = ({},)


@dataclass(frozen=True)
class Weights:
    """Weights supplied with the suite. note: how their network or training differs from the published one."""

    status: Status
    note: str


@dataclass(frozen=True)
class Generator:
    """A generator from the literature, described as data.

    paper: the key of its paper in docs/citations.bib, or a link. licence: the licence of the original code. modes: the
    modes by name; the default is the first that the weights allow. model: the class of its networks' settings as
    "module:Class"; the module also contains its networks and its animator. training: the module of its `Recipe`, or ""
    if it cannot be trained. landmarks: whether it needs a face's 68 landmarks. options: what can be chosen besides the
    mode, with the choices of each option, the default first. mode_variants: whether NAME@MODE means the demo weights in
    that mode. later: the networks that only a later stage of the training adds, each with its stage. published: the
    layouts of published checkpoints, or None if these are read directly, without an import. settings_of: the function
    in the model's module that returns the settings of such a checkpoint, or "" if they are the defaults.
    """

    name: str
    title: str
    paper: str
    licence: str
    driven_by: Driving
    modes: Mapping[str, Mode]
    model: str
    training: str = ""
    landmarks: bool = False
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mode_variants: bool = False
    later: Mapping[str, str] = field(default_factory=dict)
    published: Published | None = None
    settings_of: str = ""
    weights: Mapping[str, Weights] = field(default_factory=dict)


def descriptors(table: Mapping[str, str]) -> dict[str, Generator]:
    """Return the descriptors in a table of names. Raise BenchError if one is not a valid descriptor."""
    return {name: _checked(name, load(KIND, name, table)) for name in table}


def generators(table: Mapping[str, str]) -> dict[str, Generator]:
    """Return the descriptors in a table of names, then those of installed plug-ins, by name.

    A plug-in that has no usable descriptor, or whose name is already taken, is left out with a note, so that the others
    still work.
    """
    found = descriptors(table)
    for name in names(KIND, {}):
        if name not in table:
            try:
                found[name] = _checked(name, load(KIND, name, {}))
            except BenchError as error:
                note(str(error))
    for _, line in ignored(KIND, table):
        note(line)
    return found


def recipes(found: Mapping[str, Generator]) -> dict[str, str]:
    """Return, for the name of each generator that can be trained, where its published training is: "module:Recipe"."""
    return {name: f"{generator.training}:Recipe" for name, generator in found.items() if generator.training}


def networks_at(place: str) -> tuple[ModuleType, Any]:
    """Return the module of the networks and the class of their settings, which `place` names as "module:Class"."""
    module, _, kind = place.partition(":")
    found = import_module(module)
    return found, getattr(found, kind)


def _checked(name: str, found: Any) -> Generator:
    if not isinstance(found, Generator):
        what = f"a {type(found).__name__}"
    else:
        what = f"one named {found.name!r}" if found.name != name else "" if found.modes else "one without modes"
    if what:
        raise BenchError(
            f"The generator {name} must be a megbench.Generator of that name with at least one mode, but it is"
            f" {what}. See docs/extend.md."
        )
    return found
