"""Programs from elsewhere as methods: `--methods external@NAME`, described by a small YAML file.

A program runs in its own environment, gets a template picture and a driver (lossless video or a folder of PNG files)
and leaves a video or a folder of pictures. It is not shut in: it can do what you can. A container image is the way to
run a stranger's program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from megbench.core.clip import Clip, Template
from megbench.core.config import read_overlay
from megbench.core.errors import BenchError, CellFailed, clause, unknown_name
from megbench.core.files.cache import digest
from megbench.core.files.hashes import file_hash, hash_if_readable
from megbench.core.files.working_folder import from_start, in_store
from megbench.core.frames import SIZE, Frames, write_frames, write_png
from megbench.core.pictures import is_picture
from megbench.core.provenance import ROOT
from megbench.core.video import is_video, read_clip
from megbench.core.video_writing import write_video
from megbench.core.worker import MEMORY
from megbench.faces.crop import resized
from megbench.methods import containers
from megbench.methods.external_inputs import extras

OWN = "external"
READY_MADE = ROOT / "configs" / "external"
# Suffixes of files that hold a program's code or settings.
CODE = (".py", ".yaml", ".yml")
# How much of what a program printed is searched for its last line.
LOG_BYTES = 1_000_000
VERSIONS = (
    "import sys, importlib.metadata as m\n"
    "found = {d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name']}\n"
    "print(sys.version.split()[0], *(f'{n}={found[n]}' for n in ('torch', 'numpy', 'opencv-python') if n in found))"
)


class Description(BaseModel):
    """How a program is run; unknown entries are errors.

    command: words of the command line with {python}, {checkout}, {template}, {driver}, {output} and {work} in them;
    {work} is a folder of this cell's own, where inputs lie and output must be. {suite} is this repository, further
    inputs are those of methods/external_inputs.py. python, conda, image: its environment,
    an interpreter's path, the name of a conda environment or a container image; none for what the PATH has.
    checkout: working folder of the program. driver, output: what is handed over and what comes back. found: pattern
    in {output} by which the output is found where the program chooses its name. size: height and width it makes.
    weights: files in the checkout whose hashes are recorded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    source: str
    licence: str
    command: tuple[str, ...] = Field(min_length=1, max_length=100)
    checkout: str = ""
    python: str = ""
    conda: str = ""
    image: str = ""
    driver: Literal["video", "frames"] = "video"
    output: Literal["video", "frames"] = "video"
    found: str = ""
    size: int = Field(default=SIZE, ge=16, le=4096)
    timeout_s: float = Field(default=1800, gt=0, le=86400)
    gpu: bool = True
    weights: tuple[str, ...] = ()
    variables: dict[str, str] = {}

    @field_validator("found")
    @classmethod
    def _stays_inside(cls, pattern: str) -> str:
        if pattern.startswith("/") or ".." in pattern:
            raise ValueError("must be a pattern within the output folder")
        return pattern


def read_description(name: str) -> Description:
    """Return the description `name`, the user's own or a ready-made one. Raise BenchError if faulty or unknown."""
    places = [folder / f"{name}.yaml" for folder in (in_store(OWN), READY_MADE)]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        known = {other.stem for folder in (in_store(OWN), READY_MADE) for other in folder.glob("*.yaml")}
        raise unknown_name("external program", name, known)
    try:
        described = Description.model_validate(read_overlay(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BenchError(f"{path}: {place}: {first['msg']}. See configs/external/ for examples.") from None
    checkout = described.checkout and os.path.abspath(from_start(Path(described.checkout).expanduser()))
    return described.model_copy(update={"checkout": checkout})


class External:
    """A program of its own, run once for each cell in its own environment: `external@NAME`."""

    name = "external"
    is_control = False

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        if options:
            raise unknown_name("option of external:", next(iter(options)), [])
        if not variant:
            raise BenchError("external needs the name of a description: external@NAME. See `bench.py external list`.")
        self.variant = variant
        self.description = read_description(variant)
        if "{checkout}" in " ".join(self.description.command) and not self.description.checkout:
            raise BenchError(
                f"external@{variant}: the program's checkout is yours to bring ({self.description.source}). Say where"
                f" it lies: python bench.py external add {variant} --checkout DIR --python PATH"
            )
        if self.description.checkout and not Path(self.description.checkout).is_dir():
            raise BenchError(f"external@{variant}: the checkout {self.description.checkout} is not a folder.")

    @property
    def marks(self) -> dict[str, str]:
        """What a reader of the scores must know: a word for the table and a sentence."""
        marks = {}
        if self.description.output == "video":
            marks["video"] = "The program hands its frames over as video; compression alters motion of half a pixel."
        if self.description.size != SIZE:
            size = self.description.size
            marks["resized"] = f"The program makes {size}x{size} pictures; they were scaled to {SIZE}x{SIZE}."
        return marks

    def identity(self) -> Mapping[str, Any]:
        """Return the description, the checkout's commit and code, the environment's versions and weights' hashes."""
        described = self.description
        checkout = Path(described.checkout or ".")
        git = ["git", "-C", str(checkout)]
        return {
            "description": described.model_dump(mode="json"),
            "commit": _answer([*git, "rev-parse", "HEAD"]) if described.checkout else "",
            "code": _code(checkout) if described.checkout else "",
            "environment": _answer([*self._interpreter(), "-c", VERSIONS]) if not described.image else described.image,
            "weights": {name: _hash(checkout / name) for name in described.weights},
        }

    def prepare(self, device: str) -> None:
        """The device is handed to the program by CUDA_VISIBLE_DEVICES."""
        self.device = device

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB. CellFailed if the program fails, is too slow or leaves something else."""
        with tempfile.TemporaryDirectory(prefix="megbench-") as folder:
            work = Path(folder)
            command = self._command(self._hand_over(work, template, driver))
            _run(command, self._environment(work), self.description, work)
            return self._take_back(work, driver)

    def _hand_over(self, work: Path, template: Template, driver: Clip) -> dict[str, str]:
        """Copies of the inputs, and what the placeholders stand for."""
        write_png(work / "template.png", template.image)
        frames = driver.frames()
        given = work / ("driver.mp4" if self.description.driver == "video" else "driver")
        if self.description.driver == "video":
            write_video(given, frames, driver.fps or 25.0, lossless=True)
        else:
            write_frames(given, frames)
        output = work / (
            "output.mp4" if self.description.output == "video" and not self.description.found else "output"
        )
        if output.suffix == "":
            output.mkdir()
        return {
            "python": self._interpreter()[-1],
            "checkout": self.description.checkout,
            "template": str(work / "template.png"),
            "driver": str(given),
            "output": str(output),
            "work": str(work),
            "suite": str(ROOT),
            **extras(" ".join(self.description.command), work, template, driver),
        }

    def _interpreter(self) -> list[str]:
        """How the program's Python is called."""
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
        # The suite's own single thread, and how it keeps memory, are for its workers, not for programs of others.
        own = ("_NUM_THREADS", *MEMORY)
        inherited = {name: value for name, value in os.environ.items() if not name.endswith(own)}
        return {**inherited, "TMPDIR": str(work), **hidden, **self.description.variables}

    def _take_back(self, work: Path, driver: Clip) -> Frames:
        output = _one_output(work, self.description)
        try:
            pictures = list(read_clip(output))
        except BenchError as error:
            raise CellFailed(f"external@{self.variant}: {error}") from None
        size = self.description.size
        if pictures[0].shape[:2] != (size, size):
            height, width = pictures[0].shape[:2]
            raise CellFailed(
                f"external@{self.variant} made {width}x{height} pictures, its description says {size}x{size}"
            )
        if len(pictures) != driver.n_frames:
            raise CellFailed(f"external@{self.variant} made {len(pictures)} frames, the driver has {driver.n_frames}")
        return np.stack([resized(picture, SIZE, SIZE) for picture in pictures])


def _filled(word: str, places: Mapping[str, str]) -> str:
    """A word of the command with its placeholders filled in; other braces stay."""
    for name, value in places.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _run(command: list[str], environment: Mapping[str, str], described: Description, work: Path) -> None:
    """Run the program to its end. CellFailed with its last line if it fails, cannot start or takes too long."""
    log = work / "log.txt"
    with log.open("wb") as out:
        try:
            # A group of its own, so that a program that is too slow goes with all its children.
            process = subprocess.Popen(
                command,
                cwd=described.checkout or work,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CellFailed(f"{described.system} cannot be started: {command[0]}: {error.strerror}") from None
        try:
            code = process.wait(described.timeout_s)
        except subprocess.TimeoutExpired:
            raise CellFailed(f"{described.system} took longer than {described.timeout_s:g} s (timeout_s)") from None
        finally:
            ended = process.poll() is not None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if described.image and not ended:
                containers.remove(work)
    if code != 0:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise CellFailed(f"{described.system} {how}: {_last_line(log)}")


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return clause(lines[-1]) if lines else "it printed nothing"


def _one_output(work: Path, described: Description) -> Path:
    """The one output a program left. CellFailed if there is none, there are several, or it leads out of the folder."""
    place = work / ("output.mp4" if described.output == "video" and not described.found else "output")
    candidates = sorted(place.glob(described.found)) if described.found else [place]
    if described.output == "video":
        candidates = [path for path in candidates if is_video(path)]
    else:
        candidates = [path for path in candidates if path.is_dir() and any(map(is_picture, path.iterdir()))]
    if len(candidates) != 1:
        kind = "video" if described.output == "video" else "folder of pictures"
        raise CellFailed(f"{described.system} left {len(candidates)} outputs, one {kind} is wanted")
    output = candidates[0]
    files = [output, *(output.iterdir() if output.is_dir() else [])]
    if any(not path.resolve().is_relative_to(work.resolve()) for path in files):
        raise CellFailed(f"{described.system} left links that lead out of its folder")
    return output


def _answer(command: list[str]) -> str:
    """The first line a command prints; "" where it fails."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip().partition("\n")[0]


def _code(checkout: Path) -> str:
    """Return a hash of a checkout's code and settings, committed or not; environments inside it are left out."""
    inside = {path.relative_to(checkout): path for kind in CODE for path in checkout.rglob(f"*{kind}")}
    others = ("site-packages", "__pycache__")
    kept = [name for name in inside if not any(part.startswith(".") or part in others for part in name.parts)]
    return digest({name.as_posix(): hash_if_readable(inside[name]) for name in kept})


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise BenchError(
            f"{path}: the weights cannot be read ({error.strerror}). Put them where the description says."
        ) from None
