"""`bench.py external`: programs from elsewhere, described by a small YAML file each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from megbench.core.errors import BenchError
from megbench.core.files.names import check_name
from megbench.core.installation import COMMAND

app = typer.Typer(help="Programs from elsewhere as methods (external@NAME).", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the descriptions: ready-made ones and your own."""
    from megbench.core.files.working_folder import in_store
    from megbench.methods.external_description import OWN, READY_MADE, read_description

    for name in sorted({path.stem for folder in (in_store(OWN), READY_MADE) for path in folder.glob("*.yaml")}):
        described = read_description(name)
        place = described.checkout or "bring your own checkout: external add"
        print(f"{name:18} {described.system}, {described.source}, licence: {described.licence} ({place})")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A ready-made description, see `external list`.")],
    checkout: Annotated[Path, typer.Option(help="Folder of your checkout of the program.")],
    python: Annotated[str, typer.Option(help="The interpreter of its environment.")] = "",
    conda: Annotated[str, typer.Option(help="Or the name of its conda environment.")] = "",
    image: Annotated[str, typer.Option(help="Or a container image.")] = "",
) -> None:
    """Say where a program lies: writes .megbench/external/NAME.yaml, which you can edit."""
    import yaml

    from megbench.core.files.cache import write_text
    from megbench.core.files.working_folder import in_store
    from megbench.methods.external_description import OWN, read_description

    described = read_description(check_name("description", name))
    if not checkout.is_dir():
        raise BenchError(
            f"--checkout {checkout} is not a folder. Give the folder that you cloned {described.source} into."
        )
    if sum(map(bool, (python, conda, image))) > 1:
        raise BenchError("Give one environment: --python PATH, --conda NAME or --image IMAGE.")
    given = {"checkout": str(checkout.resolve()), "python": python, "conda": conda, "image": image}
    values = described.model_dump(mode="json", exclude_defaults=True) | given
    path = in_store(OWN) / f"{name}.yaml"
    write_text(path, yaml.safe_dump({key: value for key, value in values.items() if value}, sort_keys=False))
    print(f"{path} written. Use it: {COMMAND} --methods external@{name}")
