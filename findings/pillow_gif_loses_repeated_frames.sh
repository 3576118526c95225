#!/usr/bin/env bash
# Pillow 13.0.0: Image.save(..., save_all=True) with one duration for all frames writes fewer frames than it is given.
# Frames equal to their predecessor are merged, and their durations are added up. A clip whose onset is still for a
# while, as in every micro-expression clip, comes back shorter: reading the GIF frame by frame gives 4 pictures instead
# of 7, and only the durations show which ones were held. The number of frames given to save() therefore differs from
# n_frames of the file.
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0
"$place/venv/bin/python" - "$place/clip.gif" <<'PY'
import sys

import PIL
from PIL import Image, ImageSequence

# A grey square that rests for three frames, moves for two, and rests at its end for two.
positions = [10, 10, 10, 11, 12, 13, 13]
frames = []
for left in positions:
    frame = Image.new("L", (32, 32), 40)
    frame.paste(200, (left, 8, left + 10, 24))
    frames.append(frame)
frames[0].save(sys.argv[1], save_all=True, append_images=frames[1:], duration=40, loop=0)
with Image.open(sys.argv[1]) as image:
    durations = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
print(f"Pillow {PIL.__version__}: {len(frames)} frames of 40 ms saved, {len(durations)} read, durations {durations}")
if durations != [120, 40, 40, 80]:
    sys.exit("The behaviour has changed: repeated frames are no longer merged.")
PY
