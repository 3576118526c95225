#!/usr/bin/env bash
# PyAV's VideoFrame.rotation cannot distinguish a mirrored video from a rotated one. A video whose display matrix only
# swaps left and right, as front cameras write it, reports a rotation of -180 degrees, the same as a video that is
# upside down; a transposed video reports the same quarter turn as an unmirrored one. If frames are turned by
# `rotation`, the picture is upside down or has left and right exchanged, without a warning. The complete matrix is in
# the frame's side data (DISPLAYMATRIX, nine int32): if its determinant is negative, flip the rows first, then turn.
# The reason is that PyAV calls FFmpeg's av_display_rotation_get, which is documented for pure rotations only.
# Seen with PyAV 18.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import struct
import sys

import av
import numpy as np

picture = np.zeros((32, 48, 3), np.uint8)
picture[:, :24] = 200  # the left half is bright
with av.open("plain.mp4", "w") as container:
    stream = container.add_stream("libx264rgb", rate=25, options={"crf": "0"})
    stream.width, stream.height, stream.pix_fmt = 48, 32, "rgb24"
    for _ in range(3):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))
data = bytearray(open("plain.mp4", "rb").read())
place = data.index(b"tkhd") + 44  # the nine numbers of the track's matrix

print("PyAV", av.__version__)
seen = {}
for name, (a, b, c, d) in {
    "turned by 180 degrees": (-1, 0, 0, -1),
    "left and right swapped": (-1, 0, 0, 1),
    "turned by 90 degrees": (0, 1, -1, 0),
    "transposed": (0, 1, 1, 0),
}.items():
    data[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    open("a.mp4", "wb").write(data)
    with av.open("a.mp4") as container:
        frame = next(container.decode(video=0))
        matrix = np.frombuffer(frame.side_data.get("DISPLAYMATRIX"), np.int32).reshape(3, 3)[:2, :2] / 65536
        seen[name] = abs(frame.rotation), round(float(np.linalg.det(matrix)))
    print(f"{name:24} rotation {frame.rotation}, determinant {seen[name][1]}")
expected = dict(zip(seen, [(180, 1), (180, -1), (90, 1), (90, -1)]))
if seen != expected:
    sys.exit("the behaviour has changed")
print("as described: the rotation is the same with and without mirroring")
PY
