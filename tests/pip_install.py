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


def install(files: Mapping[str, str], folder: Path) -> Path:
    """Write a package's files and install it as the documents describe; return the folder to put on PYTHONPATH."""
    for name, text in files.items():
        (folder / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "package" / name).write_text(text)
    pip("install", *OFFLINE, "--target", folder / "plugins", folder / "package")
    return folder / "plugins"
