#!/usr/bin/env bash
# OMP_NUM_THREADS=1, which limits PyTorch, NumPy's BLAS and scikit-learn to one thread, has no effect on OpenCV: its
# wheels have their own thread pool, with one thread for each core. A benchmark that starts a worker for each core and
# sets OMP_NUM_THREADS=1 still runs that many OpenCV threads in each of them. OpenCV reads OPENCV_FOR_THREADS_NUM
# instead, before it is first used.
# Seen with OpenCV 5.0.0 (opencv-python-headless 5.0.0.93, "Parallel framework: pthreads") on Linux, x86-64.
set -euo pipefail
if [ "$(nproc)" -lt 2 ]; then echo "this machine has only one core; the behaviour shows on at least two"; exit 1; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > threads.py <<'PY'
import re
from pathlib import Path

import cv2
import numpy as np

built = re.search(r"Parallel framework:\s*(\S+)", cv2.getBuildInformation())
before = len(list(Path("/proc/self/task").iterdir()))
picture = np.random.default_rng(0).random((2000, 2000), np.float32)
for _ in range(5):
    cv2.GaussianBlur(picture, (0, 0), 3)
started = len(list(Path("/proc/self/task").iterdir())) - before
print(cv2.__version__, built.group(1) if built else "?", cv2.getNumThreads(), started)
PY
env -u OPENCV_FOR_THREADS_NUM OMP_NUM_THREADS=1 venv/bin/python threads.py > omp.txt
OMP_NUM_THREADS=1 OPENCV_FOR_THREADS_NUM=1 venv/bin/python threads.py > own.txt
read -r version framework threads started < omp.txt
echo "OpenCV $version ($framework), $(nproc) cores"
echo "OMP_NUM_THREADS=1: $threads threads, $started started by a blur"
read -r _ _ own_threads own_started < own.txt
echo "OPENCV_FOR_THREADS_NUM=1: $own_threads threads, $own_started started by a blur"
if [ "$threads" -lt 2 ] || [ "$started" -lt 1 ] || [ "$own_threads" -ne 1 ] || [ "$own_started" -ne 0 ]; then
  echo "the behaviour has changed"; exit 1
fi
echo "as described: OpenCV keeps to one thread only if its own variable says so"
