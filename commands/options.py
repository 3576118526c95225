"""Options that several commands share, and how they are interpreted."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from megbench.core.errors import BenchError
from megbench.core.files.names import check_name
from megbench.core.files.working_folder import weights_folders

RUNS = Path("runs")
# Variants that do not refer to one of the user's weights files (methods/generator.py).
RESERVED = ("demo", "untrained")


class Device(StrEnum):
    """The device on which networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


ProtocolOption = Annotated[str, typer.Option("--protocol", help="Which cells to run: see `list protocols`.")]
DriversOption = Annotated[
    Path | None, typer.Option("--drivers", help="Folder of videos or frame folders (folder, self).")
]
TemplatesOption = Annotated[
    Path | None,
    typer.Option("--templates", help="Folder of portraits (folder), or names of templates (megc2021, megc2022)."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of the unpacked challenge kit (megc2021, megc2022).")
]
PortraitsOption = Annotated[
    Path | None, typer.Option("--portraits", help="Folder of your own portraits to render from (demo).")
]
FaceOption = Annotated[
    str,
    typer.Option(
        "--face",
        help="Which face to use if a driver's first frame shows several: left or right in the picture, or its rank"
        " by size (protocols folder and self); default: the largest.",
        show_default=False,
    ),
]
WorkersOption = Annotated[int, typer.Option(min=0, help="Worker processes; 0: one per core.")]
DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where networks run; auto: on a GPU if PyTorch finds one.")
]
ReferenceOption = Annotated[
    str, typer.Option(help="Show scores of published outputs beside motion_agreement_v1 on the same cells: megc2021.")
]
MediaAllOption = Annotated[bool, typer.Option("--media-all", help="Show the controls in every cell.")]


def names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list, each once, in order."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def folders(
    drivers: Path | None, templates: Path | None, data: Path | None, portraits: Path | None
) -> dict[str, str | None]:
    """Return the folders that protocols read, as absolute paths."""
    given = {"drivers": drivers, "templates": templates, "data": data, "portraits": portraits}
    return {name: str(path.resolve()) if path else None for name, path in given.items()}


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """Report Ctrl-C in one line and exit with code 130, for commands that resume where they were stopped."""
    try:
        yield
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept; run the same command again to continue.", file=sys.stderr)
        raise typer.Exit(130) from None


def resolve_device(device: Device) -> str:
    """Return "cpu" or "cuda"; auto means cuda if torch finds one. Raise BenchError if cuda is requested and missing."""
    # Importing torch takes seconds, which would be wasted if the system has no such device.
    if device is Device.cpu or (device is Device.auto and _has_no_gpu()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device is Device.cuda:
        raise BenchError(f"--device cuda: {_why_no_gpu()} (docs/training.md, On a GPU). Other choices: auto, cpu.")
    return "cpu"


def _why_no_gpu() -> str:
    """Return why torch finds no GPU, and the remedy."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} is a CPU-only build. Install one for your GPU"
    return f"PyTorch {torch.__version__} finds no GPU here. Check that `nvidia-smi` lists one with a recent driver"


def _has_no_gpu() -> bool:
    """Return whether this is a Linux system without the device files of the NVIDIA, AMD and WSL drivers."""
    return sys.platform == "linux" and not any(Path("/dev", name).exists() for name in ("nvidiactl", "kfd", "dxg"))


def user_weights(name: str, variant: str) -> Path:
    """Return the path of the weights `name@variant`. Raise BenchError for a variant that the suite reserves."""
    if check_name("variant", variant) in RESERVED:
        raise BenchError(f"--as {variant}: the variants {', '.join(RESERVED)} are reserved. Choose another name.")
    return weights_folders()[0] / f"{name}@{variant}.safetensors"
