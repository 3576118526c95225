#!/usr/bin/env bash
# OpenCV 5 samples two-channel pictures more coarsely than all others. cv2.remap with INTER_LINEAR on float32 is
# continuous for one, three and four channels, but a two-channel picture, such as optical flow, is sampled at only 32
# positions per pixel, as all pictures are in OpenCV 4: the position is wrong by up to 1/64 of a pixel. As a result,
# composing or inverting displacement fields with remap never converges (g = -f(y + g) keeps jumping by .01 px), and
# results change if x and y of a field are remapped separately. Split the channels, or add a third one.
# Seen with OpenCV 5.0.0 (opencv-python-headless 5.0.0.93) on x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
venv/bin/python - <<'PY'
import sys

import cv2
import numpy as np

print("OpenCV", cv2.__version__)
ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))  # the value shows the sampled position
x = np.tile(np.linspace(20, 21, 1001, dtype=np.float32), (64, 1))
y = np.full_like(x, 30)
places = {}
for channels in (1, 2, 3, 4):
    read = cv2.remap(cv2.merge([ramp] * channels), x, y, cv2.INTER_LINEAR)
    read = read.reshape(*x.shape, channels)[0, :, 0]
    places[channels] = len(np.unique(read))
    print(f"{channels} channels: {places[channels]} of 1001 places, wrong by up to {np.abs(read - x[0]).max():.4f} px")
if places != {1: 1001, 2: 33, 3: 1001, 4: 1001}:
    sys.exit("the behaviour has changed")
print("as described: two channels are read at steps of 1/32 pixel")
PY
