#!/usr/bin/env bash
# imageio's FFmpeg reader, with which the demos of FOMM and its successors read the driving video, returns frames that
# are not in the file. FFmpeg's program fills a constant frame rate, and repeats frames wherever the times do not fit
# it. A clip of 20 frames at 100 frames per second becomes 21 or more if the camera skipped one tick, and more than 100
# if the times of its frames jitter by up to 3 ms: the rate that then fits is that of the time stamps. count_frames() says 20 each time, and there is no warning. The apex moves and a smooth motion becomes a
# staircase. PyAV, or any reader that takes frames by index, returns 20.
# Seen with imageio 2.38.1, imageio-ffmpeg 0.8.1 (FFmpeg 9.0.2), clips written with PyAV 18.1.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.4.6 pillow==13.0.0
venv/bin/python - <<'PY'
import sys
from fractions import Fraction

import av
import imageio
import imageio_ffmpeg
import numpy as np

COUNT, TICK = 20, Fraction(1, 1000)


def write(path, times):
    """Write frames whose grey value is their number, at these times in milliseconds."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=100, options={"crf": "4", "bf": "0", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = TICK
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 + 8 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = int(time), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def numbers(frames):
    return [round((float(np.mean(frame)) - 10) / 8) for frame in frames]


even = 10 * np.arange(COUNT)
jitter = np.random.default_rng(0).integers(-3, 4, COUNT)
clips = {"even": even, "one tick skipped": even + 10 * (even >= 100), "jitter of 3 ms": even + 3 + jitter}
print("imageio", imageio.__version__, "imageio-ffmpeg", imageio_ffmpeg.__version__, "PyAV", av.__version__)
found = {}
for name, times in clips.items():
    write("clip.mp4", times)
    with av.open("clip.mp4") as container:
        decoded = numbers(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
    with imageio.get_reader("clip.mp4", "ffmpeg") as reader:
        counted, read = reader.count_frames(), numbers(reader)
    found[name] = len(read)
    print(f"{name:17} PyAV: {len(decoded)} frames; imageio: count_frames() {counted}, read {len(read)}: {read[:12]}")
    if decoded != list(range(COUNT)) or counted != COUNT:
        sys.exit("PyAV or count_frames has changed")
if not (found["even"] == COUNT < found["one tick skipped"] < 25 and found["jitter of 3 ms"] > 100):
    sys.exit("the behaviour has changed")
print("as described: imageio repeats frames of clips whose times are uneven")
PY
