"""Plug-ins for the tests of the engine: methods and metrics that need no face, and clips of moving noise."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from megbench.core.clip import Cell, Clip, Template, load_clip, save_clip
from megbench.core.contracts import Figure, Partial

# Methods that the command line offers in addition to the suite's own, by their names for --methods.
FAKES = {"shift": "tests.fakes:Shift", "fragile": "tests.fakes:Fragile"}


def flipped(data: bytes, at: int) -> bytes:
    """Return data with bit number `at` flipped."""
    changed = bytearray(data)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def finished_cells(run: Path, row: str = "*") -> list[Path]:
    """Return the record files of a run's finished cells, excluding temporary files that are still being written."""
    return sorted((run / "cells").glob(f"{row}/[!.]*/cell.json"))


class Shift:
    """A method that rolls the template by `by` pixels per frame and logs every call to the file named by FAKES_LOG."""

    name = "shift"
    is_control = False

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        self.variant = variant
        self.by = int(options.get("by", "1"))
        self.sleep = float(options.get("sleep", "0"))

    def identity(self):
        return {"by": self.by}

    def prepare(self, device):
        assert device == "cpu"

    def animate(self, template, driver):
        time.sleep(self.sleep)
        if "FAKES_LOG" in os.environ:
            with open(os.environ["FAKES_LOG"], "a") as log:
                log.write(f"{driver.name} {template.name}\n")
        return np.stack([np.roll(template.image, self.by * k, axis=1) for k in range(driver.n_frames)])


class Fragile(Shift):
    """A method that fails on driver d1 in the way named by its variant."""

    name = "fragile"

    def animate(self, template, driver):
        if driver.name == "d1":
            if self.variant == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.variant == "hangs":
                time.sleep(120)
            if self.variant == "exits":
                os._exit(3)
            if self.variant == "raises":
                raise RuntimeError("first line\nsecond line")
            if self.variant == "short":
                return super().animate(template, driver)[1:]
            if self.variant == "floats":
                return super().animate(template, driver) / 255
        return super().animate(template, driver)


class Unready(Shift):
    """A method that fails in `prepare`."""

    name = "unready"

    def prepare(self, device):
        raise FileNotFoundError("no weights here")


def levels(name: str, title: str) -> Figure:
    """Return a figure that belongs to no group."""
    text = "Mean absolute difference."
    return Figure(name, title, target="driver", ideal=0, bounds=(0, 255), unit="levels", description=text)


class Difference:
    """Mean absolute difference from the driver."""

    name = "difference"
    version = "1"
    figures = (levels("difference", "Difference"),)

    def measure(self, cell, seen):
        output, driver = seen.output.frames.astype(float), seen.driver.frames.astype(float)
        return Partial("ok", values={"difference": float(abs(output - driver).mean())})


class Seen:
    """The inputs of the fake metrics: the frames of the output and of the driver."""

    def __init__(self, cell, output_frames, cache):
        self.output = SimpleNamespace(frames=output_frames)
        self.driver = SimpleNamespace(frames=cell.reference.frames())


class Faulty(Difference):
    """A metric that divides by zero on driver d1 and returns NaN on driver d2."""

    name = "faulty"

    def measure(self, cell, seen):
        if cell.driver.name == "d1":
            raise ZeroDivisionError("nothing to divide by")
        if cell.driver.name == "d2":
            return Partial("ok", values={"difference": float("nan")})
        return super().measure(cell, seen)


class Counted(Difference):
    """A metric that logs every measurement to the file named by MEASURED_LOG and saves part of the output beside it."""

    name = "counted"
    figures = (levels("counted", "Counted"),)

    def measure(self, cell, seen):
        log = Path(os.environ["MEASURED_LOG"])
        with log.open("a") as file:
            file.write(f"{cell.name}\n")
        kept = log.with_name(f"{cell.name}.npz")
        np.savez(kept, features=seen.output.frames[:, :1, :1, 0])
        return Partial("ok", values={"counted": 1.0}, files={"output": str(kept)})


class Needy(Difference):
    """A metric that needs weights which no test machine has."""

    name = "needy"
    figures = (levels("needy", "Needy"),)
    weights = ("alexnet",)


class Fakes:
    """A protocol that pairs the clips a test saved under `drivers` with two templates, first frames of two clips."""

    name = "fakes"
    version = "1"

    def __init__(self, cache: Path, drivers: Path) -> None:
        self.drivers = drivers

    def cells(self):
        clips = [clip for folder in sorted(self.drivers.iterdir()) if (clip := load_clip(folder))]
        templates = [Template.of(f"t{i}", f"t{i}", clip.frames()[0]) for i, clip in enumerate(clips[:2])]
        return [Cell("fakes", clip, template, reference=clip) for clip in clips for template in templates]


def make_clips(folder: Path, count: int = 3, n_frames: int = 3) -> list[Clip]:
    """Save and return clips d0, d1, ... of noise that moves to the right."""
    rng = np.random.default_rng(7)
    clips = []
    for index in range(count):
        first = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        frames = np.stack([np.roll(first, k, axis=1) for k in range(n_frames)])
        emotion = ("negative", "positive")[index % 2]
        clip = Clip(folder, f"d{index}", "noise", f"s{index}", emotion, 0, "", fps=100.0, apex_frame=1)
        clips.append(save_clip(folder / f"d{index}", clip, frames))
    return clips
