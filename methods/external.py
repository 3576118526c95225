"""External programs as methods: `--methods external@NAME`, described by a small YAML file.

A program runs in its own environment, receives a template picture and a driver (a lossless video or a folder of PNG
files), and writes a video or a folder of pictures. It is not sandboxed and can do whatever you can, so use a container
image to run a program that you do not trust.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import yaml

from megbench.core.clip import Clip, Template
from megbench.core.errors import BenchError, unknown_name
from megbench.core.files.cache import digest
from megbench.core.files.folder_lock import in_turn
from megbench.core.files.hashes import file_hash, hash_if_readable
from megbench.core.frames import SIZE, Frames, write_frames, write_png
from megbench.core.installation import COMMAND, ROOT
from megbench.core.video_writing import write_video
from megbench.core.worker import MEMORY
from megbench.methods import containers
from megbench.methods.external_description import ABOUT, STANDS_FOR, Description, read_description
from megbench.methods.external_inputs import extras
from megbench.methods.external_output import frames_of, output_of, place_of, results_folder, there_already
from megbench.methods.external_run import run

# Suffixes of files that contain a program's code or settings.
CODE = (".py", ".yaml", ".yml")
VERSIONS = (
    "import sys, importlib.metadata as m\n"
    "found = {d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name']}\n"
    "print(sys.version.split()[0], *(f'{n}={found[n]}' for n in ('torch', 'numpy', 'opencv-python') if n in found))"
)


class External:
    """An external program, run once for each cell in its own environment: `external@NAME`."""

    name = "external"
    is_control = False

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        if options:
            raise unknown_name("option of external:", next(iter(options)), [])
        if not variant:
            raise BenchError(f"external needs the name of a description: external@NAME. See `{COMMAND} external list`.")
        self._take(variant, read_description(variant))

    @classmethod
    def of(cls, variant: str, description: Description) -> External:
        """Return the method for a description, which may differ from the one in its file.

        Raise BenchError in the same cases as __init__.
        """
        method = cls.__new__(cls)
        method._take(variant, description)
        return method

    def _take(self, variant: str, description: Description) -> None:
        self.variant, self.description = variant, description
        if "{checkout}" in self.description.text and not self.description.checkout:
            raise BenchError(
                f"external@{variant}: you must supply the program's checkout ({self.description.source}). Say where"
                f" it is: {COMMAND} external add {variant} --checkout DIR --python PATH"
            )
        if self.description.checkout and not Path(self.description.checkout).is_dir():
            raise BenchError(
                f"external@{variant}: the checkout {self.description.checkout} is not a folder. Correct the path."
            )

    @property
    def marks(self) -> dict[str, str]:
        """Notes for readers of the scores: each is one word for the table and one sentence."""
        marks = {}
        if self.description.output == "video":
            marks["video"] = "The program writes its frames as a video; compression alters motion of half a pixel."
        if self.description.size != SIZE:
            size = self.description.size
            marks["resized"] = f"The program makes {size}x{size} pictures; they were scaled to {SIZE}x{SIZE}."
        if self.description.skipped == "repeat":
            marks["frames may repeat"] = "Frames that the program omits, at most a tenth, repeat earlier ones."
        return marks

    def identity(self) -> Mapping[str, Any]:
        """Return the description, the checkout's commit and code, the environment's versions, and hashes of the
        weights."""
        described = self.description
        checkout = Path(described.checkout or ".")
        git = ["git", "-C", str(checkout)]
        return {
            "description": described.model_dump(mode="json", exclude=set(ABOUT)),
            "commit": _answer([*git, "rev-parse", "HEAD"]) if described.checkout else "",
            "code": _code(checkout, results_folder(described)) if described.checkout else "",
            "environment": described.image or self.versions(),
            "weights": {name: _hash(checkout / name) for name in described.weights},
        }

    def versions(self) -> str:
        """Return the versions of the environment's Python and main packages, or "" if this Python does not run."""
        return _answer([*self._interpreter(), "-c", VERSIONS])

    def prepare(self, device: str) -> None:
        """Set the device, which is passed to the program through CUDA_VISIBLE_DEVICES."""
        self.device = device

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB.

        Raise CellFailed if the program fails, is too slow or produces an output that does not match its description.
        """
        described = self.description
        with tempfile.TemporaryDirectory(prefix="megbench-") as folder, self._in_turn():
            work, before = Path(folder), there_already(described)
            command = self._command(self._hand_over(work, template, driver))
            run(command, self._environment(work), described, work)
            return frames_of(output_of(work, described, before), described, driver.n_frames)

    def _in_turn(self) -> contextlib.AbstractContextManager[None]:
        """Allow one run at a time if outputs are in the checkout, so that the newest output belongs to this run."""
        if not self.description.leaves_in_checkout:
            return contextlib.nullcontext()
        return in_turn(Path(self.description.checkout) / ".megbench.lock")

    def _hand_over(self, work: Path, template: Template, driver: Clip) -> dict[str, str]:
        """Write copies of the inputs and return the values of the placeholders."""
        described, frames = self.description, driver.frames()
        rate = described.driver_fps or driver.fps or 25.0
        if described.template == "picture":
            write_png(still := work / "template.png", template.image)
        else:
            repeated = np.repeat(template.image[None], driver.n_frames, axis=0)
            write_video(still := work / "template.mp4", repeated, rate, lossless=True)
        if described.driver == "video":
            write_video(given := work / "driver.mp4", frames, rate, lossless=True)
        else:
            write_frames(given := work / "driver", frames)
        output = place_of(work, described)
        if output.suffix == "":
            output.mkdir()
        places = {
            "python": self._interpreter()[-1],
            "checkout": described.checkout,
            "template": str(still),
            "driver": str(given),
            "output": str(output),
            "work": str(work),
            "suite": str(ROOT),
            "frames": str(driver.n_frames),
            **extras(described.text, work, template, driver, rate),
        }
        if described.config:
            places["config"] = str(_write_config(work, described, places))
        return places

    def _interpreter(self) -> list[str]:
        """Return the command line of the program's Python."""
        if self.description.conda:
            return ["conda", "run", "--no-capture-output", "-n", self.description.conda, "python"]
        return [self.description.python or "python3"]

    def _command(self, places: Mapping[str, str]) -> list[str]:
        words = [_filled(word, places) for word in self.description.command]
        if self.description.conda:
            return ["conda", "run", "--no-capture-output", "-n", self.description.conda, *words]
        if self.description.image:
            suite = [places["suite"]] if "{suite}" in " ".join(self.description.command) else []
            read = [*suite, *([self.description.checkout] if self.description.checkout else [])]
            inside = self.description.checkout or places["work"]
            work, image, variables = Path(places["work"]), self.description.image, self.description.variables
            return [*containers.started(image, work, read, variables, inside, self._on_gpu), *words]
        return words

    @property
    def _on_gpu(self) -> bool:
        return self.description.gpu and self.device != "cpu"

    def _environment(self, work: Path) -> dict[str, str]:
        hidden = {} if self._on_gpu else {"CUDA_VISIBLE_DEVICES": ""}
        # The settings for threads and memory are for the suite's own workers, not for external programs.
        own = ("_NUM_THREADS", *MEMORY)
        inherited = {name: value for name, value in os.environ.items() if not name.endswith(own)}
        return {**inherited, "TMPDIR": str(work), **hidden, **self.description.variables}


def _filled(word: str, places: Mapping[str, str]) -> str:
    """Return a word of the command with its placeholders filled in. Other braces are left unchanged."""
    for name, value in places.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _write_config(work: Path, described: Description, places: Mapping[str, str]) -> Path:
    """Write the settings that a program reads, with the placeholders in names and values filled in."""
    path = work / f"config{described.config_suffix}"
    values = _in_place(described.settings(), places)
    written = json.dumps(values, indent=1) if path.suffix == ".json" else yaml.safe_dump(values, sort_keys=False)
    path.write_text(written, encoding="utf-8")
    return path


def _in_place(value: Any, places: Mapping[str, str]) -> Any:
    """Return a setting with its placeholders filled in. A setting that consists of {frames} alone becomes a number."""
    if isinstance(value, dict):
        return {_in_place(name, places): _in_place(item, places) for name, item in value.items()}
    if isinstance(value, list):
        return [_in_place(item, places) for item in value]
    if not isinstance(value, str):
        return value
    if value == "<megbench:frames>":
        return int(places["frames"])
    return STANDS_FOR.sub(lambda found: places[found[1]], value)


def _answer(command: list[str]) -> str:
    """Return the first line printed by a command, or "" if it fails."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip().partition("\n")[0]


def _code(checkout: Path, results: PurePath | None) -> str:
    """Return a hash of a checkout's code and settings, whether committed or not.

    Environments inside the checkout are excluded. The checkout's folder of results is excluded too, because programs
    also write settings there.
    """
    inside = {path.relative_to(checkout): path for kind in CODE for path in checkout.rglob(f"*{kind}")}
    others = ("site-packages", "__pycache__")
    kept = [name for name in inside if not any(part.startswith(".") or part in others for part in name.parts)]
    kept = [name for name in kept if results is None or not name.is_relative_to(results)]
    return digest({name.as_posix(): hash_if_readable(inside[name]) for name in kept})


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise BenchError(
            f"{path}: the weights cannot be read ({error.strerror}). Put them where the description expects them."
        ) from None
