#!/usr/bin/env bash
# cv2.phaseCorrelate measures how far a picture has moved, to a fraction of a pixel. It says that a picture of 224 x 224
# pixels has moved against ITSELF by half a pixel to the right and half a pixel down, with full confidence (1).
# Pictures are padded to a size that suits the Fourier transform. If that size is odd (224 becomes 225, 650 becomes
# 675), the centre of the correlation is at a whole pixel, but half the size is subtracted, which is not whole. At
# 256 x 256 or 640 x 480 the answer is 0. Half a pixel is as much as a micro-expression moves: a face that is stabilised
# with such shifts is resampled without need and, if each frame is aligned with the one before, drifts by half a pixel
# per frame.
# A size that needs no padding is not safe either. If a window is given, to reduce the effect of the edges, both
# pictures are multiplied by it IN PLACE: the caller's arrays are darker afterwards, and a reference frame that is used
# again and again fades to a spot. Pictures that are padded are copied first, so this too depends on the size alone.
# phaseCorrelateIterative (since 4.13) answers 0 for every size and leaves its pictures alone.
# Source: modules/imgproc/src/phasecorr.cpp (center, and multiply by the window). Seen with OpenCV 5.0.0
# (opencv-python-headless 5.0.0.93); versions 4.12 and 4.13 do the same.
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

texture = np.random.default_rng(0).normal(128, 400, (700, 1000))
texture = np.clip(cv2.GaussianBlur(texture, (0, 0), 4), 0, 255).astype(np.float32)
expected = {  # width, height: the shift against itself, and whether the window spoils the picture
    (224, 224): (0.5, 0.5, False),
    (256, 256): (0.0, 0.0, True),
    (640, 480): (0.0, 0.0, True),
    (960, 650): (0.0, 0.5, False),
    (225, 225): (0.5, 0.5, True),
}
print("OpenCV", cv2.__version__)
changed = False
for (width, height), (x, y, spoilt) in expected.items():
    picture = texture[:height, :width].copy()
    padded = cv2.getOptimalDFTSize(width), cv2.getOptimalDFTSize(height)
    shift, confidence = cv2.phaseCorrelate(picture, picture)
    iterative = cv2.phaseCorrelateIterative(picture, picture)
    given, window = [picture.copy(), picture.copy()], cv2.createHanningWindow((width, height), cv2.CV_32F)
    cv2.phaseCorrelate(*given, window)
    print(
        f"{width} x {height}, padded to {padded[0]} x {padded[1]}: moved against itself by"
        f" ({abs(shift[0]):.2f}, {abs(shift[1]):.2f}), confidence {confidence:.2f};"
        f" mean before and after a call with a window: {picture.mean():.0f}, {given[0].mean():.0f}"
    )
    right = np.allclose(shift, (x, y), atol=0.01) and confidence > 0.95 and np.allclose(iterative, 0, atol=0.01)
    changed |= not right or any(spoilt == np.array_equal(one, picture) for one in given)
if changed:
    sys.exit("the behaviour has changed")
print("as described: half a pixel if the padded size is odd, pictures overwritten if they were not padded")
PY
