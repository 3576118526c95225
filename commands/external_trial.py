"""Test an external program's description on two frames and report in one line what is wrong with it."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

import numpy as np

from megbench.clips.chosen_face import cut_portrait
from megbench.clips.portraits import portrait_path
from megbench.core.clip import Clip, Template, pixel_grid, save_clip
from megbench.core.errors import BenchError, CellFailed
from megbench.core.frames import SIZE, Frames
from megbench.core.pictures import read_picture
from megbench.faces.field import invert, warp
from megbench.methods.external import External
from megbench.methods.external_description import IN_CHECKOUT, Description

COUNT = 2
# The place (x, y) at which the driver's face moves, its motion (x, y), and the width of the moving area, all in pixels.
BROW, MOVE, SPREAD = (100.0, 93.0), (0.0, -1.0), 16.0
# Patterns in a program's last output, each with the cause of the failure and a remedy; the first match applies.
CAUSES = (
    (
        r"unrecogni[sz]ed (argument|option)|no such option|invalid choice|arguments? (is|are) required"
        r"|expected (one|at least one|\d+) argument|error parsing",
        "the program rejects an argument",
        "The description's arguments are those of {commit}: check that commit out, or edit the command.",
    ),
    (
        r"No module named|ModuleNotFound|ImportError|cannot import name|has no attribute|missing 1 required positional",
        "its environment is unsuitable",
        "Install what its authors list: {environment}.",
    ),
    (
        r"cuda|nvidia|\bgpu\b",
        "it finds no GPU",
        "Run it on a machine with a GPU that this environment's PyTorch can use.",
    ),
    (
        r"FileNotFound|no such file|does not exist|not found",
        "a file is missing",
        "Get its weights from: {weights_from}. Install its environment: {environment}.",
    ),
)


def check(method: External) -> str:
    """Return a sentence that states that a program works and how fast it is. Raise BenchError if it does not work."""
    described = method.description
    _check_files(described, method.variant)
    if "{python}" in described.text and not described.image and not method.versions():
        named = f"conda environment {described.conda}" if described.conda else described.python or "python3"
        raise BenchError(
            f"{method.variant}: environment missing: {named} does not run. Required: {_told(described.environment)}."
            " Name the environment with --set python=PATH or --set conda=NAME."
        )
    with tempfile.TemporaryDirectory(prefix="megbench-check-") as folder:
        template, driver = made_frames(Path(folder))
        handed = driver.frames()
        method.prepare("cuda")  # the program sees a GPU unless its description states gpu: false
        started = time.monotonic()
        try:
            made = method.animate(template, driver)
        except CellFailed as error:
            raise BenchError(f"{method.variant}: {_explained(str(error), described)}") from None
        took = time.monotonic() - started
    if _distance(made, handed) < _distance(made, np.repeat(template.image[None], COUNT, axis=0)):
        raise BenchError(
            f"{method.variant}: its output looks like the driver, not like the template. State in the description which"
            " part of the picture is the result (panel), or which file (found)."
        )
    return (
        f"{method.variant} works: {COUNT} frames of {SIZE}x{SIZE} in {took:.1f} s, {took / COUNT:.1f} s per frame,"
        " including the time to start and to load its weights"
    )


def made_frames(folder: Path) -> tuple[Template, Clip]:
    """Write a driver of two frames, the second with a raised brow, to `folder`. Return a template and the driver."""
    faces = [cut_portrait(read_picture(portrait_path(name)), name, "portrait") for name in ("hopper", "astronaut")]
    distance = np.square(pixel_grid() - np.array(BROW, np.float32)).sum(axis=-1, keepdims=True)
    raised = np.exp(-distance / (2 * SPREAD**2)).astype(np.float32) * np.array(MOVE, np.float32)
    moved = warp(faces[1], invert(raised))
    clip = Clip(folder, "driver", "check", "astronaut", "surprise", COUNT, "", fps=25.0)
    return Template.of("template", "hopper", faces[0]), save_clip(folder, clip, np.stack([faces[1], moved]))


def _check_files(described: Description, variant: str) -> None:
    """Raise BenchError if the program or its weights are not in the checkout."""
    checkout = Path(described.checkout)
    words = [word.removeprefix(IN_CHECKOUT) for word in described.command if word.startswith(IN_CHECKOUT)]
    for name in (word for word in words if word.endswith(".py") and "{" not in word):
        if not (checkout / name).is_file():
            raise BenchError(
                f"{variant}: program not found: {checkout} has no {name}. Give a checkout of {described.source}."
            )
    for name in described.weights:
        if not (checkout / name).is_file():
            raise BenchError(
                f"{variant}: weights missing: {checkout / name}. Get them from: {_told(described.weights_from)}."
            )


def _explained(message: str, described: Description) -> str:
    """Return a failure's message, with the cause and a remedy if the message matches a known pattern."""
    for words, cause, remedy in CAUSES:
        if " ended with exit code " in message and re.search(words, message, re.IGNORECASE):
            told = remedy.format(
                commit=f"commit {described.read_at}" if described.read_at else "an unknown commit (unverified)",
                environment=_told(described.environment),
                weights_from=_told(described.weights_from),
            )
            return f"{cause}: {message.rstrip('.')}. {told}"
    return message


def _told(text: str) -> str:
    return text.rstrip(".") or "not stated in its description"


def _distance(one: Frames, other: Frames) -> float:
    """Return the mean absolute difference in grey levels."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())
