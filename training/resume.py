"""The files of a training run: `last.pt` (everything), `best-<stage>.pt` and `<stage>-<step>.pt` (networks)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from megbench.core.errors import BenchError
from megbench.core.files.whole_files import whole_file
from megbench.core.weights.pickled import damaged_part

LAST = "last.pt"


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file, completely or not at all."""
    with whole_file(path) as file:
        torch.save(content, file)


def read(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Return what `write` wrote, with tensors on the device, or None if there is no file.

    Raise BenchError if the file is damaged.
    """
    if not path.exists():
        return None
    if part := damaged_part(path):
        raise BenchError(f"{path} is damaged in {part}. Delete it to start again.")
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:  # whatever torch's reader raises on damaged data
        raise BenchError(f"{path} is damaged ({type(error).__name__}). Delete it to start again.") from None
    return content


def best(out: Path, stage: str) -> Path:
    """Return the path of the networks with the best validation losses in a stage."""
    return out / f"best-{stage}.pt"


def numbered(out: Path, stage: str, step: int) -> Path:
    """Return the path of the networks saved after `step` steps of a stage."""
    return out / f"{stage}-{step:08d}.pt"
