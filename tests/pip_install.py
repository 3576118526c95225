"""Packages of the documents, and the suite's own, installed with pip: without a network, beside this environment."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-build-isolation", "--no-deps", "--no-index")


def pip(*arguments: str | Path) -> None:
    """Run pip, and show what it says if it fails."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def install(files: Mapping[str, str], folder: Path) -> Path:
    """Write a package's files and install it as a document says; return the folder to name in PYTHONPATH."""
    for name, text in files.items():
        (folder / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "package" / name).write_text(text)
    pip("install", *OFFLINE, "--target", folder / "plugins", folder / "package")
    return folder / "plugins"
