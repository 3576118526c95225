#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg's GIF reader): an animated GIF with neither a graphic control extension (no delays) nor a loop
# extension decodes to a single picture, without an error. Pillow 13.0.0 writes such a file when colour frames are saved
# without duration and loop (or with a duration under 10 ms, which a GIF rounds to none), and reads all its frames. With
# a delay of 10 ms, or with loop=0, FFmpeg also reads all pictures. FFmpeg's frame count of an animated GIF may
# therefore be 1.
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 av==18.1.0
"$place/venv/bin/python" - "$place" <<'PY'
import random
import sys
from pathlib import Path

import av
import PIL
from PIL import Image


def counts(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        by_pillow = image.n_frames
    with av.open(str(path)) as container:
        return by_pillow, sum(1 for _ in container.decode(video=0))


bytes_of = random.Random(0).randbytes
frames = [Image.frombytes("RGB", (64, 64), bytes_of(64 * 64 * 3)) for _ in range(4)]
found = {}
for name, options in {"plain": {}, "0 ms": {"duration": 0}, "10 ms": {"duration": 10}, "looping": {"loop": 0}}.items():
    path = Path(sys.argv[1]) / f"{name}.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    found[name] = counts(path)
    print(f"Pillow {PIL.__version__}, PyAV {av.__version__}: {name}: 4 frames saved,"
          f" {found[name][0]} read by Pillow, {found[name][1]} by FFmpeg")
if found != {"plain": (4, 1), "0 ms": (4, 1), "10 ms": (4, 4), "looping": (4, 4)}:
    sys.exit("The behaviour has changed.")
PY
