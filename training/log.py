"""The log of a training run, with one JSON object per line and, on request, scalars for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError

LOG = "log.jsonl"


class Log:
    """`log.jsonl` in the folder `out`: {"seconds", "stage", "step", "split", "losses"} per line, losses by name.

    Raises BenchError if `tensorboard` is requested but not installed.
    """

    def __init__(self, out: Path, tensorboard: bool = False) -> None:
        self.path = out / LOG
        self._board = _writer(out / "tensorboard") if tensorboard else None

    def write(self, stage: str, step: int, split: str, losses: Mapping[str, float], seconds: float) -> None:
        """Append a line; `step` is the number of completed steps of the stage."""
        shown = {name: float(f"{value:.6g}") for name, value in losses.items()}
        line = {"seconds": round(seconds, 1), "stage": stage, "step": step, "split": split, "losses": shown}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in losses.items():
                self._board.add_scalar(f"{stage}/{split}/{name}", value, step)

    @property
    def size(self) -> int:
        """The log's length in bytes, 0 before the first line."""
        return self.path.stat().st_size if self.path.exists() else 0

    def cut(self, size: int) -> None:
        """Drop everything logged after the log had this size, because it will be logged again."""
        if self.path.exists():
            os.truncate(self.path, min(size, self.size))


def read_log(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log, or nothing if there is no log."""
    if (path := out / LOG).exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise BenchError(
            "plan.tensorboard requires the package tensorboard, which is not installed. Install it with"
            " `pip install tensorboard`, or leave the setting out: log.jsonl contains the same figures."
        ) from None
    return SummaryWriter(str(folder))
