"""`bench.py external`: external programs, each described by a small YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.core.errors import BenchError
from megbench.core.files.names import check_name
from megbench.core.installation import COMMAND

if TYPE_CHECKING:
    from megbench.methods.external_description import Description

app = typer.Typer(help="External programs as methods (external@NAME).", no_args_is_help=True)


@app.command("list")
def list_(name: Annotated[str, typer.Argument(help="Show one description in full.")] = "") -> None:
    """List the ready-made descriptions and your own: what each runs, and whether its arguments were verified."""
    from megbench.core.files.working_folder import in_store
    from megbench.core.tables.spreadsheet_text import printable
    from megbench.methods.external_description import OWN, READY_MADE, read_description

    if name:
        described = read_description(check_name("description", name))
        print("\n".join(printable(line) for line in [f"{name}: {described.system}", *_facts(described)]))
        return
    print(f"{'name':26} {'arguments':10} system")
    for known in sorted({path.stem for folder in (in_store(OWN), READY_MADE) for path in folder.glob("*.yaml")}):
        described = read_description(known)
        place = f" in {described.checkout}" if described.checkout else ""
        told = f"{described.system} ({described.source}; licence: {described.licence}){place}"
        print(printable(f"{known:26} {described.read_at or 'unverified':10} {told}"))
    print(
        "arguments: the commit at which the program's arguments were read, or unverified. `external list NAME` shows"
        " more. If a line names no folder, register your checkout: external add NAME --checkout DIR"
    )


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A ready-made description; see `external list`.")],
    checkout: Annotated[Path, typer.Option(help="Folder of your checkout of the program.")],
    python: Annotated[str, typer.Option(help="The Python interpreter of its environment.")] = "",
    conda: Annotated[str, typer.Option(help="Name of its conda environment, instead of --python.")] = "",
    image: Annotated[str, typer.Option(help="Container image, instead of --python or --conda.")] = "",
) -> None:
    """Register the location of a program in .megbench/external/NAME.yaml, a file that you can edit."""
    import yaml

    from megbench.core.files.cache import write_text
    from megbench.core.files.working_folder import in_store
    from megbench.methods.external_description import OWN, read_description

    described = read_description(check_name("description", name))
    if not checkout.is_dir():
        raise BenchError(
            f"--checkout {checkout} is not a folder. Pass the folder into which you cloned {described.source}."
        )
    if sum(map(bool, (python, conda, image))) > 1:
        raise BenchError("Pass one environment: --python PATH, --conda NAME or --image IMAGE.")
    given = {"checkout": str(checkout.resolve()), "python": python, "conda": conda, "image": image}
    values = described.model_dump(mode="json", exclude_defaults=True) | given
    path = in_store(OWN) / f"{name}.yaml"
    write_text(path, yaml.safe_dump({key: value for key, value in values.items() if value}, sort_keys=False))
    print(f"{path} written. Try it: {COMMAND} external check {name}")
    print(f"Then use it: {COMMAND} --methods external@{name}")


@app.command("check")
def check_(
    name: Annotated[str, typer.Argument(help="A description, your own or a ready-made one.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override an entry of the description, as in python=PATH; may be repeated."),
    ] = None,
) -> None:
    """Test a description on two frames; report in one line what is wrong, or that it works and how fast."""
    from megbench.commands.external_trial import check
    from megbench.core.tables.spreadsheet_text import printable
    from megbench.methods.external import External
    from megbench.methods.external_description import read_description

    method = External.of(name, read_description(check_name("description", name), sets or ()))
    print(printable(check(method)))


def _facts(described: Description) -> list[str]:
    """Return the facts in a description for display, one line each."""
    told = {
        "source": described.source,
        "paper": described.paper,
        "licence": described.licence,
        "licence of the weights": described.weights_licence,
        "weights": described.weights_from,
        "environment": described.environment,
        "micro-motion": described.micro_motion,
        "arguments": described.arguments or "unverified: the program's own arguments were not read",
        "checkout": described.checkout or "none: supply yours with `external add`",
    }
    return [f"  {what}: {text or 'not stated'}" for what, text in told.items()]
