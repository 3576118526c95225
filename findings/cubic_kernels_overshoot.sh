#!/usr/bin/env bash
# Bicubic warps do not move a picture by the requested distance. If .1 and .75 pixels are requested, OpenCV's
# INTER_CUBIC (remap, warpAffine) shifts smooth shading by .136 and .703 pixels, and Pillow's BICUBIC transform by .172
# and .656. Both use Keys' kernel with a constant other than -1/2, the only value for which the kernel is exact on a
# linear ramp: OpenCV uses -.75, and Pillow's transform -1 (its resize -.5). Bilinear sampling, which is thought to be
# worse, and interpolating B-splines (SciPy, order 3) move the ramp exactly. Test pictures for optical flow that are
# made with cubic warps therefore have a wrong ground truth: at a tenth of a pixel, it is off by a third of the motion,
# so that correct flow looks wrong.
# The error depends only on the fractional part of the shift and is zero at 0, 1/2 and 1, so tests at half pixels do not
# show it.
# Seen with OpenCV 5.0.0 (opencv-python-headless 5.0.0.93), Pillow 13.0.0, SciPy 1.17.1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    opencv-python-headless==5.0.0.93 pillow==13.0.0 scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import cv2
import numpy as np
import PIL
import scipy
from PIL import Image
from scipy import ndimage

print("OpenCV", cv2.__version__, "Pillow", PIL.__version__, "SciPy", scipy.__version__)
ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))  # one grey level per pixel: the change equals the motion
inside = (slice(20, 44), slice(20, 44))


def opencv(shift, flags):
    matrix = np.float32([[1, 0, shift], [0, 1, 0]])
    return cv2.warpAffine(ramp, matrix, (64, 64), flags=flags)


def pillow(shift):
    matrix = (1, 0, -shift, 0, 1, 0)
    moved = Image.fromarray(ramp).transform((64, 64), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(moved)


ways = {
    "OpenCV INTER_LINEAR": lambda shift: opencv(shift, cv2.INTER_LINEAR),
    "OpenCV INTER_CUBIC": lambda shift: opencv(shift, cv2.INTER_CUBIC),
    "Pillow BICUBIC": pillow,
    "SciPy spline, order 3": lambda shift: ndimage.shift(ramp, (0, shift), order=3, mode="mirror"),
}
asked = (0.05, 0.1, 0.25, 0.5, 0.75)
print("moved by".ljust(22), *(f"{shift:6}" for shift in asked))
found = {}
for name, way in ways.items():
    found[name] = [float((ramp - way(shift))[inside].mean()) for shift in asked]
    print(name.ljust(22), *(f"{shift:6.3f}" for shift in found[name]))
expected = {
    "OpenCV INTER_LINEAR": asked,
    "OpenCV INTER_CUBIC": (0.071, 0.136, 0.297, 0.5, 0.703),
    "Pillow BICUBIC": (0.093, 0.172, 0.344, 0.5, 0.656),
    "SciPy spline, order 3": asked,
}
if any(np.abs(np.subtract(found[name], moves)).max() > 0.002 for name, moves in expected.items()):
    sys.exit("the behaviour has changed")
print("as described: the cubic warps move the ramp by too much below half a pixel and by too little above")
PY
