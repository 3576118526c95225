#!/usr/bin/env bash
# imageio.mimsave(path, frames, fps=...), with which the demos of FOMM, MRAA, TPSMM, DaGAN, MCNet, FSRT and others save
# their results, writes H.264 at CRF 25, because its quality is 5 out of 10 unless another is given. In a clean clip,
# this leaves a fifth of a motion of .15 pixels, three fifths of one of .3 pixels, and three quarters of one of half a
# pixel. Judged by the video that its own demo writes, a generator that moves a face exactly as a micro-expression does
# therefore seems to move it too little, especially if the motion is small, and a generator that exaggerates seems
# right. The loss is invisible to the eye. quality=10 (CRF 0) preserves the motion. Measured by least squares on the
# exact derivative.
# Seen with imageio 2.38.1, imageio-ffmpeg 0.8.1 and the ffmpeg included in it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imageio==2.38.1 imageio-ffmpeg==0.8.1 numpy==2.4.6 pillow==13.0.0
venv/bin/python - <<'PY'
import sys

import imageio
import numpy as np

SIZE = 256
LUMA = np.array([0.299, 0.587, 0.114])
y, x = np.mgrid[:SIZE, :SIZE].astype(float)
weight = np.exp(-((x - 128) ** 2 + (y - 128) ** 2) / (2 * 24**2))  # a cheek that moves sideways


def skin(moved):
    """Return shading and soft texture in three channels, part of it moved to the right by `moved` pixels."""
    at = x - moved * weight
    shape = 30 * np.sin(at / 25 + y / 60) + 14 * np.sin(at / 3 - y / 5) + 10 * np.sin(at / 4 + y / 3.5)
    return np.array([190.0, 150.0, 130.0]) + shape[..., None] * [1.0, 0.9, 0.8]


slope = (skin(1e-4) - skin(0.0)) @ LUMA / 1e-4
course = np.sin(np.linspace(0, np.pi, 25))


def kept(frames):
    """Return the amplitude of the motion in the frames: the least-squares fit of `course`, whose apex is 1."""
    luma = np.asarray(frames, float) @ LUMA
    found = np.array([(slope * (frame - luma[0])).sum() for frame in luma]) / (slope**2).sum()
    return (found * course).sum() / (course**2).sum()


def saved(frames, **options):
    imageio.mimsave("out.mp4", list(frames), fps=25, **options)
    return np.stack([frame for frame in imageio.get_reader("out.mp4")])  # list() would ask for the length, which is infinite


print("imageio", imageio.__version__)
shares = {}
for apex in (0.15, 0.3, 0.5, 1.0):
    clip = np.rint([skin(apex * strength) for strength in course]).astype(np.uint8)
    shares[apex] = kept(saved(clip)) / kept(clip), kept(saved(clip, quality=10)) / kept(clip)
    print(f"of {apex} px at the apex: {shares[apex][0]:.2f} by default, {shares[apex][1]:.2f} with quality=10")
lost = shares[0.15][0] < 0.35 and shares[0.3][0] < 0.75 and shares[0.5][0] < 0.85
if not (lost and all(abs(fine - 1) < 0.05 for _, fine in shares.values())):
    sys.exit("the behaviour has changed")
print("as described: by default, most of the smallest motion is lost; with quality=10, none is")
PY
