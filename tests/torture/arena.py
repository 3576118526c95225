"""A small real run in its own folder: its command, ways to disturb it, and the result it must have."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from megbench.core.frames import Frames, write_frames, write_png
from megbench.engine.seal import faults
from tests.fakes import finished_cells
from tests.moving_face import BROW, MOUTH, face, render

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [
    *("--methods", "flow_warp", "--no-controls", "--protocol", "folder", "--device", "cpu"),
    *("--metrics", "motion_agreement,fidelity"),
    *("--drivers", "drivers", "--templates", "templates", "--out", "run"),
]
# Drivers of five frames each.
PUSHES = {"brow": BROW, "mouth": MOUTH}
FRAMES = 5
LONGEST_S = 300.0


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), its output, and how long it took."""

    code: int
    said: str
    seconds: float


class Arena:
    """A working folder with inputs, in which the command is started, disturbed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def furnish(self) -> None:
        """Write the drivers and the templates."""
        for name, frames in drivers().items():
            if not (self.folder / "drivers" / name).exists():
                write_frames(self.folder / "drivers" / name, frames)
        (self.folder / "templates").mkdir(exist_ok=True)
        for name, picture in (("face", face()), ("mirrored", face()[:, ::-1])):
            write_png(self.folder / "templates" / f"{name}.png", picture)

    def start(self, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start the command in its own process group. before: a command prefix that restricts permissions."""
        return subprocess.Popen(
            [*before, sys.executable, str(ROOT / "bench.py"), *COMMAND, "--workers", "1"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str] | None = None) -> Ended:
        """Wait for a run (by default a new one) to finish."""
        began = time.monotonic()
        process = process or self.start()
        try:
            said, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            end(process)
            return Ended(-signal.SIGALRM, "it hung", LONGEST_S)
        return Ended(process.returncode, said, time.monotonic() - began)

    def wait_for(self, there: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
        """Wait until `there()` is true or the process has ended; return whether it became true."""
        while process.poll() is None:
            if there():
                return True
            time.sleep(0.001)
        return False

    def writing(self) -> list[Path]:
        """Return temporary files and folders: those being written now, or those that a killed process left."""
        return [
            Path(where) / name
            for part in ("run", ".megbench")
            for where, folders, files in os.walk(self.folder / part)
            for name in (*folders, *files)
            if name.startswith(".") and name.endswith(".tmp")
        ]

    def cells(self) -> list[Path]:
        """Return the finished cells of the run."""
        return finished_cells(self.folder / "run")

    def result(self) -> dict[str, str]:
        """Return the result of a run: every score and the frames of every cell, as hashes; {} if it is incomplete."""
        run = self.folder / "run"
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = {"scores": digest(run / "scores.csv")}
            for path in self.cells():
                record = json.loads(path.read_text())
                frames = [digest(file) for file in sorted((path.parent / "frames").glob("*.png"))]
                found[f"{path.parent.parent.name}/{path.parent.name}"] = f"{record['content']} {frames}"
            return found
        return {}

    def sealed(self) -> bool:
        """Return whether every file of the run is unchanged, according to `bench.py verify`."""
        return faults(self.folder / "run") == []


@functools.cache
def drivers() -> dict[str, Frames]:
    """Return the drivers' frames by name."""
    return {name: render(push, n_frames=FRAMES)[0] for name, push in PUSHES.items()}


def digest(path: Path) -> str:
    """Return the blake2b digest of a file."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def end(process: subprocess.Popen[str]) -> None:
    """Kill a run and all its workers with SIGKILL, as a power cut would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Return the process IDs of a run's workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with contextlib.suppress(OSError):
        return [
            int(number)
            for number in children.read_text().split()
            if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()
        ]
    return []


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """Mount a file system at `folder`; yield a function that sets its size. Raise OSError if mounting is refused."""
    folder.mkdir(parents=True, exist_ok=True)

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode:
            raise OSError(f"no right to mount a file system ({done.stderr.strip()})")

    mount(f"size={kilobytes}k")
    try:
        yield lambda more: mount(f"remount,size={more}k")
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@contextlib.contextmanager
def unwritable(folders: Sequence[Path]) -> Iterator[None]:
    """Make these folders and all their subfolders read-only for a process that was started with `as_others`."""
    found = [Path(where) for folder in folders for where, _, _ in os.walk(folder)]
    for folder in found:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in found:
            folder.chmod(0o755)


def as_others() -> list[str]:
    """Return a command prefix that makes root subject to folder permissions; other users need none."""
    return ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
