#!/usr/bin/env bash
# FFmpeg's default conversion from yuv420p to RGB (swscale, which PyAV's to_ndarray("rgb24") uses) makes a picture
# darker by about 1.3 of 255 grey levels, because it truncates instead of rounding. The conversion from RGB to yuv420p
# is exact. Each frame read from a video is therefore too dark, and a comparison with the picture from which it was made
# (SSIM, PSNR, differences) counts that as an error. The flag whose name promises a remedy, accurate_rnd, does not help
# by itself; the conversion rounds only if accurate_rnd is combined with full_chroma_int. OpenCV's cvtColor rounds too.
# Seen with PyAV 18.1.0 (FFmpeg 8) on x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 opencv-python-headless==5.0.0.93
venv/bin/python - <<'PY'
import sys

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation

y, x = np.mgrid[:256, :256].astype(float)
soft = 128 + 60 * np.sin(x / 40) * np.cos(y / 30)
picture = np.rint(np.stack([soft, 0.8 * soft + 20, 0.7 * soft + 10], -1)).astype(np.uint8)

print("PyAV", av.__version__)
frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
planes = frame.to_ndarray()
luma = 16 + picture @ np.array([0.299, 0.587, 0.114]) * 219 / 255
print(f"RGB -> yuv420p: luma off by {(planes[:256] - luma).mean():+.2f} on average")

exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
ways = {
    "default": frame.to_ndarray(format="rgb24"),
    "accurate_rnd": frame.to_ndarray(format="rgb24", interpolation=exact),
    "accurate_rnd + full_chroma_int": frame.to_ndarray(
        format="rgb24", interpolation=exact | Interpolation.FULL_CHR_H_INT
    ),
    "OpenCV": cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420),
}
off = {name: float((found.astype(float) - picture).mean()) for name, found in ways.items()}
for name, value in off.items():
    print(f"yuv420p -> RGB, {name:30} off by {value:+.2f} of 255 on average")
if not (off["default"] < -0.8 and off["accurate_rnd"] < -0.8):
    sys.exit("the behaviour has changed")
if max(abs(off["accurate_rnd + full_chroma_int"]), abs(off["OpenCV"])) > 0.2:
    sys.exit("the remedies have changed")
print("as described: the default is about one grey level too dark")
PY
