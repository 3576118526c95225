"""What `--methods` can name: the table, the grammar of a name, and the rows that accompany every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megbench.core.errors import BenchError
from megbench.core.files.names import check_name

METHODS = {
    "fpfomm": "megbench.methods.fpfomm:FpFomm",
    "fomm": "megbench.methods.fomm:Fomm",
    "mraa": "megbench.methods.mraa:Mraa",
    "tps": "megbench.methods.tps:Tps",
    "tps_rau": "megbench.methods.tps_rau:TpsRau",
    "ulmegan": "megbench.methods.ulmegan:UlmeGan",
    "external": "megbench.methods.external:External",
    "outputs": "megbench.methods.outputs:Outputs",
    "flow_warp": "megbench.methods.flow_warp:FlowWarp",
    "still": "megbench.methods.controls:Still",
    "still_noise": "megbench.methods.controls:StillNoise",
    "rigid": "megbench.methods.controls:Rigid",
    "apex_ramp": "megbench.methods.flow_warp:ApexRamp",
    "reversed": "megbench.methods.flow_warp:Reversed",
    "wrong_driver": "megbench.methods.flow_warp:WrongDriver",
    "ceiling": "megbench.methods.controls:Ceiling",
    "truth": "megbench.methods.controls:Truth",
}

# The rows of every run after the methods asked for: the contender without training, then the controls.
COMPANIONS = ("flow_warp", "still", "still_noise", "rigid", "apex_ramp", "reversed", "wrong_driver", "ceiling", "truth")


@dataclass(frozen=True)
class Label:
    """What a user typed to name a row, taken apart. text: what the row is called in tables and folders."""

    text: str
    name: str
    variant: str
    options: dict[str, str]


def parse_label(label: str) -> Label:
    """Read `name[@variant][:key=value[;key=value]]` or `outputs:DIR`; BenchError where it is malformed."""
    head, colon, tail = label.partition(":")
    if head == "outputs" and colon:
        folder = Path(tail).expanduser().resolve()
        variant = check_name("outputs folder", folder.name)
        return Label(f"outputs@{variant}", head, variant, {"folder": str(folder)})
    name, at, variant = head.partition("@")
    check_name("method", name)
    if at:
        check_name("variant", variant)
    options: dict[str, str] = {}
    for item in tail.split(";") if colon else []:
        key, equals, value = item.partition("=")
        if not equals or key in options:
            raise BenchError(f"Method {label!r}: {item!r} is no option. Write name@variant:key=value;key=value.")
        options[check_name("option", key)] = check_name("value", value)
    return Label(label, name, variant, options)
