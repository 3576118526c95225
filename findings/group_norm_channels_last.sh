#!/usr/bin/env bash
# torch 2.15.0 on a CPU: GroupNorm of maps in the channels-last layout is thousands of times less accurate than that of
# the same maps in the usual layout, as soon as their mean is not small compared with their standard deviation.
#
# The layout should only affect speed, and results should agree to within float32's rounding. For channels last, the
# kernel computes the variance as the mean of squares minus the square of the mean, from running sums in float32, and
# what is left after the subtraction is mostly rounding error. On maps of 256x256 with mean 30 and standard deviation 1,
# results (which have standard deviation 1) are off by .01 to .03, whereas in the planar layout they are off by 3e-6.
# InstanceNorm2d, which is group norm with one channel per group, uses another method and is accurate in either layout,
# but it is many times slower for channels last: replacing it with group norm is a tempting way to make a network
# faster. Seen at every ATEN_CPU_CAPABILITY (default, avx2, avx512).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install torch==2.15.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import copy
import sys

import torch
from torch import nn

torch.manual_seed(0)
print("torch", torch.__version__, "|", torch.backends.cpu.get_cpu_capability())


@torch.inference_mode()
def error(norm, maps):
    """Return the largest difference from the same layer in float64."""
    return float((norm(maps) - copy.deepcopy(norm).double()(maps.double().contiguous())).abs().max())


found = {}
layers = {"GroupNorm(64)": nn.GroupNorm(64, 64), "GroupNorm(32)": nn.GroupNorm(32, 64), "InstanceNorm": nn.InstanceNorm2d(64)}
for mean in (0, 3, 30):
    maps = mean + torch.randn(1, 64, 256, 256)
    for name, norm in layers.items():
        planar, last = error(norm, maps), error(norm, maps.contiguous(memory_format=torch.channels_last))
        found[name, mean] = planar, last
        print(f"mean {mean:2}, deviation 1, {name:13}: planar {planar:.1e}, channels last {last:.1e}")
groups = [found[name, 30] for name in ("GroupNorm(64)", "GroupNorm(32)")]
as_described = all(planar < 1e-5 and last > 5e-3 for planar, last in groups) and max(found["InstanceNorm", 30]) < 1e-5
print("as described" if as_described else "behaves differently now")
sys.exit(not as_described)
PYTHON
