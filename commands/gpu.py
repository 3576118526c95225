"""`bench.py gpu`: compare generators and their training on the GPU with the CPU, and measure their speed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from megbench.commands.options import Device, DeviceOption, resolve_device
from megbench.core.files.working_folder import STORE

FILE = STORE / "gpu.md"


def gpu(
    device: DeviceOption = Device.cuda,
    out: Annotated[Path, typer.Option(help="Markdown file for the table.")] = FILE,
) -> None:
    """Compare generation and training on the GPU with the CPU; measure speed and memory (on cpu: of small networks)."""
    chosen = resolve_device(device)
    from megbench.commands.gpu_material import Material
    from megbench.commands.gpu_table import measured, table_of
    from megbench.core.files.whole_files import whole_file

    with tempfile.TemporaryDirectory(prefix="megbench-") as folder:
        rows = measured(chosen, Material.rendered(Path(folder)))
    table = table_of(chosen, rows)
    print(table.text())
    with whole_file(out) as file:
        file.write(f"# {table.title}\n\n{table.markdown()}".encode())
    print(f"Table: {out}")
    if wrong := [row.name for row in rows if not row.difference.within]:
        print(
            f"{', '.join(wrong)}: {chosen} differs from the CPU by more than the bounds in the table. Do not use it for"
            " results; try another version of the driver or of PyTorch.",
            file=sys.stderr,
        )
        raise typer.Exit(1)
