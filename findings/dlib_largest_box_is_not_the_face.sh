#!/usr/bin/env bash
# dlib-bin 20.0.1.post1: on a portrait with ONE face, after ordinary JPEG compression or a shift by one pixel, the
# LARGEST box found by the frontal face detector contains the clothes, not the face.
#
# `detector(picture, 0)` returns all boxes with scores above 0, without the scores and not sorted by size. Much code
# picks the main face by taking the largest box. In NASA's portrait of Eileen Collins (public domain; included in
# scikit-image as `astronaut`), the detector finds only the face. If the portrait is saved as a JPEG with quality 80 or
# shifted up by one pixel, a second box appears on the orange suit; it is 105 pixels wide, whereas the face's box is 88
# pixels wide. `detector.run(picture, 0, 0.0)` also returns the scores: 1.4 for the face and .1 for the suit.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install --no-deps \
    dlib-bin==20.0.1.post1 numpy==2.4.6 pillow==13.0.0 scikit-image==0.26.0
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np
from PIL import Image

print("dlib", dlib.__version__, "| Pillow", version("pillow"))
picture = Image.open(Path(find_spec("skimage").submodule_search_locations[0]) / "data" / "astronaut.png").convert("RGB")
detector = dlib.get_frontal_face_detector()


def saved(quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def padded(image):
    return np.ascontiguousarray(np.pad(np.asarray(image.convert("L")), 48, mode="edge"))


variants = {
    "as it is": padded(picture),
    "JPEG, quality 80": padded(saved(80)),
    "1 px up": padded(Image.fromarray(np.pad(np.asarray(picture), ((0, 1), (0, 0), (0, 0)), mode="edge")[1:])),
}
wrong = {}
for name, grey in variants.items():
    boxes, scores, _ = detector.run(grey, 0, 0.0)
    found = [(box.left() - 48, box.top() - 48, box.width(), round(score, 2)) for box, score in zip(boxes, scores)]
    print(f"{name:18} (left, top, width, score): {found}")
    largest = max(detector(grey, 0), key=lambda box: box.area())
    surest = boxes[int(np.argmax(scores))]
    wrong[name] = largest != surest
print("largest box is not the face:", wrong)
sys.exit(0 if wrong == {"as it is": False, "JPEG, quality 80": True, "1 px up": True} else 1)
PYTHON
