"""Measure how far float32 deviates from float64 on this kind of processor, for the bounds of the golden files.

    python -m tests.golden.measure --name "AMD EPYC, Zen 3" FILE.npz ...

The command writes what it measures on these files into tests/golden/processors/amd_epyc_zen_3.json (measuring all
golden files takes about an hour on one core). Expected entries are not used: weights are drawn with a different salt
for each seed, and inputs are redrawn from those in the files.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.nets import winograd
from tests.golden.__main__ import FILES
from tests.golden.bounds import FLOAT64_SPACING, PROCESSORS, SEEDS, kind_of, plain, stage_of, turn_of
from tests.golden.files import LEVELS, PICTURES, Golden, off_by
from tests.golden.fill import filled_vgg, undrawn

Arrays = dict[str, np.ndarray]
# The filter transform of fast (Winograd) convolutions, in float64.
WEIGHTS = torch.kron(winograd._weight_transform(), winograd._weight_transform())


class Redrawn(Golden):
    """A golden file's names with other inputs: the same pictures in other colours and positions, new random draws."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(path)
        computed = {name for name in self.names if kind_of(name, path.stem) not in ("input", "ignored")}
        for name in self.names - computed:
            if kind_of(name, path.stem) == "input":
                # Arrays that belong together (source and driving, small and small2) are changed in the same way.
                self.arrays[name] = redrawn(name, self[name].numpy(), np.random.default_rng(seed))
        self.names = in_turn(computed, backwards=seed % 2 == 1)


def in_turn(names: set[str], backwards: bool) -> set[str]:
    """Choose variants in order of name, or backwards, until every stage is included; return the chosen entries."""
    chosen: set[str] = set()
    missing = {stage_of(name) for name in names}
    for turn in sorted({turn_of(name) for name in names}, reverse=backwards):
        entries = {name for name in names if turn_of(name) == turn}
        if found := missing & {stage_of(name) for name in entries}:
            chosen |= entries
            missing -= found
    return chosen


def redrawn(name: str, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an input similar to the file's, randomised by `rng`."""
    if name.endswith(LEVELS) or name in PICTURES:
        channels, rows, columns = (3, 1, 2) if name.endswith(LEVELS) else (-3, -2, -1)
        array = np.take(array, rng.permutation(3), axis=channels)
        array = np.flip(array, [axis for axis in (rows, columns) if rng.random() < 0.5])
        array = np.roll(array, rng.integers(0, array.shape[columns], 2), axis=(rows, columns))
        full = 255 if name.endswith(LEVELS) else np.float32(1)
        return np.ascontiguousarray(full - array if rng.random() < 0.5 else array)
    if name in ("landmarks68", "kp_default") or re.fullmatch(r"keypoint_(source|driving|batch)", name):
        return array + rng.integers(-12, 13, 2).astype(array.dtype)
    if re.fullmatch(r".*(dropout_rand|gp_alpha|avd_rand)", name):
        return rng.random(array.shape, np.float32)
    if name == "tps_theta":
        return np.eye(2, 3, dtype=np.float32) + shuffled(array - np.eye(2, 3, dtype=np.float32), rng)
    if re.fullmatch(r"tps_control_params|.*equivariance_\w+|tps_probe_points", name):
        return shuffled(array, rng)
    if re.fullmatch(r"keypoint.*|AU_diff|((src|tar)_)?aus|avd_.*", name):
        return np.ascontiguousarray(np.take(array, rng.permutation(array.shape[1]), axis=1))
    return array


def shuffled(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the array with its values in random order and with random signs."""
    values = rng.permutation(array.reshape(-1)) * rng.choice(np.array([-1, 1], array.dtype), array.size)
    return values.reshape(array.shape)


def convolved(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Replace nn.Conv2d._conv_forward in float64, where torch itself takes three times as long on large maps."""
    height, width = x.shape[2:]
    large = height * width >= winograd.SMALLEST_MAP and height % 4 == width % 4 == 0
    if large and winograd.Conv3x3.suits(conv) and min(weight.shape[:2]) >= 16:
        taps = winograd._transformed_weight(weight.detach())
        return winograd._Convolution.apply(x, weight, taps, bias)
    if (
        conv.kernel_size == (7, 7)
        and conv.padding == (3, 3)
        and conv.stride == (1, 1)
        and weight.shape[1] > 4 * len(weight)
    ):
        rows = weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)  # 49 O, C: contributions of a cell to its neighbours
        y = F.fold(rows @ x.flatten(2), (height, width), 7, padding=3)
        return y if bias is None else y + bias[:, None, None]
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


@contextlib.contextmanager
def computing(dtype: torch.dtype, family: str) -> Iterator[None]:
    """Compute in one dtype; in float32, the family "tps" is computed as published.

    Our networks use float64 for ill-conditioned steps. The published networks do not, and they multiply by the inverse
    of a spline's linear system, which, if all points coincide, is 400 times less accurate than solving the system.
    """
    torch.set_default_dtype(dtype)
    with contextlib.ExitStack() as stack:
        if dtype == torch.float64:
            stack.enter_context(mock.patch.object(winograd, "WEIGHTS", WEIGHTS))
            stack.enter_context(mock.patch.object(nn.Conv2d, "_conv_forward", convolved))
        elif family == "tps":
            same = {"double": lambda value: value}
            stack.enter_context(mock.patch.multiple(torch.Tensor, **same))
            stack.enter_context(mock.patch.multiple(nn.Module, **same))
            stack.enter_context(mock.patch.object(torch.linalg, "solve", lambda a, b: torch.linalg.inv(a) @ b))
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def computed(path: Path, seed: int, dtype: torch.dtype) -> Arrays:
    """Return the entries of a golden file with redrawn weights and inputs, keyed by their plain names."""
    module, family = FILES[path.stem]
    golden, salt = Redrawn(path, seed), f"seed{seed}/"
    wanted = {plain(name) for name in golden.names}
    found: Arrays = {}
    with undrawn(), tempfile.TemporaryDirectory() as folder, computing(dtype, family):
        vgg = Path(folder) / "vgg19.pth"
        torch.save(filled_vgg(salt, family), vgg)
        for name, value in import_module(f"tests.golden.{module}").entries(golden, salt, vgg):
            if plain(name) in wanted:
                found[plain(name)] = value.detach().numpy().copy()
    if missing := wanted - set(found):
        raise SystemExit(f"{path}: not computed: {', '.join(sorted(missing))}")
    return found


def differences(stem: str, single: Arrays, double: Arrays) -> dict[str, float]:
    """Return the largest difference of each stage, but at least the spacing of float32 numbers at its largest value."""
    off: dict[str, float] = {}
    for name, expected in double.items():
        if expected.dtype.kind in "iu":
            off[name] = float(np.any(single[name] != expected))
            continue
        kind = kind_of(name, stem)
        largest = 1.0 if kind in ("relative", "gradient") else float(np.abs(expected).max())
        spacing = float(np.finfo(np.float32).eps) * largest
        off[name] = max(spacing, off_by(kind, single[name].astype(np.float64), expected.astype(np.float64)))
        if name.startswith("f64/"):
            off[name] *= FLOAT64_SPACING
    stages: dict[str, float] = defaultdict(float)
    for name, value in off.items():
        stages[stage_of(name)] = max(stages[stage_of(name)], value)
    return stages


def reference(path: Path, seed: int, kept: Path | None) -> Arrays:
    """Return the entries in float64, read from `kept` if an earlier run stored them there."""
    file = kept and kept / f"{path.stem}_{seed}.npz"
    if file and file.exists():
        with np.load(file) as data:
            return dict(data)
    found = computed(path, seed, torch.float64)
    if file:
        np.savez(file, **found)  # type: ignore[arg-type]
    return found


def add(content: dict[str, Any], stem: str, off: dict[str, float]) -> None:
    """Add a seed's differences to a file's content, keeping the largest difference of each stage."""
    stages = content["differences"].setdefault(stem, {})
    for stage, value in off.items():
        stages[stage] = max(stages.get(stage, 0.0), float(f"{value:.3g}"))
    content["seeds"][stem] = content["seeds"].get(stem, 0) + 1


def main() -> None:
    """Measure, and write the results after every seed; seeds that an interrupted run has measured are skipped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="golden files, .npz")
    parser.add_argument("--name", required=True, help="kind of processor, and how it was limited if it was")
    parser.add_argument("--kept", type=Path, help="keep float64 results here, for another kind on the same machine")
    arguments = parser.parse_args()
    target = PROCESSORS / f"{re.sub(r'[^a-z0-9]+', '_', arguments.name.lower()).strip('_')}.json"
    target.parent.mkdir(exist_ok=True)
    content = {"processor": arguments.name, "seeds": {}, "differences": {}}
    if target.exists():
        content |= json.loads(target.read_text())
    content["torch"] = torch.__version__
    for seed, path in ((seed, path) for seed in range(SEEDS) for path in arguments.files):
        if content["seeds"].get(path.stem, 0) <= seed:
            single, double = computed(path, seed, torch.float32), reference(path, seed, arguments.kept)
            add(content, path.stem, differences(path.stem, single, double))
            target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
            print(f"{path.stem}, seed {seed}", flush=True)


if __name__ == "__main__":
    main()
