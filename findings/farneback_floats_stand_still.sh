#!/usr/bin/env bash
# OpenCV 5.0.0 (and 4.14): calcOpticalFlowFarneback accepts float32 pictures without a warning, but its result depends
# on their scale. Pictures in 0..255 give the same flow as uint8 pictures. The same pictures in 0..1, the usual range in
# deep learning, give almost no flow at all: a shift of one pixel is measured as less than a hundredth of a pixel.
#
# The flow of a patch is the solution of a 2x2 system whose determinant is in grey levels to the fourth power; before
# the division, 1e-3 is added to the determinant (modules/video/src/optflowgf.cpp, FarnebackUpdateFlow). With values in
# 0..255, this is negligible; with values in 0..1, the determinant is 255^4 = 4e9 times smaller, and the 1e-3 dominates.
# No error is raised, and a flow of nearly zero looks like a still scene. The documentation mentions only 8-bit input.
# DIS rejects floats.
# Seen with opencv-python-headless 5.0.0.93 and NumPy 2.3.5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install opencv-python-headless==5.0.0.93 numpy==2.3.5
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np

texture = cv2.GaussianBlur(np.random.default_rng(0).normal(128, 400, (200, 240)), (0, 0), 4)
texture = np.clip(np.round(texture), 0, 255).astype(np.uint8)
first, later = texture[:, 20:220], texture[:, 19:219]  # everything moves by one pixel to the right


def median_flow(unit):
    pictures = [picture.astype(np.float32) * np.float32(unit) for picture in (first, later)]
    return float(np.median(cv2.calcOpticalFlowFarneback(*pictures, None, 0.5, 3, 15, 3, 5, 1.1, 0)[20:-20, 20:-20, 0]))


eight_bits = float(np.median(cv2.calcOpticalFlowFarneback(first, later, None, 0.5, 3, 15, 3, 5, 1.1, 0)[20:-20, 20:-20, 0]))
found = {"uint8": eight_bits, "float32 in 0..255": median_flow(1), "float32 in 0..1": median_flow(1 / 255)}
print("OpenCV", cv2.__version__, "| true motion: 1 pixel")
for name, flow in found.items():
    print(f"  {name}: {flow:.4f}")
try:
    cv2.DISOpticalFlow.create().calc(first / np.float32(255), later / np.float32(255), None)
    refused = False
except cv2.error:
    refused = True
print("  DIS refuses floats:", refused)
assert abs(found["uint8"] - 1) < 0.05 and abs(found["float32 in 0..255"] - found["uint8"]) < 1e-3
assert abs(found["float32 in 0..1"]) < 0.01 and refused, "the behaviour has changed"
PYTHON
