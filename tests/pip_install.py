"""Install the documents' packages and the suite's own with pip, without a network and outside this environment."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-build-isolation", "--no-deps", "--no-index")


def pip(*arguments: str | Path) -> None:
    """Run pip; show its output if it fails."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Write texts into files of a folder, by their relative paths."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def install(files: Mapping[str, str], folder: Path) -> Path:
    """Write packages, each in its own top folder, and install all at once; return the folder to name in PYTHONPATH."""
    write_files(files, folder / "packages")
    pip("install", *OFFLINE, "--target", folder / "plugins", *sorted((folder / "packages").iterdir()))
    return folder / "plugins"
