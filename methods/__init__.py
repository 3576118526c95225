"""The methods that `--methods` accepts: their table, the grammar of their names, and the rows added to every run."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megbench.baselines import GENERATORS
from megbench.core.errors import BenchError, unknown_name
from megbench.core.files.names import check_name
from megbench.core.generator import KIND, Generator
from megbench.core.registry import ignored, load, names

OTHERS = {
    "external": "megbench.methods.external:External",
    "outputs": "megbench.methods.outputs:Outputs",
    "flow_warp": "megbench.methods.flow_warp:FlowWarp",
    "still": "megbench.methods.controls:Still",
    "still_noise": "megbench.methods.controls:StillNoise",
    "rigid": "megbench.methods.controls:Rigid",
    "apex_ramp": "megbench.methods.flow_warp:ApexRamp",
    "reversed": "megbench.methods.flow_warp:Reversed",
    "wrong_driver": "megbench.methods.flow_warp:WrongDriver",
    "ceiling": "megbench.methods.controls:Ceiling",
    "truth": "megbench.methods.controls:Truth",
}
METHODS = {**GENERATORS, **OTHERS}
# Classes that run generators, by the form in which a generator receives the driver.
DRIVEN_BY = {
    "pictures": "megbench.methods.driving_pictures:DrivenByPictures",
    "action units": "megbench.methods.driving_units:DrivenByUnits",
}
# Wrappers around methods, by the option that requests them.
AROUND = {"magnify": "megbench.methods.magnified:magnifying"}
# Limits on the factor by which motion is magnified; the output's motion is multiplied by the inverse. Micro-expressions
# move a face by half a pixel to three pixels. Sixteen times three pixels is about four fifths of the eye distance (61
# pixels in a cropped face), and a sixteenth of three pixels is below the noise of optical flow.
LEAST_FACTOR, MOST_FACTOR = 1 / 16, 16.0
PLAIN_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?")

# The rows that follow the requested methods in every run: a method that needs no training, then the controls.
COMPANIONS = ("flow_warp", "still", "still_noise", "rigid", "apex_ramp", "reversed", "wrong_driver", "ceiling", "truth")


def method_names() -> list[str]:
    """Return the names of all methods, listing those of installed plug-ins last."""
    return list(dict.fromkeys([*names("method", METHODS), *names(KIND, {})]))


def ignored_methods() -> list[tuple[str, str]]:
    """Return the name and a warning for each plug-in that is ignored because another method has the same name."""
    return [*ignored("method", METHODS), *ignored(KIND, names("method", METHODS))]


def find_method(name: str) -> Any:
    """Return the descriptor or class named `name`. Raise BenchError, suggesting the nearest name, if there is none."""
    if name not in method_names():
        raise unknown_name("method", name, method_names())
    return load("method" if name in names("method", METHODS) else KIND, name, METHODS)


def make_method(name: str) -> Callable[[str, Mapping[str, str]], Any]:
    """Return a callable that creates a method from a variant and options: its class, or a runner for its descriptor."""
    found = find_method(name)
    if not isinstance(found, Generator):
        maker: Callable[[str, Mapping[str, str]], Any] = found
        return maker
    return functools.partial(load("way of driving", found.driven_by, DRIVEN_BY), found)


@dataclass(frozen=True)
class Label:
    """The parts of a row's name as typed by the user. text: the row's name in tables and folders.

    magnify: the factor by which motion is magnified around the method, or None.
    """

    text: str
    name: str
    variant: str
    options: dict[str, str]
    magnify: float | None = None


def parse_label(label: str) -> Label:
    """Parse `name[@variant][:key=value[;key=value]]` or `outputs:DIR`. Raise BenchError if it is malformed."""
    head, colon, tail = label.partition(":")
    if head == "outputs" and colon:
        folder = Path(tail).expanduser().resolve()
        if ";magnify=" in tail and not folder.exists():
            raise BenchError(f"{label}: outputs made elsewhere cannot be magnified. Leave out magnify.")
        variant = check_name("outputs folder", folder.name)
        return Label(f"outputs@{variant}", head, variant, {"folder": str(folder)})
    name, at, variant = head.partition("@")
    check_name("method", name)
    if at:
        check_name("variant", variant)
    options: dict[str, str] = {}
    for item in tail.split(";") if colon else []:
        key, equals, value = item.partition("=")
        if key in options:
            raise BenchError(f"Method {label!r}: the option {key} is given twice. Leave one out.")
        if not equals or ":" in value:  # a colon between options
            raise BenchError(f"Method {label!r}: {item!r} is not an option. Write name@variant:key=value;key=value.")
        options[check_name("option", key)] = value if key == "magnify" else check_name("value", value)
    factor = options.pop("magnify", None)
    return Label(label, name, variant, options, None if factor is None else _factor(label, factor))


def row_maker(label: Label) -> Callable[[str, Mapping[str, str]], Any]:
    """Return a callable that creates a row's method, with the requested wrappers, from its variant and options."""
    maker = make_method(label.name)
    if label.magnify is None:
        return maker
    around: Callable[..., Callable[[str, Mapping[str, str]], Any]] = load("option", "magnify", AROUND)
    return around(label.name, maker, label.magnify)


def _factor(label: str, text: str) -> float:
    """Return the factor of `magnify=K`. Raise BenchError unless it is a number within the limits."""
    factor = float(text) if PLAIN_NUMBER.fullmatch(text) else math.nan
    if not LEAST_FACTOR <= factor <= MOST_FACTOR:
        shown = text if len(text) <= 20 else f"{text[:20]}..."
        raise BenchError(
            f"{label.partition(':')[0]}: magnify={shown} must be a number from {LEAST_FACTOR:g} to {MOST_FACTOR:g}. It"
            " multiplies the driver's motion: 16 times a micro-expression of 3 pixels is about four fifths of the eye"
            " distance, and a sixteenth of it is below the noise of optical flow. Begin with 2, 4 or 8."
        )
    return factor
