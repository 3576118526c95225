"""Bounds for the golden files of specs/tps_ulme, made from what the files say of themselves.

A file holds, for most entries, the largest difference between the official float32 run and the same run in float64
(`_err64_keys`, `_err64_max`). An entry may be off by five times that plus 1e-6 (times its largest value, where that is
above 1), as the specification's README says. Entries that are the same stage of the same network (of the relative and
the standard mode, of two epochs) share the largest of their differences: which of them came out near float64 is luck.
ULME-GAN's gradient penalty, whose own difference is 2e-8, has that of the discriminator's other two terms for the same
reason: on a processor without avx512 it is off by 2.9e-6 where one with avx512 meets 1.1e-6.
Entries straight out of a spline's inverse may be off by twenty times: its condition depends on how key points happen
to lie, which other weights change (with other weights and pictures twice our own float32 error came to 2.4 of what five
times gives, for all other entries to 0.7). Gradients are ill-conditioned and are bound relative to the largest, by one
per cent at least and three for those that reach the key points; sequences and tables in float64 must agree to 1e-9,
whole numbers exactly.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from tests.golden.files import HERE, plain

FACTOR, SPLINE_FACTOR, FLOOR, FLOOR64 = 5.0, 20.0, 1e-6, 1e-9
LEAST_GRADIENT, LEAST_POINT_GRADIENT = 0.01, 0.03
# Rounding alone moves a parameter by this after one step of Adam in the right direction.
STEP_ROUNDING = 2e-7

INPUTS = (
    r".*_u8|keypoint.*|rows|(f64/)?table|f64/noise_.*|.*/(tps_dropout_rand|equivariance_(theta_noise|control_params))"
    r"|aus|(src|tar)_aus|.*/gp_alpha|ganloss/map|tv/in|f64/[abc]/table|f64/curve/.*|quant/(float|uint8_full)"
)
# Biases before an instance norm: their gradient is nothing but rounding.
NOISE = r".*(grad|after_step)/inpainting_network\.resblock\.\d\.conv\d\.bias"
# What comes straight out of a spline's inverse.
SPLINE = r".*/(tps_theta|tps_control_params|transformations|deformed_source|deformation)"
# Prefixes of entries that share their bounds; saturated points and the AVD mode are alone in how badly conditioned.
SHARED = r"(standard|bg|relative|small2?|moved|epoch\d+|default|masked)/((au\d?|plain)/)?"


def write_bounds(path: Path) -> Path:
    """Put the bounds of a golden file into tolerances.json under its base name; returns the path written."""
    target = HERE / "tolerances.json"
    content = json.loads(target.read_text())
    content["entries"][path.stem] = bounds(path)
    patterns = ",\n".join("  " + json.dumps(values) for values in content["patterns"])
    tables = ",\n".join(
        f"  {json.dumps(stem)}: {{\n"
        + ",\n".join(f"    {json.dumps(n)}: {json.dumps(b)}" for n, b in rows.items())
        + "\n  }"
        for stem, rows in sorted(content["entries"].items())
    )
    target.write_text(f'{{\n"patterns": [\n{patterns}\n],\n"entries": {{\n{tables}\n}}\n}}\n')
    return target


def _lines(rows: dict[str, tuple[str, float]]) -> str:
    return ",\n".join(f"    {json.dumps(name)}: {json.dumps(bound)}" for name, bound in rows.items())


def bounds(path: Path) -> dict[str, tuple[str, float]]:
    """(kind, bound) of every entry of a file with `_err64_*` entries, or without where none has any."""
    with np.load(path, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    known = arrays.pop("_err64_keys", np.array([])), arrays.pop("_err64_max", np.array([]))
    errors: dict[str, float] = defaultdict(float)
    for name, error in zip(*known, strict=True):
        errors[_stage(str(name))] = max(errors[_stage(str(name))], float(error))
    errors["loss/dis_gp"] = max(errors[f"loss/dis_{part}"] for part in ("real", "fake", "gp"))
    largest: dict[str, float] = defaultdict(float)
    for name, array in arrays.items():
        if not name.endswith("@stat") and array.size and array.dtype.kind == "f":
            largest[_stage(name)] = max(largest[_stage(name)], float(np.abs(array).max()))
    return {
        plain(name): _bound(plain(name), array, errors[_stage(name)], largest[_stage(name)], path.stem)
        for name, array in sorted(arrays.items())
        if not name.endswith("@stat")
    }


def _stage(name: str) -> str:
    return re.sub(f"^{SHARED}", "", plain(name))


def _bound(name: str, array: np.ndarray, error: float, largest: float, stem: str) -> tuple[str, float]:
    if re.fullmatch(INPUTS, name) or (name == "AU_diff" and not stem.endswith("_au")):
        return "input", 0.0
    if re.fullmatch(NOISE, name):
        return "ignored", 0.0
    if array.dtype.kind in "iu":
        return "absolute", 0.0
    if name.startswith("f64/"):
        return "absolute", FLOOR64
    if "after_step/" in name:
        return "step", _rounded(FACTOR * STEP_ROUNDING + FLOOR * max(1.0, largest))
    if re.search(r"grad(norm)?/", name):
        least = LEAST_POINT_GRADIENT if "kp_detector" in name else LEAST_GRADIENT
        kind = "relative" if "gradnorm/" in name else "largest"
        return kind, _rounded(max(least, FACTOR * error / max(largest, 1e-12)))
    factor = SPLINE_FACTOR if re.fullmatch(SPLINE, name) else FACTOR
    return "absolute", _rounded(factor * error + FLOOR * max(1.0, largest))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
