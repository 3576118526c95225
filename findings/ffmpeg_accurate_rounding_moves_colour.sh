#!/usr/bin/env bash
# Written to H.264 and read again with PyAV, colour moves to the left by half a pixel, but only if the conversion to RGB
# is asked to be accurate. In yuv420p, one colour sample serves 2 x 2 pixels. FFmpeg's conversion from RGB places it in
# their middle, but nothing in the file says so, and H.264's default is the left edge. The fast conversion back ignores
# the place and thus undoes the first; with accurate_rnd (alone or with full_chroma_int, which is the cure for FFmpeg's
# darkening) it is respected, and colour moves. Grey values do not move, so grey optical flow does not show it, and each
# further copy adds half a pixel: ten copies, almost five.
# The remedy is to state the place when writing: chromaloc=1 in x264-params.
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2) and the x264 included in it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import io
import sys

import av
import numpy as np
from av.video.reformatter import Interpolation

SIZE = 256
y, x = np.mgrid[:SIZE, :SIZE].astype(float)
inside = slice(30, -30)


def coloured(moved=0.0):
    """Return a picture whose red and blue vary in opposite directions, moved to the right."""
    wave = 30 * np.sin((x - moved) / 9) + 30 * np.sin(y / 9)
    return np.stack([128 + wave, np.full_like(wave, 128), 128 - wave], -1)


def colour(picture):
    return (picture[..., 0].astype(float) - picture[..., 2])[inside, inside]


picture = np.rint(coloured()).astype(np.uint8)
slope = (colour(coloured(1e-3)) - colour(coloured())) / 1e-3


def moved(found):
    return float((slope * (colour(found) - colour(picture))).sum() / (slope**2).sum())


def copied(picture, interpolation, **options):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", "threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(buffer.getvalue())) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24", interpolation=interpolation)


fast = Interpolation.BICUBIC
rounded = fast | Interpolation.ACCURATE_RND
exact = rounded | Interpolation.FULL_CHR_H_INT
tenth = picture
for _ in range(10):
    tenth = copied(tenth, exact)
found = {
    "default": moved(copied(picture, fast)),
    "accurate_rnd": moved(copied(picture, rounded)),
    "accurate_rnd + full_chroma_int": moved(copied(picture, exact)),
    "the same, ten copies": moved(tenth),
    "the same, written with chromaloc=1": moved(copied(picture, exact, **{"x264-params": "chromaloc=1"})),
}
print("PyAV", av.__version__)
for name, shift in found.items():
    print(f"{name:36} colour moved by {shift:+.2f} px")
expected = np.array([0, -0.54, -0.49, -4.74, 0])
if (np.abs(np.array(list(found.values())) - expected) > 0.05 + 0.05 * np.abs(expected)).any():
    sys.exit("the behaviour has changed")
print("as described: accuracy moves colour by half a pixel unless the file states where the samples are")
PY
